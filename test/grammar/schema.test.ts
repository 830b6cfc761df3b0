import { describe, expect, test } from "bun:test";
import { check, checker } from "./accept.ts";

/** Texts that a schema's grammar takes, and texts that it does not. */
const TABLE: [name: string, schema: unknown, accepted: string[], refused: string[]][] = [
  [
    "members come in the order of the schema, required ones always, others after them",
    { type: "object", properties: { b: { type: "integer" }, a: { type: "boolean" }, c: {} }, required: ["a"] },
    ['{"a":true}', '{"b":1,"a":true}', '{"b":1,"a":false,"c":[1],"d":{}}', '{"a":true,"zz":1,"y":2}'],
    ['{"b":1}', "{}", '{"a":true,"b":1}', '{"a":1}', '{"d":1,"a":true}', "[]"],
  ],
  [
    "a member that is named cannot come again as another, however it is spelled",
    { type: "object", properties: { ab: { type: "integer" } }, additionalProperties: { type: "string" } },
    ['{"ab":1,"abc":"x"}', '{"a":"x"}', "{}"],
    ['{"ab":"x"}', '{"ab":1,"ab":"x"}', '{"x":"y","ab":"z"}', '{"\\u0061b":"x"}', '{"ab":1,"a\\u0062":"x"}', '{"x":1}'],
  ],
  [
    "spaces: a line and its indentation, one after a colon, none before commas",
    { type: "object", properties: { a: { type: "array", items: { type: "integer" } }, b: {} } },
    ['{"a":[1,2],"b":1}', '{"a": [1, 2], "b": 1}', '{\n  "a": [\n    1,\n    2\n  ],\n  "b": 1\n}', "{ }", '{"a":[ ]}'],
    [' {"a":[1]}', '{"a" :[1]}', '{"a":[1 ,2]}', '{"a":\n[1]}', '{  "a":[1]}', '{"a":[1]} ', `{\n${" ".repeat(21)}"a":[1]}`],
  ],
  [
    "strings of any content have JSON's escapes, and no others",
    { type: "string" },
    ['""', '"a\\n\\"\\\\\\/\\u00e9é漢😀"', '"\\ud83d\\ude00"', '"\\u000a"', '"\u007f"'],
    ['"\\x"', '"\\ud83d"', '"\\ude00x"', '"\\u12"', '"a\nb"', '"a', "a", '"\\ud83d\\u0041"', '"\u0001"'],
  ],
  [
    "constrained strings are spelled in one way",
    { type: "string", pattern: '^[a"\\\\\\n\\u0001é]{2}$' },
    ['"aa"', '"\\"\\\\"', '"\\n\\u0001"', '"éa"'],
    ['"\\u0061a"', '"a"', '"aaa"', '"\\/a"'],
  ],
  [
    "lengths count characters, not bytes or escapes",
    { type: "string", minLength: 2, maxLength: 3 },
    ['"ab"', '"é漢"', '"😀😀😀"', '"\\n\\u0041"', '"\\ud83d\\ude00x"'],
    ['""', '"a"', '"abcd"', '"😀"', '"\\ud83d\\ude00"'],
  ],
  [
    "long lengths too",
    { type: "string", minLength: 70, maxLength: 300 },
    [`"${"x".repeat(70)}"`, `"${"é".repeat(300)}"`, `"${"\\n".repeat(128)}"`],
    [`"${"x".repeat(69)}"`, `"${"é".repeat(301)}"`, `"${"\\n".repeat(512)}"`],
  ],
  ["patterns and lengths meet", { type: "string", pattern: "^[a-z]+$", maxLength: 3 }, ['"abc"'], ['""', '"abcd"', '"ab1"']],
  [
    "choices of any type",
    { enum: ["red", 'a"b', 5, null, true, [1, { x: "y" }], {}] },
    ['"red"', '"a\\"b"', "5", "null", "true", '[1,{"x":"y"}]', "{}", '[1, {"x": "y"}]'],
    ['"re"', "false", "[1]", '[1,{"x":"z"}]', '{"x":1}', "5.0"],
  ],
  [
    "arrays: tuples, the rest, sizes",
    {
      type: "array",
      prefixItems: [{ type: "integer" }, { type: "string" }],
      items: { type: "boolean" },
      minItems: 1,
      maxItems: 4,
    },
    ["[1]", '[1,"a"]', '[1,"a",true,false]'],
    ["[]", '["a"]', '[1,"a",1]', '[1,"a",true,false,true]'],
  ],
  [
    "contains, at least and at most",
    { type: "array", contains: { type: "string" }, minContains: 2, maxContains: 3, maxItems: 5 },
    ['["a","b"]', '[1,"a",null,"b","c"]'],
    ["[]", '["a",1]', '["a","b","c","d"]', '["a","b",1,2,3,4]'],
  ],
  [
    "items that are listed and all different, however they are spelled",
    { type: "array", items: { enum: ["a", "b", 1, { x: [true] }] }, uniqueItems: true, minItems: 1 },
    ['["a"]', '["b",1,"a"]', '[{"x":[true]},1]'],
    ["[]", '["a","a"]', '["a",1,"a"]', '[{"x":[true]},{"x": [true]}]', '["c"]'],
  ],
  [
    "different items at places of their own",
    { type: "array", prefixItems: [{ enum: [1, 2] }, { enum: [2, 3] }], items: { enum: [1, 4] }, uniqueItems: true },
    ["[]", "[1,2,4]", "[2,3,1,4]"],
    ["[2,2]", "[1,3,1]", "[1,2,4,4]", "[3]"],
  ],
  [
    "null and the booleans, some of them excluded",
    { type: ["null", "boolean", "array"], not: { enum: [null, true] }, items: { type: "boolean" }, uniqueItems: true },
    ["false", "[]", "[true,false]", "[false]"],
    ["true", "null", "[true,true]", "[null]"],
  ],
  [
    "unevaluatedProperties: what references and the alternatives that hold speak of",
    {
      $ref: "#/$defs/base",
      anyOf: [{ properties: { b: { const: 1 } } }, { properties: { c: { const: 2 } } }],
      unevaluatedProperties: false,
      $defs: { base: { type: "object", properties: { a: {} }, not: { properties: { d: false } } }, d: {} },
      patternProperties: { "^d": {} },
    },
    ['{"a":0,"b":1,"d":0}', '{"c":2,"d":0}', '{"b":1,"c":2,"d":5}', '{"d":0}'],
    ['{"a":0,"b":1}', '{"b":2,"c":1,"d":0}', '{"b":1,"c":3,"d":0}', '{"d":0,"e":0}'],
  ],
  [
    "unevaluatedProperties: what a condition speaks of, where it holds",
    {
      type: "object",
      if: { properties: { a: { const: 1 } }, required: ["a"] },
      else: { properties: { b: {} } },
      dependentSchemas: { b: { properties: { c: {} } } },
      unevaluatedProperties: { type: "null" },
    },
    ['{"a":1}', '{"b":1,"c":1}', '{"a":null}', "{}", '{"a":1,"x":null}'],
    ['{"a":2}', '{"a":1,"b":1}', '{"c":1}', '{"x":1}'],
  ],
  [
    "unevaluatedItems: places, and what contains has found",
    {
      type: "array",
      prefixItems: [{ type: "integer" }],
      oneOf: [{ contains: { const: "x" } }, { prefixItems: [true, { const: true }] }],
      unevaluatedItems: { type: "null" },
    },
    ['[1,"x",null,"x"]', "[1,true]", "[1,true,null]", "[1]"],
    ['[1,"y"]', "[1,true,true]", '["x"]', '[1,"x",1]', "[1,false]"],
  ],
  [
    "anyOf beside common members",
    {
      type: "object",
      properties: { a: {}, b: {} },
      anyOf: [{ required: ["a"] }, { required: ["b"] }],
      additionalProperties: false,
    },
    ['{"a":1}', '{"b":1}', '{"a":1,"b":2}'],
    ["{}", '{"c":1}'],
  ],
  [
    "oneOf is exactly one",
    {
      oneOf: [
        { type: "string", maxLength: 3 },
        { type: "string", pattern: "^a" },
      ],
    },
    ['"xyz"', '"abcd"'],
    ['"abc"', '"wxyz"', "1"],
  ],
  [
    "oneOf with a tag",
    {
      oneOf: [
        { type: "object", properties: { kind: { const: "a" }, n: { type: "integer" } }, required: ["kind"] },
        { type: "object", properties: { kind: { const: "b" }, n: { type: "string" } }, required: ["kind"] },
      ],
    },
    ['{"kind":"a","n":1}', '{"kind":"b","n":"x"}', '{"kind":"b"}'],
    ['{"kind":"a","n":"x"}', '{"kind":"c"}', '{"n":1}'],
  ],
  [
    "not, if, then and else",
    {
      type: "object",
      properties: { a: { type: "integer", not: { enum: [3] } }, b: {} },
      if: { properties: { a: { const: 1 } }, required: ["a"] },
      // A literal key of this name makes thenables.
      ...(JSON.parse('{"then":{"required":["b"]}}') as object),
      else: { not: { required: ["b"] } },
      additionalProperties: false,
    },
    ['{"a":1,"b":2}', '{"a":2}', "{}"],
    ['{"a":1}', '{"a":2,"b":2}', '{"a":3}', '{"b":1}'],
  ],
  [
    "patternProperties overlap, and propertyNames hold",
    {
      type: "object",
      patternProperties: { "^a": { type: "integer" }, z$: { type: "number", minimum: 5 } },
      additionalProperties: false,
      propertyNames: { maxLength: 3 },
    },
    ['{"a":1}', '{"bz":5.5}', '{"az":7}', "{}"],
    ['{"az":3}', '{"az":5.5}', '{"b":1}', '{"abcd":1}', '{"a":1.5}'],
  ],
  [
    "numbers of members: of others only one is known to be no repetition",
    { type: "object", properties: { a: {}, b: {} }, minProperties: 2, maxProperties: 2 },
    ['{"a":1,"b":2}', '{"a":1,"c":2}'],
    ["{}", '{"a":1}', '{"c":1,"d":2}', '{"a":1,"b":2,"c":3}', '{"c":1,"c":2}'],
  ],
  [
    "dependencies",
    {
      type: "object",
      properties: { a: {}, b: {}, c: {} },
      dependentRequired: { a: ["b"] },
      dependentSchemas: { c: { properties: { b: { const: 1 } } } },
    },
    ['{"b":2}', '{"a":1,"b":2}', '{"b":1,"c":0}', '{"c":0}'],
    ['{"a":1}', '{"b":2,"c":0}'],
  ],
  [
    "references: pointers, anchors, ids, and to themselves",
    {
      $id: "https://example.com/root",
      type: "object",
      properties: { next: { $ref: "#" }, kind: { $ref: "#/$defs/a~1b" }, far: { $ref: "other#here" }, n: { $ref: "item" } },
      additionalProperties: false,
      $defs: {
        "a/b": { enum: ["x"] },
        other: { $id: "other", $defs: { z: { $anchor: "here", type: "boolean" } } },
        item: { $id: "item", type: "integer" },
      },
    },
    ['{"next":{"next":{}},"kind":"x","far":true,"n":1}', "{}"],
    ['{"next":1}', '{"kind":"y"}', '{"far":1}', '{"n":true}', '{"other":1}'],
  ],
  ["true allows anything", true, ["1", "[{}]", '{"a":null}', '"x"', "-1.5e3"], ["", "tru", "[1,]", "{,}"]],
  [
    "what is unknown says nothing",
    { type: "null", nullable: true, "x-order": 1, format: "int32", $comment: "" },
    ["null"],
    ["1"],
  ],
];

