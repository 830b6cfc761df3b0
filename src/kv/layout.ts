/** How the tokens of a step lie in the flat batch, and which cache rows they belong to. Pure. */
import type { Span } from "./cache.ts";
import type { RowTable } from "./rows.ts";

/** A single token (a decoding row, or a prefill chunk of one). */
export interface Single {
  row: number;
  position: number;
}

/** Several tokens of one sequence. */
export interface Segment {
  row: number;
  start: number;
  count: number;
  /** First token in the flat batch. */
  offset: number;
}

/** The tokens of one size class: singles by row from `offset` on, then the segments. */
export interface ClassGroup {
  sizeClass: number;
  offset: number;
  count: number;
  singles: Single[];
  segments: Segment[];
}

export interface Layout {
  groups: ClassGroup[];
  /** Flat order of the spans: indices into the spans given. */
  order: number[];
  tokenCount: number;
}

/** Orders spans by class, singles first and by row, so that each class and each segment is one slice of the batch. */
export function layOut(spans: readonly Span[], rows: RowTable): Layout {
  const placed = spans.map((span, index) => ({ span, index, place: rows.place(span.sequence)! }));
  placed.sort(
    (a, b) =>
      a.place.sizeClass - b.place.sizeClass || Number(a.span.count > 1) - Number(b.span.count > 1) || a.place.row - b.place.row,
  );
  const groups: ClassGroup[] = [];
  let offset = 0;
  for (const { span, place } of placed) {
    let group = groups.at(-1);
    if (group?.sizeClass !== place.sizeClass) {
      group = { sizeClass: place.sizeClass, offset, count: 0, singles: [], segments: [] };
      groups.push(group);
    }
    if (span.count === 1) group.singles.push({ row: place.row, position: span.start });
    else group.segments.push({ row: place.row, start: span.start, count: span.count, offset });
    group.count += span.count;
    offset += span.count;
  }
  return { groups, order: placed.map(({ index }) => index), tokenCount: offset };
}
