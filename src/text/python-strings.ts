/** What Python's `str.isspace` says; JavaScript's `trim` differs in U+FEFF and a few control characters. */
function isSpace(character: string): boolean {
  const code = character.charCodeAt(0);
  return (code >= 0x1c && code <= 0x1f) || code === 0x85 || (code !== 0xfeff && /\s/.test(character));
}

/** Python's `strip`: whitespace, or any of the given characters. */
export function strip(text: string, characters: string | null, sides: { left: boolean; right: boolean }): string {
  const set = characters === null ? null : new Set(characters);
  const isStripped = (character: string) => (set ? set.has(character) : isSpace(character));
  const all = [...text];
  let from = 0;
  let to = all.length;
  while (sides.left && from < to && isStripped(all[from]!)) from++;
  while (sides.right && to > from && isStripped(all[to - 1]!)) to--;
  return all.slice(from, to).join("");
}

type Argument = unknown;

/** Methods of Python's `str` that the template library lacks or does not do right. Arguments are strings, numbers or arrays. */
export const stringMethods: ReadonlyMap<string, (text: string, args: Argument[]) => unknown> = new Map<
  string,
  (text: string, args: Argument[]) => unknown
>([
  ["strip", (text, [characters]) => strip(text, readCharacters(characters), { left: true, right: true })],
  ["lstrip", (text, [characters]) => strip(text, readCharacters(characters), { left: true, right: false })],
  ["rstrip", (text, [characters]) => strip(text, readCharacters(characters), { left: false, right: true })],
  ["removeprefix", (text, [prefix]) => (text.startsWith(String(prefix)) ? text.slice(String(prefix).length) : text)],
  [
    "removesuffix",
    (text, [suffix]) => (text.endsWith(String(suffix)) ? text.slice(0, text.length - String(suffix).length) : text),
  ],
  ["find", (text, [part]) => text.indexOf(String(part))],
  ["rfind", (text, [part]) => text.lastIndexOf(String(part))],
  ["count", (text, [part]) => text.split(String(part)).length - 1],
  ["isdigit", (text) => /^\p{Nd}+$/u.test(text)],
  ["isalpha", (text) => /^\p{L}+$/u.test(text)],
  ["isspace", (text) => text !== "" && [...text].every(isSpace)],
  ["splitlines", (text) => (text === "" ? [] : text.replace(/(\r\n|\r|\n)$/, "").split(/\r\n|\r|\n/))],
  ["join", (text, [items]) => joinStrings(text, items)],
]);

function readCharacters(argument: Argument): string | null {
  return argument === undefined || argument === null ? null : String(argument);
}

function joinStrings(separator: string, items: Argument): string {
  if (!Array.isArray(items) || !items.every((item) => typeof item === "string"))
    throw new Error("join() needs a list of strings");
  return items.join(separator);
}
