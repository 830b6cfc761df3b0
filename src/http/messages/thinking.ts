import { createHash, type Hash } from "node:crypto";
import type { MessagesRequest } from "./request-model.ts";

/** What becomes of thinking in an answer: a block with its text, a block without, or nothing. */
export type ThinkingView = "shown" | "omitted" | "hidden";

type ThinkingFields = Pick<MessagesRequest, "thinking" | "output_config">;

/**
 * As at Anthropic, thinking has to be asked for: without, templates that can are told to leave it out, and what a model thinks all the
 * same is not shown, because clients that did not ask take the first block for the answer.
 */
export function readThinkingView({ thinking }: ThinkingFields): ThinkingView {
  if (thinking == null || thinking.type === "disabled") return "hidden";
  return "display" in thinking && thinking.display === "omitted" ? "omitted" : "shown";
}

/** Variables for the chat template, under the names that templates know. */
export function readThinkingVariables(body: ThinkingFields): Record<string, unknown> {
  const enabled = readThinkingView(body) !== "hidden";
  const effort = body.output_config?.effort ?? null;
  return {
    enable_thinking: enabled,
    thinking: enabled,
    // Templates know three levels.
    ...(effort !== null && { reasoning_effort: effort === "xhigh" || effort === "max" ? "high" : effort }),
  };
}

/** The most tokens of thinking; null: any number. */
export function readThinkingBudget({ thinking }: ThinkingFields): number | null {
  return thinking?.type === "enabled" ? thinking.budget_tokens : null;
}

/** Makes the signature of a block, which clients send back with it. Nothing has to be proven to this server: it is a digest. */
export class Signature {
  readonly #hash: Hash = createHash("sha256");

  add(text: string): void {
    this.#hash.update(text);
  }

  /** Call it once. */
  toString(): string {
    return this.#hash.digest("base64");
  }
}