for (const [name, schema, accepted, refused] of TABLE) {
  test(name, async () => {
    const grammar = await checker({ kind: "json_schema", schema });
    for (const text of accepted) expect({ text, accepted: grammar.accepts(text) }).toEqual({ text, accepted: true });
    for (const text of refused) expect({ text, accepted: grammar.accepts(text) }).toEqual({ text, accepted: false });
    grammar.dispose();
  });
}

describe("what cannot be honoured is refused, by keyword and place", () => {
  const refused: [schema: unknown, problem: RegExp][] = [
    [{ properties: { a: { type: "array", uniqueItems: true } } }, /^'uniqueItems' at '\/properties\/a' is not supported/],
    [{ $ref: "https://example.com/x" }, /^'\$ref' at '#' is not supported: "https:\/\/example.com\/x" is not within/],
    [{ $ref: "#/nowhere" }, /^'\$ref'/],
    [{ $ref: "#" }, /refers to itself without end/],
    [{ allOf: [{ $ref: "#/$defs/a" }], $defs: { a: { anyOf: [{ $ref: "#" }] } } }, /refers to itself without end/],
    [{ $dynamicRef: "#x" }, /^'\$dynamicRef'/],
    [{ unevaluatedItems: false, $ref: "#/$defs/a", $defs: { a: { allOf: [{ $ref: "#/$defs/a" }] } } }, /in circles/],
    [
      { unevaluatedProperties: false, anyOf: Array(6).fill({ properties: { a: {} } }) },
      /^'unevaluatedProperties'.*too many alternatives/,
    ],
    [{ type: "string", format: "regex" }, /^'format'/],
    [{ type: "string", pattern: "(?<=a)b" }, /^'pattern' at '#' is not supported: .*lookbehind/],
    [{ patternProperties: { "\\b": {} } }, /^'patternProperties'/],
    [{ type: "object", minProperties: 2 }, /^'minProperties'/],
    [{ type: "number", multipleOf: 1.23456789 }, /^'multipleOf'/],
    [{ type: "array", maxItems: 100_000, items: { type: "string" } }, /^'maxItems'/],
    [{ type: "strin" }, /"strin" at '#' is no type/],
    [{ properties: { a: 5 } }, /The schema at '\/properties\/a' is neither an object nor a boolean/],
    [{ minLength: -1 }, /'minLength' at '#' must be a whole number/],
    [{ required: "a" }, /'required' at '#' must be an array/],
    [{ multipleOf: 0 }, /must be above 0/],
    [5, /neither an object nor a boolean/],
    [false, /^No value satisfies the schema/],
    [{ allOf: [{ type: "string" }, { type: "integer" }] }, /^No value satisfies the schema/],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, /^No value satisfies the schema/],
    [
      { allOf: Array.from({ length: 10 }, (_, i) => ({ anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }] })) },
      /^'anyOf'/,
    ],
  ];
  for (const [schema, problem] of refused) {
    test(JSON.stringify(schema).slice(0, 80), async () => {
      expect(await check({ kind: "json_schema", schema })).toMatchObject({ problem: expect.stringMatching(problem) });
    });
  }

  test("also when it is nested without measure", async () => {
    let schema: unknown = {};
    for (let i = 0; i < 5000; i++) schema = { items: schema };
    expect(await check({ kind: "json_schema", schema })).toMatchObject({ problem: expect.stringContaining("nested too deeply") });
  });
});

test("any JSON object", async () => {
  const grammar = await checker({ kind: "json_object" });
  for (const text of ["{}", '{"a":[1,{"b":null}],"a":2}', '{"\\u0041":""}']) expect(grammar.accepts(text)).toBe(true);
  for (const text of ["[]", "1", '{"a"}', "{} {}", ""]) expect(grammar.accepts(text)).toBe(false);
  grammar.dispose();
});
