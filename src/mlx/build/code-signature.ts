import type { MachO } from "./mach-o.ts";

const CODE_DIRECTORY = 0xfade0c02;
const SHA256 = 2;

/**
 * What is wrong with the code signature of a Mach-O file, or null: macOS on arm64 kills a process whose pages do not hash to what is
 * written there, also when it is signed ad hoc. Certificates are not looked at.
 */
export function checkSignature(file: MachO): string | null {
  if (!file.signature) return "has no code signature";
  const { data } = file;
  const blob = file.signature.offset;
  if (blob + file.signature.size > data.length) return "has a code signature beyond its end";
  let seen = 0;
  for (let i = 0; i < data.readUInt32BE(blob + 8); i++) {
    const at = blob + data.readUInt32BE(blob + 16 + 8 * i);
    if (data.readUInt32BE(at) !== CODE_DIRECTORY || data.readUInt8(at + 37) !== SHA256) continue;
    seen++;
    const hashes = at + data.readUInt32BE(at + 16);
    const slots = data.readUInt32BE(at + 28);
    const limit = data.readUInt32BE(at + 32);
    const page = 2 ** data.readUInt8(at + 39);
    if (limit !== blob) return "has a code signature that does not cover all of it";
    if (slots !== Math.ceil(limit / page)) return "has a code signature with a wrong number of pages";
    for (let slot = 0; slot < slots; slot++) {
      const content = data.subarray(slot * page, Math.min((slot + 1) * page, limit));
      const expected = data.subarray(hashes + 32 * slot, hashes + 32 * slot + 32);
      if (!Bun.SHA256.hash(content, new Uint8Array(32)).every((byte, n) => byte === expected[n])) {
        return `has a code signature that does not fit page ${slot}`;
      }
    }
  }
  return seen > 0 ? null : "has a code signature without SHA-256 hashes";
}
