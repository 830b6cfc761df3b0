/** An HTTP/1.1 response as its bytes come: just enough of the protocol to cost nothing next to the server that is measured. */
type Part = "head" | "size" | "chunk" | "rest";

export class ResponseParser {
  /** 0 until the head has come. */
  status = 0;
  /** The body is whole. A body that ends with its connection never says so. */
  complete = false;
  #part: Part = "head";
  #buffer = "";
  /** Bytes that are missing of the chunk or of the body. */
  #left = Number.POSITIVE_INFINITY;

  /** `bytes` as Latin-1, one character a byte. Returns what of the body came with it. */
  push(bytes: string): string {
    this.#buffer = this.#buffer === "" ? bytes : this.#buffer + bytes;
    if (this.#part === "head" && !this.#readHead()) return "";
    return this.#part === "rest" ? this.#readRest() : this.#readChunks();
  }

  #readHead(): boolean {
    const end = this.#buffer.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const head = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 4);
    this.status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length:\s*(\d+)/i.exec(head)?.[1];
    const chunked = /\r\ntransfer-encoding:[^\r]*chunked/i.test(head);
    this.#part = chunked ? "size" : "rest";
    if (!chunked && length !== undefined) this.#left = Number(length);
    return true;
  }

  #readRest(): string {
    const body = this.#buffer;
    this.#buffer = "";
    this.#left -= body.length;
    this.complete = this.#left <= 0;
    return body;
  }

  #readChunks(): string {
    let body = "";
    let at = 0;
    const { length } = this.#buffer;
    while (at < length && !this.complete) {
      if (this.#part === "size") {
        const end = this.#buffer.indexOf("\r\n", at);
        if (end < 0) break;
        this.#left = Number.parseInt(this.#buffer.slice(at, end), 16);
        at = end + 2;
        this.complete = this.#left === 0;
        this.#part = "chunk";
      } else {
        if (this.#left > 0) {
          const piece = this.#buffer.slice(at, at + this.#left);
          body += piece;
          at += piece.length;
          this.#left -= piece.length;
        }
        if (this.#left > 0 || length - at < 2) break;
        // The line end behind the chunk.
        at += 2;
        this.#part = "size";
      }
    }
    this.#buffer = this.#buffer.slice(at);
    return body;
  }
}
