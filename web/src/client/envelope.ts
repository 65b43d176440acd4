/**
 * Messages in their CPIM envelopes, and what the extensions of Universal Profile say in them.
 *
 * Spec: RFC 3862, RFC 5438; facts §12 (reactions, replies, edits and deletions are CPIM headers on ordinary text, so
 * that a phone which does not know them shows something sensible).
 */

import type { Header } from "../protocol/bytes";
import { ANONYMOUS, buildCpim, type Cpim } from "../protocol/cpim";
import { FILE_INFO_CONTENT_TYPE } from "../protocol/file-info";
import { LOCATION_CONTENT_TYPE } from "../protocol/geolocation";
import { buildImdn, IMDN_CONTENT_TYPE } from "../protocol/imdn";
import { IS_COMPOSING_CONTENT_TYPE } from "../protocol/iscomposing";
import { buildRevocation, REVOCATION_CONTENT_TYPE } from "../protocol/revocation";

export const TEXT = "text/plain;charset=UTF-8";
export const REQUESTED = ["positive-delivery", "negative-delivery", "processing", "display"];

/** Names on the wire; only the first and the reactions were seen in captures, so all of them stand here. */
export const EXTENSION = {
  namespace: "http://www.gsma.com",
  /** Ours; others choose their own. */
  prefix: "rcs",
  id: "Reference-ID",
  type: "Reference-Type",
  types: { react: "+Reaction", unreact: "-Reaction", reply: "Reply", edit: "Edit", delete: "Delete" },
} as const;

export type ReferenceKind = keyof typeof EXTENSION.types;

export interface Reference {
  kind: ReferenceKind;
  /** The imdn.Message-ID it is about. */
  target: string;
}

/** What a phone shows that does not know deletions, by language. */
const DELETED: Record<string, string> = { en: "This message was deleted.", fr: "Ce message a été supprimé." };

/** Longest imdn.Message-ID or emoji of a reaction that is taken, in UTF-16 units. */
export const MAX_EMOJI = 32;

/** The reference of a message; null when it has none, or one that is not known here. */
export function referenceOf(cpim: Cpim): Reference | null {
  const target = cpim.extension(EXTENSION.namespace, EXTENSION.id);
  const type = cpim.extension(EXTENSION.namespace, EXTENSION.type)?.toLowerCase();
  if (!target || type === undefined) return null;
  const found = Object.entries(EXTENSION.types).find(([, name]) => name.toLowerCase() === type);
  return found === undefined ? null : { kind: found[0] as ReferenceKind, target };
}

/** A text as it leaves; only what becomes a bubble asks for receipts. */
export function wrapText(id: string, at: number, text: string, reference?: Reference): Uint8Array<ArrayBuffer> {
  const bubble = reference === undefined || reference.kind === "reply";
  const { prefix, namespace } = EXTENSION;
  const extra: Header[] = reference
    ? [
        [`${prefix}.${EXTENSION.id}`, reference.target],
        [`${prefix}.${EXTENSION.type}`, EXTENSION.types[reference.kind]],
      ]
    : [];
  return buildCpim({
    from: ANONYMOUS,
    to: ANONYMOUS,
    dateTime: dateTime(at),
    messageId: id,
    dispositionNotification: bubble ? REQUESTED : [],
    contentType: TEXT,
    body: new TextEncoder().encode(text),
    extra,
    namespaces: reference ? [[prefix, namespace]] : [],
  });
}

/** A file as it leaves: the document that says where it is. */
export function wrapFile(id: string, at: number, document: Uint8Array): Uint8Array<ArrayBuffer> {
  return wrapDocument(id, at, FILE_INFO_CONTENT_TYPE, document);
}

/** A place as it leaves. */
export function wrapLocation(id: string, at: number, document: Uint8Array): Uint8Array<ArrayBuffer> {
  return wrapDocument(id, at, LOCATION_CONTENT_TYPE, document);
}

/** What becomes a bubble: it asks for receipts. */
function wrapDocument(id: string, at: number, contentType: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return buildCpim({
    from: ANONYMOUS,
    to: ANONYMOUS,
    dateTime: dateTime(at),
    messageId: id,
    dispositionNotification: REQUESTED,
    contentType,
    body,
  });
}

export function deletedText(language: string): string {
  return DELETED[language.slice(0, 2)] ?? (DELETED.en as string);
}

/** Our word about a message of theirs (facts §4.5). */
export function wrapReceipt(
  id: string,
  at: number,
  about: string,
  status: "delivered" | "displayed",
): Uint8Array<ArrayBuffer> {
  const kind = status === "displayed" ? "display" : "delivery";
  return buildCpim({
    from: ANONYMOUS,
    to: ANONYMOUS,
    dateTime: dateTime(at),
    messageId: id,
    contentType: IMDN_CONTENT_TYPE,
    contentHeaders: [["Content-Disposition", "notification"]],
    body: buildImdn({ messageId: about, kind, status, dateTime: dateTime(at) }),
  });
}

/** The wish that a message which still waits in the network be taken back (facts §4.9). */
export function wrapRevocation(id: string, at: number, about: string): Uint8Array<ArrayBuffer> {
  return wrap(id, at, REVOCATION_CONTENT_TYPE, buildRevocation({ messageId: about }));
}

/** A typing notice for a network without an open session. */
export function wrapComposing(id: string, at: number, notice: Uint8Array): Uint8Array<ArrayBuffer> {
  return wrap(id, at, IS_COMPOSING_CONTENT_TYPE, notice);
}

function wrap(id: string, at: number, contentType: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return buildCpim({ from: ANONYMOUS, to: ANONYMOUS, dateTime: dateTime(at), messageId: id, contentType, body });
}

export function dateTime(at: number): string {
  return new Date(at).toISOString();
}

/** When a message says it was written, as far as that can be true. */
export function writtenAt(cpim: Pick<Cpim, "dateTime">, now: number): number {
  const said = Date.parse(cpim.dateTime);
  return said > 0 && said < now ? said : now;
}
