import { describe, expect, test } from "bun:test";
import { matches } from "../../src/grammar/automata/dfa.ts";
import {
  compare,
  compared,
  decimalOf,
  INTEGERS,
  isMultiple,
  multiplesOf,
  NUMBERS,
  otherThan,
} from "../../src/grammar/schema/decimal.ts";
import { Prng } from "../engine/prng.ts";
import { checker } from "./accept.ts";

const random = new Prng(8);
const LITERALS = [
  ..."0 -0 0.0 -0.00 1 -1 1.0 10 0.5 -0.5 2.5 2.50 2.49 2.51 100 99 101 12.125 -12.125 7 77 15 42.0 0.1 0.10 0.11 0.09 -3 -3.01 -2.99 123456 1.005".split(
    " ",
  ),
  ...Array.from({ length: 300 }, () => ((random.next() - 0.5) * 300).toFixed(random.int(0, 4))),
];

describe("number literals", () => {
  test("are compared by their values", () => {
    for (const bound of [0, 1, -1, 2.5, -2.5, 100, 0.1, -0.1, 0.001, 12.125, -3, 1e3, 99.99, 1e-7, 1e21]) {
      for (const wanted of [[1], [0, 1], [-1], [-1, 0], [0]]) {
        const dfa = compared(decimalOf(bound), (relation) => wanted.includes(relation));
        for (const literal of LITERALS) {
          const relation = compare(decimalOf(Number(literal)), decimalOf(bound));
          expect({ literal, bound, wanted, matches: matches(dfa, literal) }).toMatchObject({
            matches: wanted.includes(relation),
          });
        }
      }
    }
  });

  test("are counted in multiples", () => {
    for (const of of [1, 2, 3, 7, 10, 2.5, 0.1, 0.01, 0.25, 77, 1000, 6.75]) {
      const dfa = multiplesOf(decimalOf(of));
      for (const literal of LITERALS) {
        const wanted = isMultiple(decimalOf(Number(literal)), decimalOf(of));
        expect({ literal, of, matches: matches(dfa, literal) }).toMatchObject({ matches: wanted });
      }
    }
    expect(isMultiple(decimalOf(0.3), decimalOf(0.1))).toBe(true);
    expect(isMultiple(decimalOf(1e-9), decimalOf(1e-8))).toBe(false);
  });

  test("may be told from some values, however these are spelled", () => {
    const dfa = otherThan([1, -2.5]);
    for (const same of ["1", "1.0", "1.000", "-2.5", "-2.50"]) expect(matches(dfa, same)).toBe(false);
    for (const other of ["10", "1.01", "2.5", "-2", "0"]) expect(matches(dfa, other)).toBe(true);
  });

  test("are those of JSON, and finite", () => {
    const wrong = ["01", ".5", "1.", "+1", "1e", "--1", "", "-", "0x1", "1e999", "9".repeat(40), "NaN"];
    for (const text of wrong) expect({ text, matches: matches(NUMBERS, text) }).toEqual({ text, matches: false });
    for (const text of ["0", "-0", "1e10", "1.5E-3", "-12.25", "9".repeat(18)]) expect(matches(NUMBERS, text)).toBe(true);
    for (const text of ["1.0", "-0", "00", "1e3"]) expect(matches(INTEGERS, text)).toBe(false);
  });
});

describe("schemas of numbers", () => {
  const table: [schema: object, accepted: string[], refused: string[]][] = [
    [{ type: "integer", minimum: 3, maximum: 12 }, ["3", "9", "10", "12"], ["2", "13", "3.0", "03", "-5", "1e1"]],
    [{ type: "number", exclusiveMinimum: 0, maximum: 1 }, ["0.1", "1", "1.0", "0.00001"], ["0", "-0", "0.0", "1.01", "-1"]],
    // Draft 4.
    [{ type: "number", minimum: 0, exclusiveMinimum: true }, ["0.5", "7"], ["0", "0.0", "-1"]],
    [{ type: "integer", multipleOf: 6, not: { multipleOf: 4 } }, ["6", "18", "-6"], ["12", "0", "8"]],
    [{ type: "number", multipleOf: 0.01, minimum: 1 }, ["1.25", "19.99", "3", "1.5"], ["1.255", "0.99"]],
    [{ enum: [1, 2.5, -3, 1e21] }, ["1", "2.5", "-3", "1e+21"], ["2", "1.0", "25"]],
    [{ type: "number", not: { enum: [5] } }, ["4", "5.1", "50"], ["5", "5.0"]],
    [{ type: "number", not: { type: "integer" } }, ["1.5", "-0.25"], ["1", "2.0"]],
    [
      {
        anyOf: [
          { type: "integer", maximum: -5 },
          { type: "integer", minimum: 5 },
        ],
      },
      ["-5", "-17", "5", "123"],
      ["0", "-4", "4"],
    ],
  ];
  for (const [schema, accepted, refused] of table) {
    test(JSON.stringify(schema), async () => {
      const grammar = await checker({ kind: "json_schema", schema });
      for (const text of accepted) expect({ text, accepted: grammar.accepts(text) }).toEqual({ text, accepted: true });
      for (const text of refused) expect({ text, accepted: grammar.accepts(text) }).toEqual({ text, accepted: false });
      grammar.dispose();
    });
  }
});
