import { StartupError } from "./errors.ts";

export interface Address {
  host: string;
  port: number;
}

type Handler = (request: Request) => Response | Promise<Response>;

/** Throws `StartupError` when the address cannot be had. `onError` answers when a handler throws in spite of everything. */
export function listen(
  { host, port }: Address,
  fetch: Handler,
  onError: (error: Error) => Response = () => new Response(null, { status: 500 }),
): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: host,
      port,
      fetch,
      // A stream may be silent for long; a client that is gone is noticed by its closed connection.
      idleTimeout: 0,
      // The app has the limit, and answers with OpenAI's error object; Bun's own answer would be an empty 413.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Bun's own page would show our source to the client.
      development: false,
      error: onError,
      // Without development, and so with NODE_ENV=production, Bun would share the port with whoever has it.
      reusePort: false,
    });
  } catch (error) {
    throw new StartupError(describe(error as Error & { code?: string }, host, port), { cause: error });
  }
}

/** Finds out whether the address can be had, before a large model is loaded in vain. */
export async function requireAddress(address: Address): Promise<void> {
  await listen(address, () => new Response(null, { status: 503 })).stop(true);
}

function describe({ code, message }: Error & { code?: string }, host: string, port: number): string {
  if (code === "EADDRINUSE") return `Port ${port} on ${host} is taken: choose another with --port, or stop what listens there.`;
  if (code === "EACCES") return `Port ${port} on ${host} is not permitted to this user: choose one above 1023 with --port.`;
  if (code === "EADDRNOTAVAIL") return `${host} is not an address of this machine: choose another with --host.`;
  return `Cannot listen on ${host}, port ${port}: ${message}.`;
}

/** How a client on this machine reaches it. */
export function urlOf({ host, port }: Address): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

export const isLoopback = (host: string) => host === "localhost" || host === "::1" || host.startsWith("127.");
