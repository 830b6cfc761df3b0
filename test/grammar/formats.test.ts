import { expect, test } from "bun:test";
import { matches } from "../../src/grammar/automata/dfa.ts";
import { textsMatched } from "../../src/grammar/regex/language.ts";
import { formatPattern } from "../../src/grammar/schema/formats.ts";

const SAMPLES: Record<string, [valid: string[], invalid: string[]]> = {
  date: [
    ["2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01"],
    ["2023-02-29", "1900-02-29", "2024-13-01", "2024-04-31", "2024-1-1", "24-01-01", "2024-00-10"],
  ],
  time: [
    ["08:30:06Z", "23:59:59.123456+05:30", "00:00:00-00:00"],
    ["8:30:06Z", "24:00:00Z", "08:60:00Z", "08:30:06", "08:30:06 PST"],
  ],
  "date-time": [
    ["1985-04-12T23:20:50.52Z", "1990-12-31T15:59:50-08:00"],
    ["1990-02-31T15:59:59Z", "1985-04-12 23:20:50Z", "1985-04-12"],
  ],
  duration: [
    ["P4DT12H30M5S", "PT36H", "P1Y2M", "P3W", "PT0S"],
    ["P", "PT", "4DT12H", "P1D2H", "P2D1Y", "P1YT"],
  ],
  email: [
    ["joe.bloggs@example.com", "te~st@example.com", "a@b"],
    ["2962", ".test@example.com", "te..st@example.com", "a@", "a@-b.com"],
  ],
  hostname: [
    ["www.example.com", "xn-4gbwdl", "a1"],
    ["-bad", "bad-", "a..b", "a_b", "", "."],
  ],
  ipv4: [
    ["192.168.0.1", "255.255.255.255"],
    ["256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4.5"],
  ],
  ipv6: [
    ["::1", "::", "12:34:56:78:9a:bc:de:f0", "1::d6:192.168.0.1", "1:2:3:4:5:6:7::", "::42:ff:1"],
    ["12345::", "1:1:1:1:1:1:1:1:1", "1::2::3", ":2:3:4", "::laptop", "1:2:3:4:5:6:7", "1.2.3.4"],
  ],
  uuid: [["2eb8aa08-AA98-11ea-b4aa-73b441d16380"], ["2eb8aa08aa9811eab4aa73b441d16380", "2eb8-aa08-aa98-11ea-b4aa73b44-1d16380"]],
  uri: [
    ["http://foo.bar/?baz=qux#quux", "mailto:John.Doe@example.com", "urn:isbn:1", "ftp://[2001:db8::7]/c=GB?one", "a:"],
    ["//foo.bar/", "/abs", "abc", "http:// shouldfail.com", ":// should fail", "bar,baz:a b", "http://a b"],
  ],
  "uri-reference": [
    ["/abs?x=1", "abc", "#frag", "//foo/bar", "http://a/b", ""],
    ["\\\\WINDOWS\\share", "#frag\\ment", "a b"],
  ],
  "json-pointer": [
    ["/foo/bar~0/baz~1/%a", "", "/", "/a//b"],
    ["/foo/bar~", "foo", "/~2", "#/a"],
  ],
};

for (const [format, [valid, invalid]] of Object.entries(SAMPLES)) {
  test(`${format} allows what it means, and never more`, () => {
    const dfa = textsMatched(formatPattern(format)!);
    for (const text of valid) expect({ text, matches: matches(dfa, text) }).toEqual({ text, matches: true });
    for (const text of invalid) expect({ text, matches: matches(dfa, text) }).toEqual({ text, matches: false });
  });
}

test("unknown formats say nothing, and that of patterns cannot be honoured", () => {
  expect(formatPattern("int32")).toBeNull();
  expect(formatPattern("constructor")).toBeNull();
  expect(formatPattern("regex")).toBeUndefined();
});
