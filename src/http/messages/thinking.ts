import { createHash } from "node:crypto";
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

const carrier = "thinking:";

/**
 * The signature of a block, which clients send back with it. Nothing has to be proven to this server: it is a digest, or, of a block
 * without its text, that text, so that the model has its thoughts again in the next turn.
 */
export function signThinking(text: string, view: ThinkingView): string {
  if (view === "omitted") return carrier + Buffer.from(text).toString("base64");
  return createHash("sha256").update(text).digest("base64");
}

/** The text of a block that has come back. */
export function readThinking({ thinking, signature }: { thinking: string; signature?: string | null | undefined }): string {
  if (thinking !== "" || !signature?.startsWith(carrier)) return thinking;
  return Buffer.from(signature.slice(carrier.length), "base64").toString();
}
