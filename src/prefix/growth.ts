/**
 * How much a cache may grow beside work: memory that is touched for the first time may take longer than what is put there, and those
 * that compute wait for it. Pure; times in seconds.
 */

/** Share of the time that first touches may take. */
const SHARE = 0.02;
/** So much of it may be saved up. */
const SAVED_SECONDS = 0.1;
/** Of a byte, until it has been measured: what a usual machine takes. */
const SECONDS_PER_BYTE = 0.25e-9;

/** What has been touched for the first time since the start of the process, and how long it took. */
export interface Touched {
  bytes: number;
  seconds: number;
}

export class GrowthBudget {
  #credit = SAVED_SECONDS;
  #at: number | null = null;
  #seen: Touched | null = null;
  #secondsPerByte = SECONDS_PER_BYTE;

  /** Bytes that may be touched now. */
  allowance(now: number, touched: Touched): number {
    const bytes = touched.bytes - (this.#seen ?? touched).bytes;
    const seconds = touched.seconds - (this.#seen ?? touched).seconds;
    if (bytes > 0) this.#secondsPerByte = (this.#secondsPerByte + seconds / bytes) / 2;
    this.#credit = Math.min(SAVED_SECONDS, this.#credit + SHARE * (now - (this.#at ?? now)) - seconds);
    this.#at = now;
    this.#seen = touched;
    return Math.max(0, this.#credit / this.#secondsPerByte);
  }
}
