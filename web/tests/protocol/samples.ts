/** Wire samples and noise for the tests of the protocol cores: see tests/vectors/README.md. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { utf8 } from "../../src/protocol/bytes";
import { ParseError } from "../../src/protocol/error";

const VECTORS = join(import.meta.dirname, "../../../tests/vectors");

export interface Sample {
  name: string;
  title: string;
  wire: Uint8Array;
  value?: unknown;
  error?: { at: number };
  emit?: boolean;
  /** What a format adds to its samples, as the Content-Type of a multipart body. */
  content_type?: string;
}

/** All samples of a format. */
export function samples(kind: string): Sample[] {
  const folder = join(VECTORS, kind);
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => {
    const sample = JSON.parse(readFileSync(join(folder, name), "utf8"));
    const wire = sample.wire_base64 === undefined ? utf8(sample.wire) : Buffer.from(sample.wire_base64, "base64");
    return { ...sample, name: name.slice(0, -".json".length), wire: Uint8Array.from(wire) };
  });
}

/** The ParseError that `parse` ends in; a test fails when it ends in none. */
export function parseError(parse: () => unknown): ParseError {
  try {
    parse();
  } catch (error) {
    if (error instanceof ParseError) return error;
    throw error;
  }
  throw new Error("no ParseError");
}

/** Parses; a ParseError with an offset inside the data is as good as a value, everything else goes through. */
export function tolerate(parse: (data: Uint8Array) => unknown, data: Uint8Array): boolean {
  try {
    parse(data);
    return true;
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    expect(error.at).toBeGreaterThanOrEqual(0);
    expect(error.at).toBeLessThanOrEqual(data.length);
    return false;
  }
}

/** Numbers below 1, the same for the same seed (a linear congruential generator is random enough for noise). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A whole number from 0 to below `limit`. */
export function below(next: () => number, limit: number): number {
  return Math.floor(next() * limit);
}

/** Some of `parts`, one after the other, with random bytes between them. */
export function noise(next: () => number, parts: readonly string[], length: number): Uint8Array {
  const pieces = Array.from({ length: below(next, length + 1) }, () =>
    next() < 0.25
      ? Uint8Array.from({ length: below(next, 6) }, () => below(next, 256))
      : utf8(parts[below(next, parts.length)] ?? ""),
  );
  return Uint8Array.from(Buffer.concat(pieces));
}

/** `data` with a few bytes changed, dropped or doubled. */
export function damage(next: () => number, data: Uint8Array): Uint8Array {
  const bytes = [...data];
  for (let count = 1 + below(next, 3); count > 0; count--) {
    const at = below(next, bytes.length + 1);
    const replacement = next() < 0.3 ? [] : [below(next, 256), ...bytes.slice(at, at + below(next, 9))];
    bytes.splice(at, below(next, 4), ...replacement);
  }
  return Uint8Array.from(bytes);
}

/**
 * How many times longer parsing takes for an eightfold size: near 8 when linear, near 64 when quadratic.
 *
 * Processor time, the best of a few runs, so that a busy machine does not count.
 */
export function growth(parse: (data: Uint8Array) => unknown, make: (size: number) => string, size: number): number {
  const time = (data: Uint8Array): number => {
    let best = Infinity;
    for (let run = 0; run < 5; run++) {
      const started = process.cpuUsage();
      tolerate(parse, data);
      const used = process.cpuUsage(started);
      best = Math.min(best, used.user + used.system);
    }
    return Math.max(best, 50);
  };
  const small = time(utf8(make(size)));
  return time(utf8(make(8 * size))) / small;
}
