/**
 * Revocation: take a message back before any device has it, and say whether that came in time.
 *
 * Spec: RCC.07 (message revocation), as far as it is known: the namespace and `Message-ID` and `result`.
 * Promises: reads any root and nesting by local name; what is built is read back.
 */

import { type Bytes, byteLength, utf8 } from "./bytes";
import { ParseError } from "./error";
import { descendants, escapeXml, parseXml, textOf } from "./xml";

export const REVOCATION_CONTENT_TYPE = "application/vnd.gsma.rcsrevoke+xml";

/** Bytes of one document. */
export const MAX_REVOCATION = 8 * 1024;
/** Bytes of a Message-ID, as in the CPIM header it repeats. */
export const MAX_MESSAGE_ID = 256;

export type RevocationResult = "success" | "failure";

/** A wish that a message be deleted undelivered, or with a `result` what became of the wish. */
export interface Revocation {
  readonly messageId: string;
  /** `failure` when a device already had the message; null in the wish itself. */
  readonly result: RevocationResult | null;
}

/** Reads a document: with a `result` it is a response. Throws ParseError without a Message-ID or a known result. */
export function parseRevocation(data: Uint8Array): Revocation {
  const texts = new Map<string, string>();
  for (const element of descendants(parseXml(data, MAX_REVOCATION))) {
    if (!texts.has(element.name)) texts.set(element.name, textOf(element));
  }
  const messageId = texts.get("Message-ID") ?? "";
  if (messageId === "") throw new ParseError("revocation without a Message-ID");
  if (byteLength(messageId) > MAX_MESSAGE_ID) {
    throw new ParseError(`revocation Message-ID over ${MAX_MESSAGE_ID} bytes`);
  }
  const result = texts.get("result")?.toLowerCase();
  if (result === undefined) return { messageId, result: null };
  if (result !== "success" && result !== "failure") throw new ParseError("revocation with an unknown result");
  return { messageId, result };
}

/** Writes a wish, or with a `result` the answer to one. */
export function buildRevocation({
  messageId,
  result = null,
}: Pick<Revocation, "messageId"> & Partial<Revocation>): Bytes {
  // The root names could not be confirmed: nothing depends on them when reading.
  const root = result === null ? "MessageRevokeRequest" : "MessageRevokeResponse";
  return utf8(
    '<?xml version="1.0" encoding="UTF-8"?>\r\n' +
      `<${root} xmlns="urn:gsma:params:xml:ns:rcs:rcs:rcsrevoke">\r\n` +
      `<Message-ID>${escapeXml(messageId)}</Message-ID>\r\n` +
      (result === null ? "" : `<result>${result}</result>\r\n`) +
      `</${root}>`,
  );
}
