import { beforeAll, describe, expect, test } from "bun:test";
import { Output } from "../../src/engine/output.ts";
import { EngineFailure, Unavailable } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";
import { TINY_CHAT } from "./tiny-chat.ts";

let tokenizer: Tokenizer;
beforeAll(async () => {
  const { tokenizerJson, tokenizerConfig } = await openCheckpoint(TINY_CHAT);
  tokenizer = loadTokenizer({ tokenizerJson, tokenizerConfig: tokenizerConfig ?? {} });
});

const idsOf = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
const END = 4089;

/** Pushes a text's tokens until a stop string is complete. */
function pushAll(output: Output, text: string, options: { stoppable?: boolean } = {}): boolean {
  return idsOf(text).some((id) => output.push({ id }, { hidden: false, stoppable: options.stoppable ?? true }));
}

describe("an output", () => {
  test("merges what nobody has read, and tells the end once", async () => {
    const output = new Output(tokenizer, []);
    pushAll(output, "Hello, how are you?");
    const first = (await output.next())!;
    expect([first.text.length > 5, first.tokens.length > 2, first.finishReason]).toEqual([true, true, null]);
    pushAll(output, " Fine.");
    output.push({ id: END }, { hidden: true, stoppable: true });
    output.finish("stop", false);
    const last = (await output.next())!;
    expect(first.text + last.text).toBe("Hello, how are you? Fine.");
    expect([last.tokens.at(-1)!.id, last.finishReason]).toEqual([END, "stop"]);
  });

  test("wakes its reader for each piece and for the end", async () => {
    const output = new Output(tokenizer, []);
    const reading = output.next();
    pushAll(output, "word");
    expect((await reading)!.finishReason).toBeNull();
    const ending = output.next();
    output.finish("length", false);
    expect((await ending)!.finishReason).toBe("length");
  });

  test("shows whole characters only, and what is left of one at the end", async () => {
    const output = new Output(tokenizer, []);
    const ids = idsOf("日本🙂");
    for (const id of ids.slice(0, -1)) output.push({ id }, { hidden: false, stoppable: true });
    expect((await output.next())!.text).toBe("日本");
    output.finish("length", false);
    expect((await output.next())!.text).toBe("\ufffd");
  });

  test("holds back what may become a stop string, and lets it go when it does not", async () => {
    const output = new Output(tokenizer, ["are we"]);
    expect(pushAll(output, "How are")).toBe(false);
    expect((await output.next())!.text).toBe("How ");
    expect(pushAll(output, " you")).toBe(false);
    expect((await output.next())!.text).toBe("are you");
    expect(pushAll(output, " and how are we today")).toBe(true);
    output.finish("stop", true);
    expect(await output.next()).toMatchObject({ text: " and how ", finishReason: "stop", stopString: "are we" });
  });

  test("honours no stop string before it may", async () => {
    const output = new Output(tokenizer, ["stop"]);
    expect(pushAll(output, "a stop here", { stoppable: false })).toBe(false);
    expect(pushAll(output, " and a stop there")).toBe(true);
    output.finish("stop", true);
    expect((await output.next())!.text).toBe("a stop here and a ");
  });

  test("gives what there is before the error that ended it, and keeps the first end", async () => {
    const output = new Output(tokenizer, []);
    pushAll(output, "so far");
    output.fail(new EngineFailure("broken"));
    output.fail(new Unavailable("late"));
    output.finish("length", false);
    expect((await output.next())!.text).toBe("so far");
    await expect(output.next()).rejects.toThrow(EngineFailure);
    const finished = new Output(tokenizer, []);
    finished.finish("stop", false);
    finished.fail(new Unavailable("late"));
    expect((await finished.next())!.finishReason).toBe("stop");
  });

  test("shows the special tokens that are asked for, and no others", async () => {
    const [start, end] = ["<|im_start|>", "<|im_end|>"].map((token) => tokenizer.tokenId(token)!);
    const output = new Output(tokenizer, [], ["<|im_start|>", "<|none|>"]);
    for (const id of [start!, ...idsOf(" a"), end!]) output.push({ id }, { hidden: false, stoppable: true });
    output.push({ id: start! }, { hidden: true, stoppable: true });
    output.finish("stop", false);
    expect((await output.next())!.text).toBe("<|im_start|> a");
  });

  test("says of each token what it has added to the text", async () => {
    const output = new Output(tokenizer, ["are we"]);
    pushAll(output, "日How are you");
    output.finish("length", false);
    const { text, tokens } = (await output.next())!;
    expect(tokens.map((token) => token.text).join("")).toBe(text);
    expect(tokens.some((token) => token.text === "")).toBe(true);
  });

  test("fails a reader that waits", async () => {
    const output = new Output(tokenizer, []);
    const reading = output.next();
    output.fail(new Unavailable("gone"));
    await expect(reading).rejects.toThrow("gone");
  });
});
