/** Generated tokens per second over the last seconds in which there was work. Times in milliseconds. */
export class Throughput {
  readonly #windowMs: number;
  readonly #samples: { busyMs: number; tokens: number }[] = [];
  #busyMs = 0;
  #tokens = 0;

  constructor(windowMs = 5000) {
    this.#windowMs = windowMs;
  }

  add(busyMs: number, tokens: number): void {
    this.#samples.push({ busyMs, tokens });
    this.#busyMs += busyMs;
    this.#tokens += tokens;
    while (this.#samples.length > 1 && this.#busyMs - this.#samples[0]!.busyMs >= this.#windowMs) {
      const oldest = this.#samples.shift()!;
      this.#busyMs -= oldest.busyMs;
      this.#tokens -= oldest.tokens;
    }
  }

  get perSecond(): number {
    return this.#busyMs > 0 ? (this.#tokens * 1000) / this.#busyMs : 0;
  }
}
