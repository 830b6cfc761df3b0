import { expect, test } from "bun:test";
import type { GeneratedToken } from "../../src/engine/request.ts";
import { Prng } from "./prng.ts";
import { GREEDY } from "./sampler-rows.ts";
import { readStressModel } from "./stress-models.ts";
import { STRESSED, stress } from "./stress-round.ts";
import { answerAlone } from "./stress-run.ts";
import { disproveTie } from "./stress-tie.ts";
import { drawTraffic, type StressJob } from "./stress-traffic.ts";

/** More of it: `bun test/engine/stress.manual.ts`. */
test.each(STRESSED.slice(0, 9).map((name, i) => [name, i + 1] as const))(
  "%s: a crowd that is short of everything gets what each gets alone, and leaves nothing behind",
  async (name, seed) => {
    expect((await stress(name, seed, { longest: 300, most: 20 })).differences).toEqual([]);
  },
  30_000,
);

test("what rounding may decide is told from what it cannot: by how close the logits are", async () => {
  const model = await readStressModel("mistral-sliding", 100);
  const [{ request, ...drawn }] = drawTraffic(new Prng(3), { jobs: 1, model, spreadMs: 0 }) as [StressJob];
  const jobWith = (logitBias: ReadonlyMap<number, number>): StressJob => {
    const sampling = { ...GREEDY, logitBias };
    return { ...drawn, behaviour: null, request: { ...request, sampling, logprobs: 2, maxTokens: 1, minTokens: 0, stop: [] } };
  };
  const [alone] = await answerAlone([jobWith(new Map())], model);
  const [first, second] = alone?.kind === "answered" ? alone.answer.tokens[0]!.top! : [];
  // The second one is drawn, by so much.
  const byMargin = (margin: number, tokens: GeneratedToken[]) => {
    const job = jobWith(new Map([[second!.id, first!.logprob - second!.logprob + margin]]));
    return disproveTie({ job, tokens }, model);
  };
  expect(await byMargin(2e-5, [first!])).toBeNull();
  expect(await byMargin(0.01, [first!])).toContain("no rounding gives");
  expect(await byMargin(2e-5, [{ ...first!, logprob: first!.logprob + 0.01 }])).toContain("no rounding gives");
});
