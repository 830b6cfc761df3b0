/** How the tokens of a step lie in the flat batch, and which cache rows they belong to. Pure. */
import type { Span } from "./cache.ts";
import type { RowTable } from "./rows.ts";

/** A single token of which the output is wanted: a decoding row, or the end of a prompt. */
export interface Single {
  row: number;
  position: number;
}

/** Several tokens of one sequence, or one without output. */
export interface Segment {
  row: number;
  start: number;
  count: number;
  /** First token in the flat batch. */
  offset: number;
  /** Its last token's place among the outputs; null: it is none of them. */
  output: number | null;
}

/** The tokens of one size class: singles by row from `offset` on, among the outputs from `firstOutput` on, then the segments. */
export interface ClassGroup {
  sizeClass: number;
  offset: number;
  firstOutput: number;
  count: number;
  singles: Single[];
  segments: Segment[];
}

export interface Layout {
  groups: ClassGroup[];
  /** Flat order of the spans: indices into the spans given. */
  order: number[];
  tokenCount: number;
  /** Tokens in the flat batch of which the output is wanted: the last ones of spans, in order. Of a batch that is not empty at least one. */
  outputs: number[];
}

/** Orders spans by class, singles first and by row, so that each class and each segment is one slice of the batch. */
export function layOut(spans: readonly Span[], rows: RowTable): Layout {
  const placed = spans.map((span, index) => {
    const single = span.count === 1 && span.sample;
    return { span, index, single, place: rows.place(span.sequence)! };
  });
  placed.sort(
    (a, b) => a.place.sizeClass - b.place.sizeClass || Number(b.single) - Number(a.single) || a.place.row - b.place.row,
  );
  // A model always gives some logits: they are how the end of a step is known that only prefills.
  const outputless = !spans.some(({ sample }) => sample);
  const groups: ClassGroup[] = [];
  const outputs: number[] = [];
  let offset = 0;
  for (const { span, single, place } of placed) {
    let group = groups.at(-1);
    if (group?.sizeClass !== place.sizeClass) {
      group = { sizeClass: place.sizeClass, offset, firstOutput: outputs.length, count: 0, singles: [], segments: [] };
      groups.push(group);
    }
    const { start, count } = span;
    const asked = span.sample || (outputless && offset === 0);
    if (single) group.singles.push({ row: place.row, position: start });
    else group.segments.push({ row: place.row, start, count, offset, output: asked ? outputs.length : null });
    group.count += count;
    offset += count;
    if (asked) outputs.push(offset - 1);
  }
  return { groups, order: placed.map(({ index }) => index), tokenCount: offset, outputs };
}
