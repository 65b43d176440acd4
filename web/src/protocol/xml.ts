/**
 * The one door to XML: a document becomes a small tree, or a ParseError with a position.
 *
 * Spec: XML 1.0 (5th ed.), Namespaces in XML 1.0 as far as local names go; UTF-8 only, as all our bodies are.
 * Promises: no DTD, no entities but the five of XML, bounded size and depth, linear time; needs no DOM.
 */

import { byteLength, decodeUtf8, find, startsWith, utf8 } from "./bytes";
import { ParseError } from "./error";

/** Bytes of one document, unless the caller asks for less. */
export const MAX_DOCUMENT = 1024 * 1024;
/** Elements inside each other, the root counted; our deepest body needs eight. */
export const MAX_DEPTH = 32;

export interface XmlElement {
  /** The name without its prefix: in the field namespaces vary where names do not. */
  readonly name: string;
  /** Attributes by the name as written. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** The text before the first child, white space and all. */
  readonly text: string;
}

interface Open {
  name: string;
  written: string;
  attributes: Map<string, string>;
  children: XmlElement[];
  text: string;
}

const BOM = Uint8Array.of(0xef, 0xbb, 0xbf);
const DOCTYPE = utf8("<!DOCTYPE");
// XML 1.0 §2.2: what no document can say.
const FORBIDDEN = /[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const NAME = /[A-Za-z_:\u0080-\uffff][\w.:\-\u0080-\uffff]*/y;
const ATTRIBUTE =
  /[ \t\r\n]+([A-Za-z_:\u0080-\uffff][\w.:\-\u0080-\uffff]*)[ \t\r\n]*=[ \t\r\n]*(?:"([^"<]*)"|'([^'<]*)')/y;
