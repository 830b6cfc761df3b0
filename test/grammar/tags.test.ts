import { describe, expect, test } from "bun:test";
import { specialBytes } from "../../src/grammar/automata/utf8.ts";
import type { Tag, TagFormat } from "../../src/grammar/contract.ts";
import { check, checker } from "./accept.ts";

const SPECIALS = ["<|start|>", "<|end|>", "<|call|>"];
const any: TagFormat = { type: "any_text" };
const text = (value: string): TagFormat => ({ type: "const_string", value });
const sequence = (...elements: TagFormat[]): TagFormat => ({ type: "sequence", elements });

const call = (name: string): Tag => ({
  type: "tag",
  begin: `<call>${name}(`,
  content: { type: "json_schema", json_schema: { type: "object", properties: { x: { type: "integer" } }, required: ["x"] } },
  end: ")</call>",
});
const f = '<call>f({"x":1})</call>';
const g = '<call>g({"x": 23})</call>';

/** Texts in which `<|…|>` stands for special tokens. */
function encode(sample: string): Uint8Array {
  const parts = sample.split(/(<\|\w+\|>)/);
  return Buffer.concat(
    parts.map((part, i) => Buffer.from(i % 2 === 1 ? specialBytes(SPECIALS.indexOf(part)) : Buffer.from(part))),
  );
}

const TABLE: [name: string, format: TagFormat, accepted: string[], refused: string[]][] = [
  [
    "free text until a trigger, which must become one of the tags",
    { type: "triggered_tags", triggers: ["<call>"], tags: [call("f"), call("g")] },
    ["", "hello <cal", f, `a${f}b${g}`, `<<call${f}`, "<call"],
    ["<call>", "<call>h(", '<call>f({"x":"1"})</call>', `${f}<call>`, "x<call>f() "],
  ],
  [
    "at least one, at once; and none after the first",
    { type: "triggered_tags", triggers: ["<call>"], tags: [call("f"), call("g")], at_least_one: true, stop_after_first: true },
    [f, g],
    ["", "a", `a${f}`, `${f}a`, f + g],
  ],
  [
    "tags with something between them",
    { type: "tags_with_separator", tags: [call("f"), call("g")], separator: "\n" },
    ["", f, `${g}\n${f}\n${g}`],
    [`${f}\n`, f + f, `\n${f}`, "x"],
  ],
  [
    "at least one of them",
    sequence(text("["), { type: "tags_with_separator", tags: [call("f")], separator: ", ", at_least_one: true }, text("]")),
    [`[${f}]`, `[${f}, ${f}]`],
    ["[]", `[${f},]`],
  ],
  [
    "free text ends where what follows begins",
    sequence(
      { type: "tag", begin: "<think>", content: any, end: "</think>" },
      { type: "or", elements: [text("yes"), text("no")] },
    ),
    ["<think></think>yes", "<think>a</thin </think>no"],
    ["<think>a", "yes", "<think></think>maybe", "<think></think></think>yes"],
  ],
  [
    "also where several texts may follow, of which one begins within another",
    sequence(any, { type: "or", elements: [text("abc"), text("bx!")] }),
    ["abc", "zzabbx!", "ababc", "aabc"],
    ["ab", "abcx", "abx"],
  ],
  [
    "special tokens are named by their texts, and are not these texts",
    sequence(
      { type: "tag", begin: "<|start|>", content: any, end: "<|end|>" },
      { type: "grammar", grammar: 'root ::= [0-9]+ | "z"' },
    ),
    ["<|start|>a<|call|>b<|end|>12", "<|start|><|end|>z"],
    ["<|start|>a", "a<|end|>1", "<|start|><|end|>"],
  ],
  [
    "patterns go on with what follows",
    sequence({ type: "regex", pattern: "a+b?" }, text("b!")),
    ["ab!", "aabb!"],
    ["b!", "abbb!"],
  ],
];

for (const [name, format, accepted, refused] of TABLE) {
  test(name, async () => {
    const grammar = await checker({ kind: "structural_tag", format }, SPECIALS);
    for (const sample of accepted)
      expect({ sample, accepted: grammar.accepts(encode(sample)) }).toEqual({ sample, accepted: true });
    for (const sample of refused)
      expect({ sample, accepted: grammar.accepts(encode(sample)) }).toEqual({ sample, accepted: false });
    grammar.dispose();
  });
}

test("JSON and patterns have no special tokens in them", async () => {
  const specs = [
    { kind: "json_schema", schema: { type: "string" } },
    { kind: "regex", pattern: '".*"' },
    { kind: "ebnf", text: 'root ::= "\\"" [^"]* "\\""' },
  ] as const;
  for (const spec of specs) {
    const grammar = await checker(spec, SPECIALS);
    expect(grammar.accepts(encode('"ab"'))).toBe(true);
    expect(grammar.accepts(encode('"a<|end|>b"'))).toBe(false);
    // The text of one, in ordinary characters.
    expect(grammar.accepts('"a<|end|>b"')).toBe(true);
    grammar.dispose();
  }
});

describe("what makes no sense is refused", () => {
  const bad: [format: unknown, problem: RegExp][] = [
    [sequence(any, { type: "regex", pattern: "a" }), /must be followed by a text that is known/],
    [{ type: "nonsense" }, /no structural format of type "nonsense"/],
    [null, /an object with a type/],
    [{ type: "const_string" }, /'value' .* must be a string/],
    [{ type: "sequence", elements: [] }, /'elements' .* must be a list/],
    [{ type: "triggered_tags", triggers: ["<x>"], tags: [call("f")] }, /beginning of no tag/],
    [{ type: "triggered_tags", triggers: ["<call>"], tags: [call("f"), { ...call("g"), begin: "g(" }] }, /none of the triggers/],
    [{ type: "triggered_tags", triggers: ["<", "<call>"], tags: [call("f")] }, /nor the beginning of another/],
    [{ type: "tag", begin: "a", content: { type: "json_schema", json_schema: 7 }, end: "b" }, /neither an object nor a boolean/],
    [{ type: "tag", begin: "a", content: { type: "grammar", grammar: "x" }, end: "b" }, /line 1/],
    [{ type: "regex", pattern: "a^" }, /No text matches/],
  ];
  for (const [format, problem] of bad) {
    test(JSON.stringify(format).slice(0, 60), async () => {
      const spec = { kind: "structural_tag", format: format as TagFormat } as const;
      expect(await check(spec)).toMatchObject({ problem: expect.stringMatching(problem) });
    });
  }
});
