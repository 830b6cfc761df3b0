import type { ChatFormat } from "./format.ts";

/** Where an output stands with its reasoning when it begins, and how that is told from tokens. */
export interface ReasoningState {
  /** Reasoning, or whatever else may come before the answer, has begun: `open`; may begin: `possible`; is over: `over`. */
  readonly start: "open" | "possible" | "over";
  /** What begins it, where it is only possible. */
  readonly begin: string;
  /** Whether a text ends with the end of reasoning, or has it among its last characters. */
  isEnd(tail: string): boolean;
  /** What ends it, written when its budget is spent. */
  readonly forcedEnd: string;
}

const harmonyEnd = /<\|channel\|>\s*final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>/;

/** Null: the model does not reason, as far as is known. `prompt`: the rendered prompt, or its end. */
export function findReasoningState({ whole, reasoning }: ChatFormat, prompt: string): ReasoningState | null {
  const text = prompt.trimEnd();
  if (whole) {
    const message = text.slice(text.lastIndexOf("<|start|>"));
    return {
      start: harmonyEnd.test(message) ? "over" : "open",
      begin: "",
      isEnd: (tail) => harmonyEnd.test(tail),
      forcedEnd: "<|end|><|start|>assistant<|channel|>final<|message|>",
    };
  }
  if (!reasoning) return null;
  const { begin, end } = reasoning;
  const isOpen = text.endsWith(begin.trimEnd());
  return {
    start: isOpen ? "open" : text.endsWith(end) ? "over" : "possible",
    begin,
    isEnd: (tail) => tail.includes(end),
    forcedEnd: `\n${end}`,
  };
}
