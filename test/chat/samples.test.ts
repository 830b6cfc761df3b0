import { describe, expect, test } from "bun:test";
import { merge, parse } from "./parse.ts";
import { samples } from "./samples.ts";

describe("what is made of", () => {
  for (const sample of samples) {
    test(sample.title, () => {
      const parsed = merge(parse([sample.text], sample));
      expect({
        reasoning: parsed.reasoning,
        content: parsed.content,
        calls: parsed.calls.map(({ name, arguments: json, malformed }) => [name, malformed ?? JSON.parse(json)]),
      }).toEqual({ reasoning: sample.reasoning ?? "", content: sample.content ?? "", calls: sample.calls ?? [] });
      if (sample.ids) expect(parsed.ids).toEqual(sample.ids);
    });
  }
});
