import type { CaseErrors } from "./case.ts";

/** Parity cases as a table for README, by model. */
export function parityTable(cases: readonly CaseErrors[]): string {
  const rows = cases
    .toSorted((a, b) => compareText(a.modelType, b.modelType) || compareText(a.name, b.name))
    .map(({ name, modelType, about = name, errors, tolerance }) => [
      `\`${modelType}\``,
      about.replaceAll("|", "\\|"),
      errors.alone.toExponential(0),
      errors.ragged.toExponential(0),
      tolerance.toExponential(0),
    ]);
  const head = ["Model", "Variant", "Largest error alone", "in a ragged batch", "Tolerance"];
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
