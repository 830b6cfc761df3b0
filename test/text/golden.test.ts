import { describe, expect, test } from "bun:test";
import { ChatTemplate } from "../../src/text/chat-template.ts";
import { Detokenizer } from "../../src/text/detokenizer.ts";
import type { TemplateMessage } from "../../src/text/template-messages.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { encodeUtf8 } from "../../src/text/utf8.ts";

interface Golden {
  id: number;
  messages: TemplateMessage[];
  tools: unknown[] | null;
  template_kwargs: Record<string, unknown>;
  prompt_token_ids: number[];
  completion_text: string;
  completion_token_ids: number[];
}

const root = `${import.meta.dir}/../..`;
const models = [
  {
    name: "tiny-chat",
    model: `${root}/src/assets/tiny-chat`,
    golden: `${root}/test/fixtures/models/tiny-chat/golden.json`,
    count: 40,
  },
  {
    name: "tiny-chat-4bit",
    model: `${root}/test/fixtures/models/tiny-chat-4bit`,
    golden: `${root}/test/fixtures/models/tiny-chat-4bit/golden.json`,
    count: 10,
  },
];

for (const { name, model, golden, count } of models) {
  const entries = (await Bun.file(golden).json()) as Golden[];
  const tokenizerConfig = (await Bun.file(`${model}/tokenizer_config.json`).json()) as Record<string, unknown>;
  const tokenizer = loadTokenizer({ tokenizerJson: await Bun.file(`${model}/tokenizer.json`).json(), tokenizerConfig });
  const template = new ChatTemplate(tokenizerConfig);

  describe(`golden conversations of ${name}`, () => {
    test("are all there, and the template compiles", () => {
      expect(entries.length).toBe(count);
      expect(template.problem).toBeNull();
    });

    test.each(entries.map((entry) => [entry.id, entry] as const))("%i", async (_id, entry) => {
      const prompt = template.render(entry.messages, { tools: entry.tools, kwargs: entry.template_kwargs });
      expect(tokenizer.decode(entry.prompt_token_ids, { skipSpecialTokens: false })).toBe(prompt);
      expect(tokenizer.encode(prompt, { addSpecialTokens: false })).toEqual(entry.prompt_token_ids);
      expect(await tokenizer.encodeAsync(prompt, { addSpecialTokens: true })).toEqual(entry.prompt_token_ids);

      expect(tokenizer.decode(entry.completion_token_ids, { skipSpecialTokens: true })).toBe(entry.completion_text);
      const detokenizer = new Detokenizer(tokenizer);
      const pieces = entry.completion_token_ids.map((id) => detokenizer.push(id));
      expect(pieces.join("") + detokenizer.flush()).toBe(entry.completion_text);
      const bytes = entry.completion_token_ids.flatMap((id) => [...tokenizer.tokenBytes(id)]);
      expect(bytes).toEqual([...encodeUtf8(entry.completion_text)]);
    });
  });
}
