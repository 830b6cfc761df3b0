/** A hub on loopback: the endpoints that a download uses, with faults to order. Large files come from a second server. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { HubSettings } from "../../src/surroundings.ts";

export interface SeenRequest {
  path: string;
  range: string | null;
  authorization: string | null;
  storage: boolean;
}

export type Fault = (request: SeenRequest, response: ServerResponse, body: Uint8Array) => boolean;

export class HubImitation {
  readonly commit = "c0ffee".padEnd(40, "0");
  readonly files = new Map<string, Uint8Array>();
  readonly seen: SeenRequest[] = [];
  /** Told a file's oid instead of the right one. */
  readonly wrongOids = new Map<string, string>();
  /** Told as a file's size instead of the right one. */
  readonly wrongSizes = new Map<string, number>();
  /** Handles a request for a file's bytes in its own way when it returns true. */
  fault: Fault = () => false;
  /** Answers every request with this status and error code. */
  refusal: { status: number; code?: string } | null = null;
  private servers: Server[] = [];
  private storageUrl = "";
  url = "";

  async start(): Promise<this> {
    this.storageUrl = await this.listen((request, response) => this.serveFile(request, response, true));
    this.url = await this.listen((request, response) => this.answer(request, response));
    return this;
  }

  stop(): void {
    for (const server of this.servers) {
      server.closeAllConnections();
      server.close();
    }
  }

  settings(cacheDirectory: string, changes: Partial<HubSettings> = {}): HubSettings {
    return { cacheDirectory, endpoint: this.url, token: null, tokenFile: "/nonexistent", offline: false, ...changes };
  }

  /** Paths of the files whose bytes were asked for. */
  fetched(): string[] {
    return this.seen
      .filter(({ storage, path }) => storage || path.includes("/resolve/"))
      .map(({ path }) => path.split(`/${this.commit}/`)[1]!);
  }

  oid(path: string): string {
    const body = this.files.get(path)!;
    const wrong = this.wrongOids.get(path);
    if (wrong) return wrong;
    if (this.isLarge(path)) return new Bun.CryptoHasher("sha256").update(body).digest("hex");
    return new Bun.CryptoHasher("sha1").update(`blob ${body.length}\0`).update(body).digest("hex");
  }

  private isLarge(path: string): boolean {
    return path.endsWith(".safetensors");
  }

  private async listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    const server = createServer(handler);
    this.servers.push(server);
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url!, this.url);
    if (this.refusal) {
      this.note(request, pathname, false);
      response.writeHead(this.refusal.status, this.refusal.code ? { "X-Error-Code": this.refusal.code } : {});
      response.end("refused");
    } else if (pathname.startsWith("/api/models/owner/name/revision/")) {
      this.note(request, pathname, false);
      sendJson(response, { _id: "1", id: "owner/name", sha: this.commit, lastModified: "2026-01-01T00:00:00Z" });
    } else if (pathname === `/api/models/owner/name/tree/${this.commit}`) {
      this.note(request, pathname, false);
      sendJson(response, [
        { type: "directory", path: "original", oid: "", size: 0 },
        ...[...this.files.keys()].map((path) => this.entry(path)),
      ]);
    } else if (pathname.startsWith(`/owner/name/resolve/${this.commit}/`)) {
      const path = pathname.split(`/${this.commit}/`)[1]!;
      const facts = {
        "X-Repo-Commit": this.commit,
        "X-Linked-Size": String(this.files.get(path)?.length),
        "X-Linked-Etag": `"${this.oid(path)}"`,
      };
      if (!this.isLarge(path)) this.serveFile(request, response, false);
      else response.writeHead(302, { ...facts, Location: `${this.storageUrl}${pathname}` }).end();
    } else {
      this.note(request, pathname, false);
      response.writeHead(404, { "X-Error-Code": "RepoNotFound" }).end();
    }
  }

  private entry(path: string): object {
    const size = this.wrongSizes.get(path) ?? this.files.get(path)!.length;
    const oid = this.oid(path);
    return this.isLarge(path)
      ? { type: "file", path, size, oid: "0".repeat(40), lfs: { oid, size, pointerSize: 130 } }
      : { type: "file", path, size, oid };
  }

  private serveFile(request: IncomingMessage, response: ServerResponse, storage: boolean): void {
    const { pathname } = new URL(request.url!, this.url);
    const seen = this.note(request, pathname, storage);
    const body = this.files.get(pathname.split(`/${this.commit}/`)[1]!)!;
    if (this.fault(seen, response, body)) return;
    const from = Number(/^bytes=(\d+)-$/.exec(seen.range ?? "")?.[1] ?? 0);
    const rest = body.subarray(from);
    const range = from > 0 ? { "Content-Range": `bytes ${from}-${body.length - 1}/${body.length}` } : {};
    response.writeHead(from > 0 ? 206 : 200, { "Content-Length": rest.length, "Accept-Ranges": "bytes", ...range });
    response.end(rest);
  }

  private note(request: IncomingMessage, path: string, storage: boolean): SeenRequest {
    const seen = { path, storage, range: request.headers.range ?? null, authorization: request.headers.authorization ?? null };
    this.seen.push(seen);
    return seen;
  }
}

/** Sends `count` bytes of what was promised, then breaks the connection. */
export function dropAfter(count: number, response: ServerResponse, body: Uint8Array): boolean {
  response.writeHead(200, { "Content-Length": body.length });
  response.write(body.subarray(0, count), () => setTimeout(() => response.destroy(), 20));
  return true;
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

/** Bytes without a pattern that a shifted copy would repeat. */
export function randomBytes(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

/** A sharded model among files that nobody needs. */
export function addModel(hub: HubImitation): void {
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  hub.files.set("config.json", json({ model_type: "llama" }));
  hub.files.set("tokenizer.json", json({ version: "1.0" }));
  hub.files.set("tokenizer_config.json", json({ chat_template: "{{ messages }}" }));
  hub.files.set("model.safetensors.index.json", json({ weight_map: { a: shards[0], b: shards[1], c: shards[0] } }));
  hub.files.set(shards[0]!, randomBytes(700_000, 1));
  hub.files.set(shards[1]!, randomBytes(300_000, 2));
  hub.files.set("1_Pooling/config.json", json({ pooling_mode_mean_tokens: true }));
  for (const name of [
    "pytorch_model.bin",
    "model.gguf",
    "README.md",
    "onnx/model.onnx",
    "original/model.safetensors",
    "consolidated.safetensors",
  ]) {
    hub.files.set(name, randomBytes(1000, 3));
  }
}

export const neededFiles = [
  "1_Pooling/config.json",
  "config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
