import { describe, expect, test } from "bun:test";
import { gateReasoning } from "../../src/chat/reasoning-gate.ts";
import { findReasoningState } from "../../src/chat/reasoning-state.ts";
import { chooseFormat } from "../../src/chat/registry.ts";
import type { CompiledGrammar } from "../../src/engine/request.ts";

const vocabSize = 300;
const begin = 256;
const end = 257;
/** One token a byte, and two marks. */
const tokenBytes = (id: number): Uint8Array =>
  id === begin ? Buffer.from("<think>") : id === end ? Buffer.from("</think>") : Uint8Array.of(id);
const idsOf = (text: string) => [...Buffer.from(text)];

/** Allows the bytes of a text, one after the other. */
function only(text: string): CompiledGrammar & { disposed: number } {
  const grammar = {
    disposed: 0,
    matcher() {
      const left = idsOf(text);
      return {
        async next(token: number | null) {
          if (token !== null && token !== left.shift()) throw new Error(`${token} is not allowed`);
          const mask = new Int32Array(Math.ceil(vocabSize / 32));
          if (left[0] !== undefined) mask[left[0] >> 5]! |= 1 << (left[0] & 31);
          return { mask, mayEnd: left.length === 0, mustEnd: left.length === 0 };
        },
        dispose() {
          grammar.disposed++;
        },
      };
    },
  };
  return grammar;
}

const think = chooseFormat({ template: null, toolParser: "none", reasoningParser: "think" });

function gate(prompt: string, options: { answer?: CompiledGrammar; budget?: number } = {}) {
  const state = findReasoningState(think, prompt)!;
  const { answer = null, budget = null } = options;
  const forcedEnd = [10, end];
  return gateReasoning({ state, answer, budget, beginToken: begin, forcedEnd, vocabSize, tokenBytes }).matcher();
}

/** Ids that the mask lets through. */
function listAllowed({ mask }: { mask: Int32Array | null }): number[] | "any" {
  if (mask === null) return "any";
  return Array.from({ length: vocabSize }, (_, id) => id).filter((id) => (mask[id >> 5]! >> (id & 31)) & 1);
}

async function feed(matcher: ReturnType<CompiledGrammar["matcher"]>, ids: readonly (number | null)[]) {
  const seen: (number[] | "any")[] = [];
  for (const id of ids) seen.push(listAllowed(await matcher.next(id)));
  return seen;
}

describe("the answer is held, reasoning before it is not", () => {
  test("when the prompt has begun it: anything up to its end mark, then the grammar", async () => {
    const matcher = gate("<think>\n", { answer: only("ab") });
    expect(await feed(matcher, [null, ...idsOf("hm")])).toEqual(["any", "any", "any"]);
    expect((await matcher.next(33)).mayEnd).toBe(false);
    expect(await feed(matcher, [end, 97, 98])).toEqual([[97], [98], []]);
  });

  test("when the model may begin it: its mark, or the answer's first token", async () => {
    const grammar = only("ab");
    const thinking = gate("user: hi\n", { answer: grammar });
    expect(await feed(thinking, [null, begin, 120, end, 97])).toEqual([[97, begin], "any", "any", [97], [98]]);
    expect(grammar.disposed).toBe(1);
    const answering = gate("user: hi\n", { answer: only("ab") });
    expect(await feed(answering, [null, 97, 98])).toEqual([[97, begin], [98], []]);
  });

  test("when it is over in the prompt: the grammar alone", async () => {
    expect(await feed(gate("<think>\n\n</think>\n\n", { answer: only("ab") }), [null, 97])).toEqual([[97], [98]]);
  });

  test("however its end mark is made of tokens", async () => {
    const matcher = gate("<think>", { answer: only("a") });
    const seen = await feed(matcher, [null, ...idsOf("x</thi</think>")]);
    expect(seen.slice(0, -1).every((allowed) => allowed === "any")).toBe(true);
    expect(seen.at(-1)).toEqual([97]);
  });

  test("disposing it disposes the answer's matcher", () => {
    const grammar = only("a");
    gate("<think>", { answer: grammar }).dispose();
    expect(grammar.disposed).toBe(1);
  });
});

describe("a budget", () => {
  test("forces the end after so many tokens, and the rest is free", async () => {
    const matcher = gate("<think>\n", { budget: 2 });
    expect(await feed(matcher, [null, 120, 120, 10, end, 97])).toEqual(["any", "any", [10], [end], "any", "any"]);
  });

  test("of zero forces it at once; one that is not spent forces nothing", async () => {
    expect(await feed(gate("<think>\n", { budget: 0 }), [null, 10, end])).toEqual([[10], [end], "any"]);
    expect(await feed(gate("<think>\n", { budget: 3 }), [null, 120, end, 97, 97, 97])).toEqual(Array(6).fill("any"));
  });

  test("counts reasoning that the model begins, and hands over to the grammar", async () => {
    const matcher = gate("", { budget: 1, answer: only("a") });
    expect(await feed(matcher, [null, begin, 120, 10, end])).toEqual([[97, begin], "any", [10], [end], [97]]);
  });

  test("counts reasoning after white space as well", async () => {
    expect(await feed(gate("", { budget: 1 }), [null, 10, begin, 120])).toEqual(["any", "any", "any", [10]]);
  });

  test("a free answer without reasoning has none", async () => {
    expect(await feed(gate("", { budget: 1 }), [null, 97, 97, 97])).toEqual(Array(4).fill("any"));
  });
});

test("GPT-OSS: everything before the final message is before the answer", () => {
  const { whole } = chooseFormat({ template: null, toolParser: "harmony", reasoningParser: null });
  const stateOf = (prompt: string) => findReasoningState({ whole, reasoning: null, tools: null }, prompt)!;
  const state = stateOf("<|start|>user<|message|>hi<|end|><|start|>assistant");
  expect(state.start).toBe("open");
  expect(stateOf("<|start|>assistant<|channel|>final<|message|>").start).toBe("over");
  expect(state.isEnd("<|channel|>analysis<|message|>Hm, final<|end|>")).toBe(false);
  expect(state.isEnd("Hm<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>")).toBe(true);
  expect(state.isEnd(state.forcedEnd)).toBe(true);
  expect(findReasoningState(chooseFormat({ template: null, toolParser: "none", reasoningParser: "none" }), "")).toBeNull();
});
