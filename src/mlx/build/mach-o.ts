/** Reads of a 64-bit Mach-O file (arm64) what its linkage is: load commands, symbol table, chained imports, export trie. */
import { StartupError } from "../../errors.ts";

export interface MachOImport {
  name: string;
  /** Install name of the library it is taken from; null: looked for in all that is loaded. */
  from: string | null;
  /** May be absent at run time. */
  weak: boolean;
}

export interface MachO {
  installName: string | null;
  /** Install names in the order of their ordinals. */
  dependencies: string[];
  rpaths: string[];
  imports: MachOImport[];
  exports: Set<string>;
  /** Where the code signature lies in the file; null: unsigned. */
  signature: { offset: number; size: number } | null;
  data: Buffer;
}

const MAGIC_64 = 0xfeedfacf;
const CPU_ARM64 = 0x0100000c;
const LOAD_DYLIB = new Set([0xc, 0x80000018, 0x8000001f, 0x80000023]);
const N_STAB = 0xe0;
const N_TYPE = 0x0e;
const N_EXT = 0x01;
const N_WEAK_REF = 0x40;

export async function readMachO(path: string): Promise<MachO> {
  const data = Buffer.from(await Bun.file(path).arrayBuffer());
  if (data.length < 32 || data.readUInt32LE(0) !== MAGIC_64 || data.readUInt32LE(4) !== CPU_ARM64) {
    throw new StartupError(`${path} is no Mach-O file for arm64.`);
  }
  const file: MachO = { installName: null, dependencies: [], rpaths: [], imports: [], exports: new Set(), signature: null, data };
  const found = new Map<string, MachOImport>();
  const later: (() => void)[] = [];
  let at = 32;
  for (let i = data.readUInt32LE(16); i > 0; i--) {
    const start = at;
    const command = data.readUInt32LE(start);
    const field = (n: number) => data.readUInt32LE(start + 8 + 4 * n);
    const text = () => stringAt(data, start + field(0));
    if (LOAD_DYLIB.has(command)) file.dependencies.push(text());
    else if (command === 0xd) file.installName = text();
    else if (command === 0x8000001c) file.rpaths.push(text());
    else if (command === 0x1d) file.signature = { offset: field(0), size: field(1) };
    else if (command === 0x2) later.push(() => readSymbolTable(file, found, field(0), field(1), field(2)));
    else if (command === 0x80000034) later.push(() => readChainedImports(file, found, field(0)));
    else if (command === 0x80000033) readExports(data, field(0), field(1), file.exports);
    else if (command === 0x80000022 || command === 0x22) readExports(data, field(8), field(9), file.exports);
    at += data.readUInt32LE(start + 4);
  }
  // Imports name their library by its place among the load commands, so all of these come first.
  for (const read of later) read();
  file.imports = [...found.values()];
  return file;
}

/** Ordinals count from 1; the rest are the file itself, the main program, or whatever is loaded. */
function libraryAt(file: MachO, ordinal: number): string | null {
  return ordinal >= 1 ? (file.dependencies[ordinal - 1] ?? null) : null;
}

function readSymbolTable(file: MachO, found: Map<string, MachOImport>, offset: number, count: number, strings: number): void {
  for (let i = 0; i < count; i++) {
    const at = offset + 16 * i;
    const type = file.data.readUInt8(at + 4);
    if (type & N_STAB || (type & N_TYPE) !== 0 || !(type & N_EXT)) continue;
    const description = file.data.readUInt16LE(at + 6);
    const name = stringAt(file.data, strings + file.data.readUInt32LE(at));
    const ordinal = description >> 8;
    found.set(name, { name, from: libraryAt(file, ordinal < 0xfd ? ordinal : 0), weak: (description & N_WEAK_REF) !== 0 });
  }
}

/** A stripped file may keep its imports here only. */
function readChainedImports(file: MachO, found: Map<string, MachOImport>, offset: number): void {
  const { data } = file;
  const imports = offset + data.readUInt32LE(offset + 8);
  const strings = offset + data.readUInt32LE(offset + 12);
  const format = data.readUInt32LE(offset + 20);
  if (format < 1 || format > 2) throw new StartupError(`Chained imports of format ${format} are not understood.`);
  for (let i = 0; i < data.readUInt32LE(offset + 16); i++) {
    const word = data.readUInt32LE(imports + i * (format === 1 ? 4 : 8));
    const name = stringAt(data, strings + (word >>> 9));
    const ordinal = word & 0xff;
    found.set(name, { name, from: libraryAt(file, ordinal < 0xf1 ? ordinal : 0), weak: (word & 0x100) !== 0 });
  }
}

function readExports(data: Buffer, offset: number, size: number, into: Set<string>): void {
  if (size === 0) return;
  const visit = (node: number, prefix: string) => {
    const terminal = uleb(data, offset + node);
    if (terminal.value > 0) into.add(prefix);
    let at = terminal.end + terminal.value;
    for (let children = data.readUInt8(at++); children > 0; children--) {
      const label = stringAt(data, at);
      const child = uleb(data, at + Buffer.byteLength(label) + 1);
      at = child.end;
      visit(child.value, prefix + label);
    }
  };
  visit(0, "");
}

function uleb(data: Buffer, at: number): { value: number; end: number } {
  let value = 0;
  let factor = 1;
  for (let end = at; ; end++) {
    const byte = data.readUInt8(end);
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte < 0x80) return { value, end: end + 1 };
  }
}

function stringAt(data: Buffer, at: number): string {
  return data.toString("utf8", at, data.indexOf(0, at));
}
