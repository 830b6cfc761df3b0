/** What the grammars allow is what the parsers read: sentences are drawn from them and parsed. */
import { describe, expect, test } from "bun:test";
import type { Tool } from "../../src/chat/events.ts";
import { chooseFormat, parserNames } from "../../src/chat/registry.ts";
import { describeCalls } from "../../src/chat/structure.ts";
import type { TagFormat } from "../../src/engine/request.ts";
import { merge, parse } from "./parse.ts";

const text = 'a <b> "c"\n\\d';
const tools: Tool[] = [
  {
    name: "book",
    parameters: {
      properties: {
        city: { type: "string" },
        nights: { type: "integer" },
        unit: { type: "string", enum: ["C", "F"] },
        at: { $ref: "#/$defs/point" },
        code: { type: "string", pattern: "^[A-Z]+$" },
      },
      required: ["city", "at"],
      $defs: { point: { type: "object", properties: { lat: { type: "number" } } } },
    },
  },
  { name: "now" },
  { name: "find", parameters: { type: "object", properties: { q: { type: "string" }, k: { type: "integer" } } } },
];

/** One sentence of a format; `pick` chooses among what there is. Stands in for what a model would write. */
function draw(format: TagFormat, pick: (count: number) => number): string {
  const all = (formats: readonly TagFormat[]) => formats.map((part) => draw(part, pick)).join("");
  switch (format.type) {
    case "const_string":
      return format.value;
    case "json_schema":
      return drawJson(format.json_schema);
    case "regex":
      return format.pattern.includes("0-9") ? "7" : "XYZ";
    case "grammar":
      return "";
    case "any_text":
      return text;
    case "sequence":
      return all(format.elements);
    case "or":
      return draw(format.elements[pick(format.elements.length)]!, pick);
    case "tag":
      return format.begin + draw(format.content, pick) + format.end;
    case "triggered_tags":
      return draw(format.tags[pick(format.tags.length)]!, pick);
    case "tags_with_separator": {
      const count = format.stop_after_first ? 1 : 1 + pick(2);
      return Array.from({ length: count }, () => draw(format.tags[pick(format.tags.length)]!, pick)).join(format.separator);
    }
  }
}

function drawJson(schema: unknown): string {
  const { type, properties = {}, $ref } = schema as { type?: string; properties?: Record<string, unknown>; $ref?: string };
  if ($ref) return '{"lat": 1.5}';
  if (type === "integer") return "3";
  if (type === "string") return JSON.stringify(text);
  return `{${Object.entries(properties)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${drawJson(inner)}`)
    .join(", ")}}`;
}

function createPick(seed: number): (count: number) => number {
  let state = seed;
  return (count) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % count;
  };
}

for (const name of parserNames.tools) {
  const format = chooseFormat({ template: null, toolParser: name, reasoningParser: "none" });
  const { structure } = (format.whole ?? format.tools)!;
  const family = { toolParser: name, reasoningParser: "none", tools, prompt: format.whole ? "<|start|>assistant" : "" };
  const isOne = format.whole !== null;

  describe(name, () => {
    test("forced calls are read as calls with arguments of the schema", () => {
      for (let seed = 0; seed < 40; seed++) {
        const grammar = describeCalls(structure, tools, { isForced: true, single: isOne, isStrict: () => false });
        const sentence = draw(grammar, createPick(seed));
        const { calls, content } = merge(parse([sentence], family));
        expect([content, calls.length > 0, calls.map(({ malformed }) => malformed).filter(Boolean)]).toEqual(["", true, []]);
        for (const call of calls) {
          const args = JSON.parse(call.arguments) as Record<string, unknown>;
          if (call.name === "book") expect(args).toMatchObject({ city: text, at: { lat: 1.5 } });
          if ("nights" in args) expect(args.nights).toBe(3);
          if ("k" in args) expect(args.k).toBe(3);
          if ("q" in args) expect(args.q).toBe(text);
          expect(["book", "now", "find"]).toContain(call.name);
        }
      }
    });

    test("what a call begins with in free text is a beginning of each that may follow", () => {
      const grammar = describeCalls(structure, tools, { isForced: false, single: false, isStrict: () => true });
      if (grammar.type !== "triggered_tags") throw new Error(grammar.type);
      for (const { begin } of grammar.tags) expect(grammar.triggers.some((trigger) => begin.startsWith(trigger))).toBe(true);
    });
  });
}
