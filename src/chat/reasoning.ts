import type { ReasoningSyntax } from "./format.ts";

/** DeepSeek R1, Qwen 3, GLM, Kimi, MiniMax, Nemotron and most others. */
export const think: ReasoningSyntax = { name: "think", begin: "<think>", end: "</think>" };

/** Hunyuan A13B sets the answer apart as well. */
export const thinkAnswer: ReasoningSyntax = { ...think, name: "think_answer", dropped: ["<answer>", "</answer>"] };

/** So do ERNIE 4.5 and Granite 3.3. */
export const thinkResponse: ReasoningSyntax = { ...think, name: "think_response", dropped: ["<response>", "</response>"] };

export const minicpmThought: ReasoningSyntax = { name: "minicpm3", begin: "<|thought_start|>", end: "<|thought_end|>" };

export const seedThink: ReasoningSyntax = { name: "seed_oss", begin: "<seed:think>", end: "</seed:think>" };

export const longcatThink: ReasoningSyntax = { name: "longcat", begin: "<longcat_think>", end: "</longcat_think>" };

export const exaoneThought: ReasoningSyntax = { name: "exaone", begin: "<thought>", end: "</thought>" };

export const kimiVlThink: ReasoningSyntax = { name: "kimi_vl", begin: "◁think▷", end: "◁/think▷" };

/** Magistral and later models of Mistral's. */
export const mistralThink: ReasoningSyntax = { name: "mistral", begin: "[THINK]", end: "[/THINK]", anywhere: true };

export const gemmaThought: ReasoningSyntax = {
  name: "gemma4",
  begin: "<|channel>thought",
  end: "<channel|>",
  anywhere: true,
  specialTokens: ["<|channel>", "<channel|>"],
};

export const cohereThinking: ReasoningSyntax = {
  name: "cohere",
  begin: "<|START_THINKING|>",
  end: "<|END_THINKING|>",
  anywhere: true,
  dropped: ["<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"],
};

/** Granite 3.2 writes sentences. */
export const graniteThought: ReasoningSyntax = {
  name: "granite",
  begin: "Here is my thought process:",
  end: "Here is my response:",
  specialTokens: [],
};
