/** `trustedrouter-provider-check`, which says what is wrong with a server that a gateway would stand in front of. */
import * as v from "valibot";
import { runPython } from "./python.ts";

const Report = v.object({
  checks: v.array(v.looseObject({ id: v.string(), tier: v.number(), status: v.picklist(["pass", "warn", "fail", "skip"]) })),
});

export type Check = v.InferOutput<typeof Report>["checks"][number];

/** Runs the checks up to a tier with one model; the tool's exit code is of tiers 1 to 4. */
export async function checkProvider(url: string, model: string, tier: number): Promise<{ exitCode: number; checks: Check[] }> {
  const program = "from tr_provider_check.cli import main; raise SystemExit(main())";
  const options = ["--base-url", `${url}/v1`, "--model", model, "--tier", String(tier), "--json", "-"];
  const { exitCode, stdout, stderr } = await runPython(["-c", program, ...options]);
  const start = stdout.indexOf("{");
  if (start < 0) throw new Error(`there is no report: ${stdout}${stderr}`);
  return { exitCode, checks: v.parse(Report, JSON.parse(stdout.slice(start))).checks };
}
