import { describe, expect, test } from "bun:test";
import { Detokenizer } from "../../src/text/detokenizer.ts";
import { StopMatcher } from "../../src/text/stop-strings.ts";
import { loadSmallTokenizer, seedRandom } from "./small-tokenizers.ts";

interface Outcome {
  text: string;
  stop: string | undefined;
}

function feed(stops: string[], pieces: string[]): Outcome {
  const matcher = new StopMatcher(stops);
  let text = "";
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    if (result.stopped) return { text, stop: result.stop };
  }
  return { text: text + matcher.flush(), stop: undefined };
}

/** The definition, slowly: the first end wins, then the longest. */
function search(stops: string[], text: string): Outcome {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops
      .filter((stop) => stop !== "" && text.slice(0, end).endsWith(stop))
      .sort((a, b) => b.length - a.length)[0];
    if (ending !== undefined) return { text: text.slice(0, end - ending.length), stop: ending };
  }
  return { text, stop: undefined };
}

describe("StopMatcher", () => {
  test("finds a stop string across every way to cut the text", () => {
    const text = "one two END three";
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        const pieces = [text.slice(0, first), text.slice(first, second), text.slice(second)];
        expect(feed(["END"], pieces)).toEqual({ text: "one two ", stop: "END" });
        expect(feed(["ENDS", " two"], pieces)).toEqual({ text: "one", stop: " two" });
      }
    }
  });

  test("holds back only what may become a stop string, and gives it back", () => {
    const matcher = new StopMatcher(["</tool>"]);
    expect(matcher.push("a < b </to")).toEqual({ text: "a < b ", stopped: false });
    expect(matcher.push("p </tool")).toEqual({ text: "</top ", stopped: false });
    expect(matcher.flush()).toBe("</tool");
    expect(matcher.flush()).toBe("");
  });

  test("overlapping stop strings: first end wins, then the longer", () => {
    expect(feed(["abc", "b"], ["abc"])).toEqual({ text: "a", stop: "b" });
    expect(feed(["bc", "abc"], ["xabc"])).toEqual({ text: "x", stop: "abc" });
    expect(feed(["aab"], ["aaab"])).toEqual({ text: "a", stop: "aab" });
    expect(feed(["abab!"], ["ab", "abab", "!"])).toEqual({ text: "ab", stop: "abab!" });
  });

  test("nothing comes after a stop, empty stop strings never match", () => {
    const matcher = new StopMatcher(["", "x"]);
    expect(matcher.push("")).toEqual({ text: "", stopped: false });
    expect(matcher.push("axb")).toEqual({ text: "a", stopped: true, stop: "x" });
    expect(matcher.push("more")).toEqual({ text: "", stopped: true, stop: "x" });
    expect(matcher.flush()).toBe("");
    expect(feed([], ["any", "thing"])).toEqual({ text: "anything", stop: undefined });
  });

  test("equals the definition for random texts, stops and cuts", () => {
    const random = seedRandom(1);
    const letters = ["a", "b", "é", "😀"];
    const draw = (length: number) => Array.from({ length }, () => letters[Math.floor(random() * letters.length)]).join("");
    for (let round = 0; round < 3000; round++) {
      const text = draw(14);
      const stops = Array.from({ length: 1 + Math.floor(random() * 4) }, () => draw(Math.floor(random() * 5)));
      const pieces: string[] = [];
      for (let at = 0; at < text.length; ) {
        const length = 1 + Math.floor(random() * 4);
        pieces.push(text.slice(at, at + length));
        at += length;
      }
      expect(feed(stops, pieces)).toEqual(search(stops, text));
    }
  });

  test("a stop string that ends inside a character's tokens", () => {
    const tokenizer = loadSmallTokenizer("gemma");
    const ids = tokenizer.encode("the 🚀 fox", { addSpecialTokens: false });
    const detokenizer = new Detokenizer(tokenizer);
    const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
    expect(pieces.some((piece) => piece === "")).toBe(true);
    expect(feed(["🚀"], pieces)).toEqual({ text: "the ", stop: "🚀" });
    expect(feed(["🚁"], pieces)).toEqual({ text: "the 🚀 fox", stop: undefined });
  });

  test("takes linear time on a hostile text", () => {
    const matcher = new StopMatcher([`${"a".repeat(1000)}b`]);
    const begun = performance.now();
    let length = 0;
    for (let round = 0; round < 20_000; round++) length += matcher.push("aaaaa").text.length;
    expect(length).toBe(99_000);
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});
