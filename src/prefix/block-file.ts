/** The file of one block: safetensors with one tensor, whose header says what it is and how its bytes sum up. */

/** Raised when files written before cannot be read as they were meant. */
const LAYOUT_VERSION = "1";
const FORMAT = "mlx-cb-serve prefix block";
const MAX_HEADER = 4096;

export interface BlockContent {
  key: string;
  kind: "tokens" | "state";
  dtype: "F32" | "F16" | "BF16";
  shape: readonly number[];
  data: Uint8Array;
}

/** xxHash64: guards against broken disks and torn writes, not against forgers, who could write any block. */
const sum = (data: Uint8Array) => Bun.hash.xxHash64(data).toString(16).padStart(16, "0");

export function encodeBlock({ key, kind, dtype, shape, data }: BlockContent): [header: Uint8Array, data: Uint8Array] {
  const text = JSON.stringify({
    __metadata__: { format: FORMAT, version: LAYOUT_VERSION, key, kind, sum: sum(data) },
    content: { dtype, shape, data_offsets: [0, data.byteLength] },
  });
  // The data begins at a multiple of 8 bytes, as the format wants it.
  const header = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  return [Buffer.concat([length, header]), data];
}

/** Null for anything but an unharmed block of this kind under this key, with this type and shape. */
export function decodeBlock(bytes: Uint8Array, want: Omit<BlockContent, "data">): Uint8Array | null {
  if (bytes.byteLength < 8) return null;
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER || 8 + length > bytes.byteLength) return null;
  const data = bytes.subarray(8 + length);
  const expected = encodeBlock({ ...want, data })[0];
  // The header is written by us alone, so an unharmed one is equal to the byte.
  return Buffer.compare(expected, bytes.subarray(0, 8 + length)) === 0 ? data : null;
}
