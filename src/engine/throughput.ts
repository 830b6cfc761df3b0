/** Generated tokens per second over the last seconds in which there was work. Times in milliseconds. */
export class Throughput {
  readonly #windowMs: number;
  #samples: { at: number; busyMs: number; tokens: number }[] = [];

  constructor(windowMs = 5000) {
    this.#windowMs = windowMs;
  }

  add(at: number, busyMs: number, tokens: number): void {
    this.#samples.push({ at, busyMs, tokens });
    let busy = this.#samples.reduce((sum, sample) => sum + sample.busyMs, 0);
    while (this.#samples.length > 1 && busy - this.#samples[0]!.busyMs >= this.#windowMs) busy -= this.#samples.shift()!.busyMs;
  }

  get perSecond(): number {
    const busy = this.#samples.reduce((sum, sample) => sum + sample.busyMs, 0);
    const tokens = this.#samples.reduce((sum, sample) => sum + sample.tokens, 0);
    return busy > 0 ? (tokens * 1000) / busy : 0;
  }
}
