/**
 * Merges sources in the order in which their items come, each with its source's index.
 * A source is asked for its next item only after the last one was taken: a slow reader slows every source.
 */
export async function* interleave<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<[index: number, item: T]> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const arrived: Arrival<T>[] = [];
  let wake = () => {};
  const ask = (index: number) => {
    const arrive = (outcome: Arrival<T>["outcome"]) => {
      arrived.push({ index, outcome });
      wake();
    };
    iterators[index]!.next().then(
      (result) => arrive({ ok: true, result }),
      (error: unknown) => arrive({ ok: false, error }),
    );
  };
  let open = iterators.length;
  for (let index = 0; index < iterators.length; index++) ask(index);
  try {
    while (open > 0) {
      const next = arrived.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      if (!next.outcome.ok) throw next.outcome.error;
      if (next.outcome.result.done === true) {
        open--;
        continue;
      }
      yield [next.index, next.outcome.result.value];
      ask(next.index);
    }
  } finally {
    // Not awaited: an iterator that is in the middle of `next` would answer only after it.
    if (open > 0) for (const iterator of iterators) iterator.return?.().catch(() => {});
  }
}

interface Arrival<T> {
  index: number;
  outcome: { ok: true; result: IteratorResult<T> } | { ok: false; error: unknown };
}
