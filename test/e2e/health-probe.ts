/** `bun health-probe.ts URL COUNT`: asks for /health again and again and prints how long the answers take. */
import type { Health } from "../../src/http/health/model.ts";

const [url, count] = process.argv.slice(2);
const times: number[] = [];
let fewest = Number.POSITIVE_INFINITY;
for (let i = -3; i < Number(count); i++) {
  const begun = performance.now();
  const health = (await (await fetch(`${url}/health`)).json()) as Health;
  // The first ones are this process's own start.
  if (i >= 0) {
    times.push(performance.now() - begun);
    fewest = Math.min(fewest, health.active_requests);
  }
  await Bun.sleep(10);
}
times.sort((a, b) => a - b);
console.log(JSON.stringify({ percentile99: times[Math.floor(times.length * 0.99)], median: times[times.length >> 1], fewest }));
