/** Random traffic for as long as one likes: `bun test/engine/stress.manual.ts FIRST LAST [MODEL...]`; a line for each seed. */
import { STRESSED, stress } from "./stress-round.ts";

const [first = "1", last = "100", ...models] = process.argv.slice(2);
const names = models.length > 0 ? models : STRESSED;
let failed = 0;
for (let seed = Number(first); seed <= Number(last); seed++) {
  const name = names[seed % names.length]!;
  const begun = performance.now();
  try {
    const { counts, differences, ties } = await stress(name, seed, { longest: 1500, most: 40 });
    if (differences.length > 0) failed++;
    console.log(
      `${seed} ${name}: ${JSON.stringify(counts)} in ${Math.round(performance.now() - begun)} ms`,
      ...ties.map((tie) => `\n  tie: ${tie}`),
      ...differences.slice(0, 5).map((difference) => `\n  DIFFERENCE: ${difference}`),
    );
  } catch (error) {
    failed++;
    console.log(`${seed} ${name}: ${error}`);
  }
}
console.log(`${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
