/** How fast a transfer is: a mean that forgets, so that it follows the network without jumping. */

/** Milliseconds after which what was before counts by a third. */
const MEMORY = 3_000;
/** Milliseconds between two words about a transfer. */
export const TELL_EVERY = 200;

export class Meter {
  readonly #now: () => number;
  #at: number;
  #bytes: number;
  #rate = 0;
  #told = -Infinity;

  /** From `bytes` on. */
  constructor(now: () => number, bytes: number) {
    this.#now = now;
    this.#at = now();
    this.#bytes = bytes;
  }

  /** Bytes that have moved by now; the rate in bytes a second if it is time to tell of it. */
  take(bytes: number): number | undefined {
    const now = this.#now();
    if (now - this.#told < TELL_EVERY) return undefined;
    const passed = now - this.#at;
    if (passed > 0 && bytes >= this.#bytes) {
      const rate = ((bytes - this.#bytes) * 1000) / passed;
      const weight = this.#rate === 0 ? 1 : 1 - Math.exp(-passed / MEMORY);
      this.#rate += (rate - this.#rate) * weight;
    }
    [this.#at, this.#bytes, this.#told] = [now, bytes, now];
    return this.#rate;
  }
}
