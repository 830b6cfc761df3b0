/** Before a space and a letter after no space, or between a line end and a letter: where words begin for every known tokenizer. */
const wordBoundary = /(?<=\S)(?= \p{L})|(?<=\S\n)(?=\p{L})/gu;
const contextChars = 64;
const maxAttempts = 8;

/** Whether the tokens of `before + after` are those of `before` and those of `after`; both are up to 64 characters. */
export type CutCheck = (before: string, after: string) => boolean;

/** Cuts a text into pieces of about `pieceChars` at checked word boundaries. Without such places it stays in one piece. */
export function* cutText(text: string, pieceChars: number, isCleanCut: CutCheck): Generator<string> {
  let start = 0;
  while (text.length - start > 2 * pieceChars) {
    let cut: number | null = null;
    for (let from = start + pieceChars; cut === null && from < text.length; from += pieceChars) {
      cut = findCut(text, from, from + pieceChars, isCleanCut);
    }
    if (cut === null) break;
    yield text.slice(start, cut);
    start = cut;
  }
  yield text.slice(start);
}

function findCut(text: string, from: number, to: number, isCleanCut: CutCheck): number | null {
  let attempts = 0;
  // The slice begins a little earlier for the look-behind.
  const begin = from - 2;
  for (const match of text.slice(begin, to).matchAll(wordBoundary)) {
    const cut = begin + match.index;
    const before = text.slice(Math.max(0, cut - contextChars), cut);
    if (isCleanCut(before, text.slice(cut, cut + contextChars))) return cut;
    if (++attempts === maxAttempts) return null;
  }
  return null;
}
