import { describe, expect, test } from "bun:test";
import { check, checker } from "./accept.ts";

const TABLE: [name: string, text: string, accepted: string[], refused: string[]][] = [
  [
    "llama.cpp's arithmetic, with comments and names of its kind",
    `root  ::= (expr "=" ws term "\\n")+ # lines
     expr  ::= term ([-+*/] term)*
     term  ::= ident | num-ber | "(" ws expr ")" ws
     ident ::= [a-z] [a-z0-9_]* ws
     num-ber ::= [0-9]+ ws
     ws    ::= [ \\t\\n]*`,
    ["a+b1=(c *2)\n", "1=1\n2 =x\n"],
    ["a+=1\n", "a=1", ""],
  ],
  ["alternatives over several lines", 'root ::=\n  "a"\n  | "b"\n  | x\nx ::= "c"', ["a", "b", "c"], ["", "ab"]],
  ["characters beyond ASCII in classes", "root ::= [à-ü漢😀]+ [^é-ê\\n]", ["ü漢😀x", "àé漢", "àé😀"], ["zx", "àé", "à\n", "x"]],
  [
    "escapes",
    'root ::= "\\x41\\u00e9\\U0001F600\\"\\\\\\t" [\\]\\-\\\\a\\x42]',
    ['Aé😀"\\\t]', 'Aé😀"\\\tB', 'Aé😀"\\\t-'],
    ['Aé😀"\\\tb'],
  ],
  ["any character but no broken one", "root ::= .{2,3}", ["ab", "é\n", "😀漢x"], ["a", "abcd"]],
  [
    "repetitions",
    'root ::= "a"{2} ("b" | "cc"){1,2} "d"{0,1} "e"{2,} [f]? ("g" "h")*',
    ["aabee", "aaccbdeeefghgh", "aabbeeef"],
    ["abee", "aabbbee", "aabe", "aabeeg"],
  ],
  [
    "recursion on either side",
    'root ::= l r\nl ::= l "a" | "a"\nr ::= "b" r "c" | ""',
    ["a", "aaa", "abc", "aabbcc"],
    ["", "b", "abbc"],
  ],
  ["nothing", 'root ::= ""', [""], ["a"]],
];

for (const [name, text, accepted, refused] of TABLE) {
  test(name, async () => {
    const grammar = await checker({ kind: "ebnf", text });
    for (const sample of accepted) expect({ sample, accepted: grammar.accepts(sample) }).toEqual({ sample, accepted: true });
    for (const sample of refused) expect({ sample, accepted: grammar.accepts(sample) }).toEqual({ sample, accepted: false });
    grammar.dispose();
  });
}

describe("mistakes are named with their line", () => {
  const mistakes: [text: string, problem: RegExp][] = [
    ['root ::= "a"\nx ::= y', /no rule 'y' \(used in line 2\)/],
    ['a ::= "a"', /no rule 'root'/],
    ["", /no rule 'root'/],
    ['root ::= "a', /line 1: a text does not end/],
    ["root ::= [a", /class of characters does not end/],
    ["root ::= [z-a]", /out of order/],
    ['root ::= ("a" | "b"', /line 1: a group is not closed/],
    ['root ::= "a")', /line 1: a rule begins/],
    ['root ::= "a"\nroot ::= "b"', /line 2: there are two rules 'root'/],
    ['root ::= "a"{3,2}', /out of order/],
    ['root ::= "a"{x}', /number of repetitions/],
    ['root ::= "a"**', /two repetitions/],
    ["root ::= * ", /'a repetition' is not expected/],
    ['root ::= "\\ud800"', /no character/],
    ['root ::= "a" & "b"', /line 1: "&" is not expected/],
    ['root ::= "a" (=b)', /"=" is not expected/],
    ["root ::= a\na ::= a", /no text that ends/],
    [`root ::= ${"(".repeat(500)}"a"${")".repeat(500)}`, /too deeply/],
    ['root ::= "a"{20000}', /more than 10000 times/],
  ];
  for (const [text, problem] of mistakes) {
    test(text.slice(0, 40), async () => {
      expect(await check({ kind: "ebnf", text })).toMatchObject({ problem: expect.stringMatching(problem) });
    });
  }
});

test("patterns match as a whole, choices are texts", async () => {
  const regex = await checker({ kind: "regex", pattern: "^[a-zé]{2}|\\d+$" });
  expect(["ab", "éé", "123"].every((text) => regex.accepts(text))).toBe(true);
  expect(["abc", "a", "12a", "", "ab12"].some((text) => regex.accepts(text))).toBe(false);
  const choice = await checker({ kind: "choice", choices: ["yes", "no", 'say "no"\n', "nö", ""] });
  expect(["yes", "no", 'say "no"\n', "nö", ""].every((text) => choice.accepts(text))).toBe(true);
  expect(["ye", "nope", "say"].some((text) => choice.accepts(text))).toBe(false);
  expect(await check({ kind: "choice", choices: [] })).toMatchObject({ problem: "There is nothing to choose from." });
  expect(await check({ kind: "regex", pattern: "a^b" })).toMatchObject({ problem: "No text matches the pattern." });
  for (const grammar of [regex, choice]) grammar.dispose();
});
