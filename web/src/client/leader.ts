/**
 * One tab of several has the connection; the others see its work in the database and hear the rest from it.
 *
 * Web Locks choose it where there are any. Elsewhere the tabs agree by heartbeats: of two, the one with the lower name
 * goes on. Without a BroadcastChannel either, every tab is on its own.
 */

import type { Channel, Environment } from "./environment";

/** Milliseconds between heartbeats, and without one until another tab takes over. */
export const HEARTBEAT = 1_000;
export const SILENCE = 3_500;

/** What tabs tell each other. */
export type Word = { type: "heartbeat"; from: string } | { type: "resigned" } | { type: "client"; word: unknown };

export class Leader {
  /** Another tab said something. */
  onWord: (word: unknown) => void = () => {};
  /** This tab leads from now on. */
  onLead: () => void = () => {};
  /** It does not any more; only without Web Locks, when two tabs led for a moment. */
  onYield: () => void = () => {};
  readonly #environment: Environment;
  readonly #channel: Channel | undefined;
  readonly #name: string;
  #leads = false;
  #over = false;
  #release = (): void => {};
  #stopTimer = (): void => {};

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#name = environment.random(16);
    this.#channel = environment.openChannel(`${environment.database}-tabs`);
    if (this.#channel !== undefined) this.#channel.onmessage = ({ data }) => this.#hear(data as Word);
  }

  get leads(): boolean {
    return this.#leads;
  }

  /** Leads when it is this tab's turn. */
  stand(): void {
    const { locks } = this.#environment;
    if (locks !== undefined) {
      const held = new Promise<void>((resolve) => {
        this.#release = resolve;
      });
      void locks.request(`${this.#environment.database}-leader`, () => {
        if (this.#over) return undefined;
        this.#lead();
        return held;
      });
    } else if (this.#channel === undefined) {
      this.#lead();
    } else {
      this.#watch();
    }
  }

  /** Tells the other tabs. */
  say(word: unknown): void {
    this.#channel?.postMessage({ type: "client", word } satisfies Word);
  }

  /** The tab is closing. */
  resign(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopTimer();
    if (this.#leads) this.#channel?.postMessage({ type: "resigned" } satisfies Word);
    this.#leads = false;
    this.#release();
    this.#channel?.close();
  }

  #lead(): void {
    this.#leads = true;
    this.onLead();
  }

  #hear(word: Word): void {
    if (this.#over) return;
    if (word.type === "client") {
      this.onWord(word.word);
    } else if (this.#environment.locks === undefined) {
      if (word.type === "resigned") this.#take();
      else if (!this.#leads) this.#watch();
      else if (word.from < this.#name) {
        this.#leads = false;
        this.onYield();
        this.#watch();
      } else this.#beat();
    }
  }

  /** Waits for silence; tabs wait unlike long, so that they seldom take over at once. */
  #watch(): void {
    this.#stopTimer();
    const spread = (Number.parseInt(this.#name.slice(0, 4), 16) / 0xffff) * HEARTBEAT;
    this.#stopTimer = this.#environment.after(SILENCE + spread, () => this.#take());
  }

  #take(): void {
    if (this.#leads || this.#over) return;
    this.#beat();
    this.#lead();
  }

  #beat(): void {
    this.#stopTimer();
    this.#channel?.postMessage({ type: "heartbeat", from: this.#name } satisfies Word);
    this.#stopTimer = this.#environment.after(HEARTBEAT, () => this.#beat());
  }
}
