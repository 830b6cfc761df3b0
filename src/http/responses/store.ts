import type { Item } from "./items.ts";
import type { Response } from "./model.ts";

/** What was said up to a response: its own part, and the turns before it. Turns are shared by all that go on from them. */
export interface Turn {
  readonly previous: Turn | null;
  readonly input: readonly Item[];
  readonly output: readonly Item[];
}

export interface StoredResponse {
  readonly response: Response;
  readonly turn: Turn;
}

interface Entry extends StoredResponse {
  readonly owner: string;
}

interface Held {
  /** Entries and later turns that need it. */
  users: number;
  readonly bytes: number;
  readonly owner: string;
}

export interface StoreLimits {
  /** Of responses. */
  maxCount: number;
  /** Of their JSON, each turn counted once. */
  maxBytes: number;
}

/** Responses in memory; those not used for longest go first. Owners do not see each other's. */
export class ResponseStore {
  readonly #limits: StoreLimits;
  /** In the order of use. */
  readonly #entries = new Map<string, Entry>();
  readonly #held = new Map<Turn, Held>();
  /** Items by owner and id, with the last turn that has them. */
  readonly #items = new Map<string, { item: Item; turn: Turn }>();
  #bytes = 0;

  constructor(limits: Partial<StoreLimits> = {}) {
    this.#limits = { maxCount: limits.maxCount ?? 4096, maxBytes: limits.maxBytes ?? 64 * 1024 * 1024 };
  }

  get count(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(owner: string, id: string): StoredResponse | null {
    const entry = this.#entries.get(id);
    if (entry?.owner !== owner) return null;
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry;
  }

  /** An item of any stored response, or of the turns before one. */
  item(owner: string, id: string): Item | null {
    return this.#items.get(keyOf(owner, id))?.item ?? null;
  }

  add(owner: string, { response, turn }: StoredResponse): void {
    this.#entries.set(response.id, { owner, response, turn });
    this.#hold(owner, turn, JSON.stringify(response).length);
    for (const id of this.#entries.keys()) {
      if (this.#entries.size <= this.#limits.maxCount && this.#bytes <= this.#limits.maxBytes) return;
      this.#drop(id);
    }
  }

  /** Whether there was one. */
  delete(owner: string, id: string): boolean {
    return this.get(owner, id) !== null && this.#drop(id);
  }

  #drop(id: string): boolean {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    this.#entries.delete(id);
    this.#release(entry.turn);
    return true;
  }

  /** A turn before it may have lost its entry, and still be held by another. */
  #hold(owner: string, turn: Turn, responseBytes: number): void {
    for (let at: Turn | null = turn; at !== null; at = at.previous) {
      const known = this.#held.get(at);
      if (known) {
        known.users++;
        return;
      }
      const bytes = JSON.stringify(at.input).length + (at === turn ? responseBytes : JSON.stringify(at.output).length);
      this.#held.set(at, { users: 1, bytes, owner });
      this.#bytes += bytes;
      for (const item of itemsOf(at)) this.#items.set(keyOf(owner, item.id), { item, turn: at });
    }
  }

  #release(turn: Turn): void {
    for (let at: Turn | null = turn; at !== null; at = at.previous) {
      const held = this.#held.get(at);
      if (!held || --held.users > 0) return;
      this.#held.delete(at);
      this.#bytes -= held.bytes;
      for (const { id } of itemsOf(at)) {
        const key = keyOf(held.owner, id);
        if (this.#items.get(key)?.turn === at) this.#items.delete(key);
      }
    }
  }
}

/** All that was said, the oldest first. */
export function listItems(turn: Turn | null): Item[] {
  const turns: Turn[] = [];
  for (let at = turn; at !== null; at = at.previous) turns.push(at);
  return turns.reverse().flatMap(itemsOf);
}

function itemsOf({ input, output }: Turn): Item[] {
  return [...input, ...output];
}

const keyOf = (owner: string, id: string) => `${owner}\n${id}`;
