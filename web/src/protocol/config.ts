/**
 * The configuration document: how the operator tells a client who it is, where to register and what it may send.
 *
 * Spec: RCC.14 (the document), RCC.15 (IMS parameters), RCC.07 Annex A (RCS parameters).
 * Promises: `parm` or `param`, names in any case, in any order; what is missing is null or empty, never guessed.
 */

import { ParseError } from "./error";
import { parseXml, type XmlElement } from "./xml";

/** Bytes of one document. */
export const MAX_CONFIGURATION = 256 * 1024;

/** What is shown before activation; both buttons false make a plain notice. */
export interface ConfigurationNotice {
  readonly title: string;
  readonly message: string;
  /** Consent is needed. */
  readonly accept: boolean;
  /** Refusal is possible. */
  readonly reject: boolean;
}

/** Who the client is and where it registers. */
export interface ImsConfiguration {
  /** Of APPAUTH, as are `password` and `realm`; the private identity when APPAUTH names none. */
  readonly username: string;
  readonly password: string;
  readonly realm: string;
  /** The home network's domain name. */
  readonly domain: string;
  readonly publicIdentities: readonly string[];
  /** Addresses, host with or without port. */
  readonly pcscf: readonly string[];
}

/** Limits of messaging: of MESSAGING (Universal Profile) where it says them, else of IM (joyn); null when unsaid. */
export interface MessagingConfiguration {
  /** Bytes of a one-to-one chat message. */
  readonly maxSize: number | null;
  /** Bytes up to which a message goes in one SIP request. */
  readonly switchoverSize: number | null;
  /** Seconds after which an idle session is closed. */
  readonly idleTimer: number | null;
  /** Seconds after which an undelivered message is taken back; 0 is never. */
  readonly revokeTimer: number | null;
  /** Members of a group. */
  readonly maxGroupSize: number | null;
  /** Messages may be sent to somebody who is not reachable now. */
  readonly alwaysOn: boolean;
}

export interface Configuration {
  /** Above 0 to apply; 0 reset; -1 and -2 reset and stop; -3 dormant (facts §9.4). */
  readonly vers: number;
  /** Seconds until the next query; 0 or less as `vers` says. */
  readonly validity: number;
  /** VERS alone, above 0: nothing changed but the validity. */
  readonly unchanged: boolean;
  readonly msg: ConfigurationNotice | null;
  readonly ims: ImsConfiguration | null;
  /** Where a browser registers; empty when unsaid. */
  readonly webSocketUri: string;
  readonly im: MessagingConfiguration;
}

/** One `characteristic`: its parameters by lower-case name, and those inside it. */
interface Node {
  readonly type: string;
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly children: readonly Node[];
}

/** Reads a document. Throws ParseError when it is none, or has no version. */
export function parseConfiguration(data: Uint8Array): Configuration {
  const element = parseXml(data, MAX_CONFIGURATION);
  if (element.name.toLowerCase() !== "wap-provisioningdoc") throw new ParseError("not a configuration document");
  const root = read(element);
  const version = inside(root, "VERS");
  const vers = integer(version, "version");
  const validity = integer(version, "validity");
  if (vers === null || validity === null) throw new ParseError("configuration document without a version");
  const notice = inside(root, "MSG");
  const applications = root.children.filter(({ type }) => type === "application");
  const ims = applications.find((node) => isApplication(node, "ap2001", ["ims-settings", "ims-rcse"]));
  const rcs = applications.find((node) => isApplication(node, "ap2002", ["rcse-settings", "rcs-settings"]));
  return {
    vers,
    validity,
    unchanged: root.children.length === 1 && vers > 0,
    msg: notice && {
      title: value(notice, "title"),
      message: value(notice, "message"),
      accept: value(notice, "Accept_btn") === "1",
      reject: value(notice, "Reject_btn") === "1",
    },
    ims: ims === undefined ? null : readIms(ims),
    webSocketUri: value(inside(ims ?? null, "Ext", "joyn"), "webSocketURI"),
    im: readMessaging(rcs ?? null),
  };
}

function readIms(ims: Node): ImsConfiguration {
  const auth = inside(ims, "APPAUTH");
  return {
    username: value(auth, "UserName") || value(ims, "Private_User_Identity"),
    password: value(auth, "UserPwd"),
    realm: value(auth, "Realm"),
    domain: value(ims, "Home_network_domain_name"),
    publicIdentities: everywhere(ims, "Public_User_Identity_List", "Public_User_Identity"),
    pcscf: everywhere(ims, "LBO_P-CSCF_Address", "Address"),
  };
}

function readMessaging(rcs: Node | null): MessagingConfiguration {
  const im = inside(rcs, "IM");
  const chat = inside(rcs, "MESSAGING", "Chat");
  const pager = inside(rcs, "MESSAGING", "StandaloneMsg");
  return {
    maxSize: integer(chat, "MaxSize") ?? integer(im, "MaxSize1to1"),
    switchoverSize: integer(pager, "SwitchoverSize"),
    idleTimer: integer(chat, "TimerIdle") ?? integer(im, "TimerIdle"),
    revokeTimer: integer(chat, "ChatRevokeTimer"),
    maxGroupSize: integer(chat, "max_adhoc_group_size") ?? integer(im, "max_adhoc_group_size"),
    alwaysOn: value(im, "imCapAlwaysON") === "1",
  };
}

function isApplication(node: Node, id: string, references: readonly string[]): boolean {
  return value(node, "AppID").toLowerCase() === id || references.includes(value(node, "AppRef").toLowerCase());
}

function read(element: XmlElement): Node {
  const values = new Map<string, string[]>();
  const children: Node[] = [];
  for (const item of element.children) {
    const kind = item.name.toLowerCase();
    if (kind === "characteristic") children.push(read(item));
    if (kind !== "parm" && kind !== "param") continue;
    const name = attribute(item, "name").toLowerCase();
    const others = values.get(name);
    if (others === undefined) values.set(name, [attribute(item, "value")]);
    else others.push(attribute(item, "value"));
  }
  return { type: attribute(element, "type").toLowerCase(), values, children };
}

function attribute(element: XmlElement, name: string): string {
  for (const [candidate, text] of element.attributes) if (candidate.toLowerCase() === name) return text.trim();
  return "";
}

/** The first characteristic of these types, each inside the one before. */
function inside(node: Node | null, ...types: readonly string[]): Node | null {
  let found = node;
  for (const type of types) {
    found = found?.children.find((candidate) => candidate.type === type.toLowerCase()) ?? null;
  }
  return found;
}

/** The values of a parameter in every characteristic of a type, which some servers write once for each value. */
function everywhere(node: Node, type: string, name: string): string[] {
  return node.children
    .filter((candidate) => candidate.type === type.toLowerCase())
    .flatMap(({ values }) => values.get(name.toLowerCase()) ?? [])
    .filter((text) => text !== "");
}

/** The first value of a parameter; empty when there is none. */
function value(node: Node | null, name: string): string {
  return node?.values.get(name.toLowerCase())?.[0] ?? "";
}

/** The first value of a parameter as a whole number; null when there is none. */
function integer(node: Node | null, name: string): number | null {
  const text = value(node, name);
  return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : null;
}
