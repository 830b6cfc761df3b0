/** Sizes of memory as people write them, and what the machine has. */
import { totalmem } from "node:os";

const units: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** Bytes, or NaN. A share is one of the machine's memory, or of what the container was given. */
export function parseMemory(size: string): number {
  const [, digits, unit] = /^\s*(\d+(?:\.\d+)?)\s*(%|[a-z]*)\s*$/i.exec(size) ?? [];
  if (digits === undefined || unit === undefined) return Number.NaN;
  if (unit === "%") return Number(digits) > 100 ? Number.NaN : Math.floor((Number(digits) / 100) * machineMemory());
  return Math.floor(Number(digits) * (units[unit.toLowerCase().replace(/(?<=.)b$/, "")] ?? Number.NaN));
}

/** Bytes. */
export function machineMemory(): number {
  const allowed = process.constrainedMemory?.() ?? 0;
  return allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
}
