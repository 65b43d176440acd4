/**
 * Proving who we are: digest with the best algorithm that is offered, its nonce used again until it goes stale.
 *
 * Spec: RFC 7616, RFC 8760; RFC 3261 §22. The password lives here, in memory, for as long as its connection.
 */

import { DIGEST_ALGORITHMS, digestAlgorithm, digestHa1, digestResponse, nonceCount } from "../protocol/digest";

/** A challenge as sip.js reads it. */
export interface Challenge {
  realm?: string;
  nonce?: string;
  opaque?: string;
  algorithm?: string;
  qop?: string[];
}

/** One side of what the node asks: 401 for REGISTER and 407 for the rest have nonces and counts of their own. */
export class Credentials {
  readonly #username: string;
  readonly #password: string;
  readonly #random: (count: number) => string;
  #challenge: Challenge | undefined;
  #count = 0;

  constructor(username: string, password: string, random: (count: number) => string) {
    this.#username = username;
    this.#password = password;
    this.#random = random;
  }

  /** Takes in a challenge; false when it cannot be answered. */
  challenged(challenge: Challenge): boolean {
    const { realm, nonce, qop } = challenge;
    if (!realm || !nonce || digestAlgorithm(challenge.algorithm) === null) return false;
    if (qop?.length && !qop.includes("auth")) return false;
    this.#challenge = challenge;
    this.#count = 0;
    return true;
  }

  /** Takes in an Authentication-Info: the next request is proved with its nonce (RFC 7616 §3.5). */
  adopt(info: string | undefined): void {
    const next = /(?:^|[\s,])nextnonce="([^"]+)"/i.exec(info ?? "")?.[1];
    if (next === undefined || this.#challenge === undefined) return;
    this.#challenge = { ...this.#challenge, nonce: next };
    this.#count = 0;
  }

  /** The header's value for a request; undefined before the first challenge. */
  authorize(method: string, uri: string): string | undefined {
    const challenge = this.#challenge;
    const algorithm = digestAlgorithm(challenge?.algorithm);
    if (challenge === undefined || algorithm === null) return undefined;
    const { realm = "", nonce = "", opaque } = challenge;
    this.#count += 1;
    const nc = nonceCount(this.#count);
    const cnonce = this.#random(16);
    const ha1 = digestHa1(this.#username, realm, this.#password, algorithm);
    const proof = challenge.qop?.length ? ({ qop: "auth", nc, cnonce } as const) : {};
    const response = digestResponse({ algorithm, ha1, nonce, method, uri, ...proof });
    const fields = [
      `username="${quoted(this.#username)}"`,
      `realm="${quoted(realm)}"`,
      `nonce="${quoted(nonce)}"`,
      `uri="${uri}"`,
      `response="${response}"`,
      `algorithm=${algorithm}`,
    ];
    if (opaque) fields.push(`opaque="${quoted(opaque)}"`);
    if ("qop" in proof) fields.push("qop=auth", `nc=${nc}`, `cnonce="${cnonce}"`);
    return `Digest ${fields.join(", ")}`;
  }
}

/**
 * A response's head with only the best of several challenges.
 *
 * sip.js reads one, the last; the server puts the best first (RFC 8760 §2.4).
 */
export function withBestChallenge(head: string): string {
  const lines = head.split("\r\n");
  const challenges = lines.filter((line) => CHALLENGE.test(line));
  if (challenges.length < 2) return head;
  const best = challenges.toSorted((one, other) => rank(one) - rank(other))[0];
  return lines.filter((line) => !CHALLENGE.test(line) || line === best).join("\r\n");
}

const CHALLENGE = /^(?:www|proxy)-authenticate\s*:/i;

function rank(line: string): number {
  const name = /[\s,]algorithm="?([^",\s]+)/i.exec(line)?.[1];
  const algorithm = digestAlgorithm(name);
  return algorithm === null ? DIGEST_ALGORITHMS.length : DIGEST_ALGORITHMS.indexOf(algorithm);
}

function quoted(text: string): string {
  return text.replace(/["\\]/g, "\\$&");
}
