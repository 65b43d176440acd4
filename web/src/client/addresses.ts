/** Whom a SIP header names, and how an address is written in one. Spec: facts §1. */

import type { Aor } from "./model";

/** `tel:+33639980001` for every way to write an international number; other URIs without their parameters. */
export function aorOf(uri: string): Aor {
  const [, scheme = "", rest = ""] = /^([a-z]+):(.*)$/i.exec(uri.trim()) ?? [];
  const main = rest.split(/[;?]/, 1)[0] ?? "";
  const at = main.lastIndexOf("@");
  const user = decode(scheme.toLowerCase() === "tel" || at < 0 ? main : main.slice(0, at));
  const digits = user.replace(/[-.()\s]/g, "");
  if (/^\+[0-9]{1,15}$/.test(digits)) return `tel:${digits}`;
  return `${scheme.toLowerCase()}:${main}`;
}

/** The URIs of a header with name-addrs. */
export function urisIn(value: string): string[] {
  const bracketed = Array.from(value.matchAll(/<([a-z]+:[^>]*)>/gi), ([, uri]) => uri as string);
  if (bracketed.length > 0) return bracketed;
  const bare = /^\s*([a-z]+:[^\s;,>]+)/i.exec(value)?.[1];
  return bare === undefined ? [] : [bare];
}

/** Who a request is from: Referred-By, P-Asserted-Identity (a number first), From. */
export function senderOf(header: (name: string) => string | undefined): Aor {
  for (const name of ["referred-by", "p-asserted-identity", "from"]) {
    const aors = urisIn(header(name) ?? "").map(aorOf);
    const found = aors.find((aor) => aor.startsWith("tel:")) ?? aors[0];
    if (found !== undefined) return found;
  }
  return "";
}

/** Stands for the host of a number; see `dress`. */
const NUMBER_HOST = "tel.invalid";

/**
 * The head of a message as sip.js can read it: its grammar knows no tel URI, so a number gets a host that names none.
 *
 * `undress` puts back what was there.
 */
export function dress(head: string): string {
  return head.replace(/(?<=[<\s"])tel:([^\s;>"]+)/gi, `sip:$1@${NUMBER_HOST}`);
}

export function undress(head: string): string {
  return head.replace(/sip:([^\s@<>"]+)@tel\.invalid/g, "tel:$1");
}

/** User and host of an address for sip.js, dressed. */
export function dressedParts(address: string): { user: string; host: string } {
  const bare = address.replace(/^(?:tel|sips?):/i, "");
  if (/^tel:/i.test(address)) return { user: bare, host: NUMBER_HOST };
  const main = bare.split(/[;?]/, 1)[0] ?? "";
  const at = main.lastIndexOf("@");
  return { user: main.slice(0, Math.max(at, 0)), host: main.slice(at + 1) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