const TAG_END = /[ \t\r\n]*(\/?)>/y;
const REFERENCE = /&(?:([a-z]{2,4})|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));|&[^;&]{0,16};?/g;
const ENTITIES = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
]);
// XML 1.0 §2.11, §3.3.3: white space other than a blank is normalised away unless written as a reference.
const ESCAPES = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ['"', "&quot;"],
  ["\t", "&#9;"],
  ["\n", "&#10;"],
  ["\r", "&#13;"],
]);
const SPECIAL = /[^ !#-%'-;=?-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/**
 * The root element of a UTF-8 document; comments and processing instructions are left out.
 *
 * Throws ParseError when it is not well-formed, has a DTD, or is over `maxBytes` or MAX_DEPTH.
 */
export function parseXml(data: Uint8Array, maxBytes: number = MAX_DOCUMENT): XmlElement {
  if (data.length > maxBytes) throw new ParseError(`XML document over ${maxBytes} bytes`, maxBytes);
  const doctype = find(data, DOCTYPE, 0);
  if (doctype >= 0) throw new ParseError("XML document with a DTD", doctype);
  const start = startsWith(data, BOM, 0) ? 3 : 0;
  const text = decodeUtf8(data.subarray(start), "XML document", start);
  try {
    const forbidden = text.search(FORBIDDEN);
    if (forbidden >= 0) throw new ParseError("XML: a character that XML does not have", forbidden);
    return new Reader(text).read();
  } catch (error) {
    // The reader counts characters; offsets are in bytes.
    if (error instanceof ParseError) throw new ParseError(error.what, start + byteLength(text.slice(0, error.at)));
    throw error;
  }
}

/** The first child with this local name. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((candidate) => candidate.name === name);
}

/** The text before the first child, without surrounding white space; empty when there is none. */
export function textOf(element: XmlElement | undefined): string {
  return element === undefined ? "" : element.text.trim();
}

/** The text of the first child with this local name; empty when there is none. */
export function childText(element: XmlElement, name: string): string {
  return textOf(child(element, name));
}

/** Every element of a tree, parents first, in the order of the document. */
export function* descendants(root: XmlElement): Generator<XmlElement> {
  yield root;
  for (const element of root.children) yield* descendants(element);
}

/**
 * Writes `text` for an element or a double-quoted attribute.
 *
 * Total: what XML 1.0 §2.2 has no way to say (control characters, lone surrogates) becomes U+FFFD.
 */
export function escapeXml(text: string): string {
  return text.replace(SPECIAL, (found) => ESCAPES.get(found) ?? "\ufffd");
}

class Reader {
  #at = 0;
  #root: XmlElement | undefined;
  readonly #open: Open[] = [];

  constructor(private readonly document: string) {}

  read(): XmlElement {
    const text = this.document;
    while (this.#at < text.length) {
      if (text[this.#at] !== "<") this.#text();
      else if (text.startsWith("<!--", this.#at)) this.#skip("-->", 4);
      else if (text.startsWith("<?", this.#at)) this.#skip("?>", 2);
      else if (text.startsWith("<![CDATA[", this.#at)) this.#cdata();
      else if (text.startsWith("</", this.#at)) this.#endTag();
      else this.#startTag();
    }
    if (this.#root === undefined || this.#open.length > 0) throw new ParseError("XML document cut short", text.length);
    return this.#root;
  }

  #text(): void {
    const next = this.document.indexOf("<", this.#at);
    const end = next < 0 ? this.document.length : next;
    const text = this.document.slice(this.#at, end);
    const open = this.#open.at(-1);
    if (open === undefined) {
      const odd = text.search(/[^ \t\r\n]/);
      if (odd >= 0) throw new ParseError("XML: text outside the root element", this.#at + odd);
    } else {
      const plain = resolve(text, this.#at);
      if (open.children.length === 0) open.text += plain;
    }
    this.#at = end;
  }

  #skip(mark: string, length: number): number {
    const end = this.document.indexOf(mark, this.#at + length);
    if (end < 0) throw new ParseError(`XML: ${mark} expected`, this.document.length);
    this.#at = end + mark.length;
    return end;
  }

  #cdata(): void {
    const open = this.#open.at(-1);
    if (open === undefined) throw new ParseError("XML: text outside the root element", this.#at);
    const start = this.#at + 9;
    const text = this.document.slice(start, this.#skip("]]>", 9));
    if (open.children.length === 0) open.text += text.replace(/\r\n?/g, "\n");
  }

  #startTag(): void {
    if (this.#open.length === 0 && this.#root !== undefined) throw new ParseError("XML: a second root", this.#at);
    if (this.#open.length === MAX_DEPTH) throw new ParseError(`XML document deeper than ${MAX_DEPTH}`, this.#at);
    this.#at += 1;
    const written = this.#match(NAME, "an element's name")[0];
    const name = written.slice(written.lastIndexOf(":") + 1);
    const element: Open = { name, written, attributes: new Map(), children: [], text: "" };
    const inside = this.#open.at(-1);
    if (inside === undefined) this.#root = element;
    else inside.children.push(element);
    for (;;) {
      ATTRIBUTE.lastIndex = this.#at;
      const found = ATTRIBUTE.exec(this.document);
      if (found === null) break;
      const [whole, key, double, single] = found as unknown as [string, string, string | undefined, string | undefined];
      if (element.attributes.has(key)) throw new ParseError(`XML: attribute ${key} twice`, this.#at);
      const value = (double ?? single ?? "").replace(/\r\n|[\t\r\n]/g, " ");
      element.attributes.set(key, resolve(value, this.#at));
      this.#at += whole.length;
    }
    if (this.#match(TAG_END, "an attribute or '>'")[1] === "") this.#open.push(element);
  }

  #endTag(): void {
    this.#at += 2;
    const written = this.#match(NAME, "an element's name")[0];
    const slash = this.#match(TAG_END, "'>'")[1];
    const open = this.#open.pop();
    if (slash !== "" || open?.written !== written) throw new ParseError("XML: mismatched end tag", this.#at);
  }

  #match(pattern: RegExp, what: string): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.document);
    if (found === null) throw new ParseError(`XML: ${what} expected`, this.#at);
    this.#at = pattern.lastIndex;
    return found;
  }
}

/** Undoes references and line ends (XML 1.0 §4.1, §2.11). */
function resolve(text: string, at: number): string {
  return text.replace(/\r\n?/g, "\n").replace(REFERENCE, (whole, name, decimal, hexadecimal, offset: number) => {
    const code = Number.parseInt(decimal ?? hexadecimal, decimal === undefined ? 16 : 10);
    const plain = code <= 0x10ffff ? String.fromCodePoint(code) : ENTITIES.get(name);
    if (plain === undefined || FORBIDDEN.test(plain)) {
      throw new ParseError("XML: a reference to nothing we know", at + offset + whole.length);
    }
    return plain;
  });
}
