/** Turns: so many at one time, what somebody asked for before what comes by itself, in the order they came. */

interface Waiting {
  id: string;
  wanted: boolean;
  go: () => void;
}

export class Turns {
  readonly #atOnce: number;
  #taken = 0;
  #waiting: Waiting[] = [];

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether whoever comes now has to wait. */
  get full(): boolean {
    return this.#taken >= this.#atOnce;
  }

  /** Resolves when it is their turn, which `leave` ends; false when it was given up before, and there is nothing to end. */
  async enter(id: string, wanted: boolean, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (!this.full) {
      this.#taken += 1;
      return true;
    }
    return new Promise((resolve) => {
      const waiting = { id, wanted, go: () => resolve(true) };
      this.#waiting.push(waiting);
      signal.addEventListener("abort", () => {
        if (!this.#waiting.includes(waiting)) return;
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        resolve(false);
      });
    });
  }

  leave(): void {
    const next = this.#waiting.find(({ wanted }) => wanted) ?? this.#waiting[0];
    this.#waiting = this.#waiting.filter((other) => other !== next);
    if (next === undefined) this.#taken -= 1;
    else next.go();
  }

  /** Somebody wants it now. */
  hurry(id: string): void {
    for (const waiting of this.#waiting) if (waiting.id === id) waiting.wanted = true;
  }
}
