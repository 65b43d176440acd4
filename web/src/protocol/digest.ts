/**
 * Digest authentication, the client's side: the proof that a password is known.
 *
 * Spec: RFC 7616 §3.4, RFC 8760 (SHA-256, SHA-512-256), RFC 2617 and 2069 (without `qop`).
 * Promises: synchronous and pure; nonces, counts and cnonces are arguments.
 */

import { md5 } from "@noble/hashes/legacy.js";
import { sha256, sha512_256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { utf8 } from "./bytes";

const HASHES = { "SHA-512-256": sha512_256, "SHA-256": sha256, MD5: md5 };

export type DigestAlgorithm = keyof typeof HASHES;

/** What is understood, best first (RFC 8760 §2.4). The -sess variants are not: no server of the field asks for them. */
export const DIGEST_ALGORITHMS = Object.keys(HASHES) as DigestAlgorithm[];

/** The algorithm of a challenge, MD5 when it names none; null for one not understood. */
export function digestAlgorithm(name: string | undefined): DigestAlgorithm | null {
  const wanted = name?.toUpperCase() || "MD5";
  return DIGEST_ALGORITHMS.find((known) => known === wanted) ?? null;
}

/** What a server keeps instead of the password (RFC 7616 §3.4.2), in hex. */
export function digestHa1(username: string, realm: string, password: string, algorithm: DigestAlgorithm): string {
  return hash(algorithm, utf8(`${username}:${realm}:${password}`));
}

export interface DigestInput {
  algorithm: DigestAlgorithm;
  ha1: string;
  nonce: string;
  method: string;
  uri: string;
  /** Left out for a server of RFC 2069. */
  qop?: "auth" | "auth-int";
  /** Eight hexadecimal digits, with `qop`; see `nonceCount`. */
  nc?: string;
  cnonce?: string;
  /** Counts for `auth-int` only. */
  body?: Uint8Array;
}

/** The `response` of credentials (RFC 7616 §3.4.1) in hex; without `qop` as in RFC 2069. */
export function digestResponse(input: DigestInput): string {
  const { algorithm, qop, nonce } = input;
  const a2 = `${input.method}:${input.uri}`;
  const whole = qop === "auth-int" ? `${a2}:${hash(algorithm, input.body ?? new Uint8Array())}` : a2;
  const middle = qop === undefined ? nonce : `${nonce}:${input.nc ?? ""}:${input.cnonce ?? ""}:${qop}`;
  return hash(algorithm, utf8(`${input.ha1}:${middle}:${hash(algorithm, utf8(whole))}`));
}

/** The `nc` of the count-th use of a nonce (RFC 7616 §3.4). */
export function nonceCount(count: number): string {
  return count.toString(16).padStart(8, "0");
}

function hash(algorithm: DigestAlgorithm, data: Uint8Array): string {
  return bytesToHex(HASHES[algorithm](data));
}
