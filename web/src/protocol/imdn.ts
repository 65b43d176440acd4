/**
 * Disposition notifications: what became of a message, as `message/imdn+xml`.
 *
 * Spec: RFC 5438 §7.2, §10; OMA CPM for `interworking-notification`. Ours is `cause`, beside the notification.
 * Promises: elements are found by local name in any namespace; what `buildImdn` writes, `parseImdn` gives back.
 */

import { type Bytes, byteLength, utf8 } from "./bytes";
import { ParseError } from "./error";
import { child, escapeXml, parseXml, textOf, type XmlElement } from "./xml";

export const IMDN_CONTENT_TYPE = "message/imdn+xml";

/** Bytes of one document. */
export const MAX_IMDN = 16 * 1024;
/** Bytes of a Message-ID, as in the CPIM header it repeats. */
export const MAX_MESSAGE_ID = 256;

export type ImdnKind = "delivery" | "display" | "processing" | "interworking";

/** One notification about one message. Texts are empty when left out, except as said. */
export interface Imdn {
  /** The imdn.Message-ID of the message it is about; never empty. */
  readonly messageId: string;
  readonly kind: ImdnKind;
  /** The name of the status element: delivered, failed, displayed, stored … (RFC 5438 §10) or an extension. */
  readonly status: string;
  /** RFC 3339 text as sent. */
  readonly dateTime: string;
  readonly recipientUri: string;
  readonly originalRecipientUri: string;
  readonly subject: string;
  /** The SIP status that says why a message failed (what RFC 3326 calls so); 0 when nobody says. */
  readonly cause: number;
}

const KIND = /^(delivery|display|processing|interworking)-notification$/;

/** Reads a document. Throws ParseError when it names no message, or no notification with a status. */
export function parseImdn(data: Uint8Array): Imdn {
  const root = parseXml(data, MAX_IMDN);
  if (root.name !== "imdn") throw new ParseError("not an imdn document");
  const text = (name: string): string => textOf(child(root, name));
  const messageId = text("message-id");
  if (messageId === "") throw new ParseError("imdn without message-id");
  if (byteLength(messageId) > MAX_MESSAGE_ID) throw new ParseError(`imdn message-id over ${MAX_MESSAGE_ID} bytes`);
  // RFC 5438 §10: exactly one notification; of several the first counts.
  const notification = root.children.find((element) => KIND.test(element.name));
  const status = notification && child(notification, "status")?.children[0]?.name;
  if (!status) throw new ParseError("imdn without a notification status");
  return {
    messageId,
    kind: kindOf(notification),
    status,
    dateTime: text("datetime"),
    recipientUri: text("recipient-uri"),
    originalRecipientUri: text("original-recipient-uri"),
    subject: text("subject"),
    cause: /^[3-6]\d\d$/.test(text("cause")) ? Number(text("cause")) : 0,
  };
}

/** Writes a document in the shape the handsets in the field write and read. */
export function buildImdn(imdn: Pick<Imdn, "messageId" | "kind" | "status" | "dateTime"> & Partial<Imdn>): Bytes {
  const optional = (name: string, value = ""): string =>
    value === "" ? "" : `<${name}>${escapeXml(value)}</${name}>\r\n`;
  const { kind, status } = imdn;
  const cause = imdn.cause ? `<cause xmlns="urn:x-joyn:imdn:cause">${imdn.cause}</cause>\r\n` : "";
  const namespace = kind === "interworking" ? ' xmlns="urn:oma:xml:cpm:imdn-extensions:1.0"' : "";
  return utf8(
    '<?xml version="1.0" encoding="UTF-8"?>\r\n' +
      '<imdn xmlns="urn:ietf:params:xml:ns:imdn">\r\n' +
      `<message-id>${escapeXml(imdn.messageId)}</message-id>\r\n` +
      `<datetime>${escapeXml(imdn.dateTime)}</datetime>\r\n` +
      optional("recipient-uri", imdn.recipientUri) +
      optional("original-recipient-uri", imdn.originalRecipientUri) +
      optional("subject", imdn.subject) +
      `<${kind}-notification${namespace}><status><${status}/></status></${kind}-notification>\r\n` +
      `${cause}</imdn>`,
  );
}

function kindOf(notification: XmlElement): ImdnKind {
  return notification.name.slice(0, notification.name.indexOf("-")) as ImdnKind;
}
