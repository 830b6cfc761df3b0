import { expect, test } from "bun:test";
import { StartupError } from "../../src/errors.ts";
import { readGenerationConfig } from "../../src/models/generation-config.ts";

const neutral = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

test("sampling and end tokens come from generation_config.json", () => {
  const generationConfig = {
    eos_token_id: [5, 6],
    temperature: 0.6,
    top_p: 0.9,
    top_k: 20,
    min_p: 0.05,
    repetition_penalty: 1.1,
  };
  expect(readGenerationConfig({ generationConfig, config: { eos_token_id: 1 } })).toEqual({
    eosTokenIds: [5, 6],
    sampling: { temperature: 0.6, topP: 0.9, topK: 20, minP: 0.05, repetitionPenalty: 1.1 },
  });
  expect(
    readGenerationConfig({ generationConfig: { do_sample: false, temperature: 0.6 }, config: {} }).sampling.temperature,
  ).toBe(0);
});

test("without it they are neutral, and the end tokens those of config.json, inside text_config too", () => {
  expect(readGenerationConfig({ generationConfig: null, config: { eos_token_id: 1 } })).toEqual({
    eosTokenIds: [1],
    sampling: neutral,
  });
  const nested = { text_config: { eos_token_id: [1, 106] } };
  expect(readGenerationConfig({ generationConfig: null, config: nested }).eosTokenIds).toEqual([1, 106]);
  expect(readGenerationConfig({ generationConfig: {}, config: {} }).eosTokenIds).toEqual([]);
});

test("left out, its end tokens still count", () => {
  const generationConfig = { eos_token_id: 5, temperature: 0.6, do_sample: false, top_p: 2 };
  expect(readGenerationConfig({ generationConfig, config: {} }, { neutral: true })).toEqual({
    eosTokenIds: [5],
    sampling: neutral,
  });
});

test("a value out of bounds is refused with its name", () => {
  const read = () => readGenerationConfig({ generationConfig: { top_p: 2 }, config: {} });
  expect(read).toThrow(StartupError);
  expect(read).toThrow(/generation_config\.json: top_p/);
});
