# mlx_lm.server listens with Python's backlog of 5: in a burst of connections a test would measure TCP's retry after a second, not the server.
import socketserver

socketserver.TCPServer.request_queue_size = 256
