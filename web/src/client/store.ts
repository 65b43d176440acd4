/** Values that can be watched, by the contract of a Svelte store. */

import { liveQuery } from "dexie";
import type { Readable } from "./model";

/** A value held in memory. */
export class Held<T> implements Readable<T> {
  #value: T;
  readonly #watchers = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    for (const run of [...this.#watchers]) run(value);
  }

  subscribe(run: (value: T) => void): () => void {
    // Each call is a subscription of its own, even with the same function.
    const watcher = (value: T): void => run(value);
    this.#watchers.add(watcher);
    run(this.#value);
    return () => this.#watchers.delete(watcher);
  }
}

/**
 * A query of the local database, asked again whenever what it read changes, in this tab or another.
 *
 * It runs while somebody watches. `refresh` asks again because something outside the database has changed.
 */
export class Live<T> implements Readable<T> {
  readonly #query: () => Promise<T>;
  readonly #held: Held<T>;
  #watching = 0;
  #stop: (() => void) | undefined;

  constructor(query: () => Promise<T>, initial: T) {
    this.#query = query;
    this.#held = new Held(initial);
  }

  subscribe(run: (value: T) => void): () => void {
    const unsubscribe = this.#held.subscribe(run);
    this.#watching += 1;
    if (this.#watching === 1) this.#start();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      unsubscribe();
      this.#watching -= 1;
      if (this.#watching === 0) this.#end();
    };
  }

  refresh(): void {
    if (this.#stop === undefined) return;
    this.#end();
    this.#start();
  }

  #start(): void {
    const subscription = liveQuery(this.#query).subscribe({
      next: (value) => this.#held.set(value),
      // The database is closing; what was read last stays on the screen.
      error: () => {},
    });
    this.#stop = () => subscription.unsubscribe();
  }

  #end(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}

/** The value made of another one. */
export function mapped<T, U>(source: Readable<T>, map: (value: T) => U): Readable<U> {
  return { subscribe: (run) => source.subscribe((value) => run(map(value))) };
}

/** Resolves with the first value that fits. */
export function until<T>(source: Readable<T>, fits: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    let stop = (): void => {};
    let found = false;
    stop = source.subscribe((value) => {
      if (found || !fits(value)) return;
      found = true;
      stop();
      resolve(value);
    });
    if (found) stop();
  });
}
