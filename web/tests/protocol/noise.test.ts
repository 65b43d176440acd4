/** Arbitrary bytes give a value or a ParseError inside the data, never another exception, and never more than linear time. */

import { describe, expect, test } from "vitest";
import { decodeUtf8, utf8 } from "../../src/protocol/bytes";
import { parseConfiguration } from "../../src/protocol/config";
import { parseCpim } from "../../src/protocol/cpim";
import { parseFileInfo, parseResumeInfo } from "../../src/protocol/file-info";
import { parseLocation } from "../../src/protocol/geolocation";
import { parseImdn } from "../../src/protocol/imdn";
import { parseIsComposing } from "../../src/protocol/iscomposing";
import { parsePath } from "../../src/protocol/msrp/uri";
import { flattenMultipart } from "../../src/protocol/multipart";
import { parseRevocation } from "../../src/protocol/revocation";
import { msrpMedia, parseSdp } from "../../src/protocol/sdp";
import { parseXml } from "../../src/protocol/xml";
import { damage, growth, noise, parseError, random, samples, tolerate } from "./samples";

const XML_PARTS = ["<a>", "</a>", "<a", " b='c'", "/>", ">", "<!--", "-->", "<?", "?>", "<![CDATA[", "]]>", "&#x0;"];
const HEADERS = ["From: <a>\r\n", "NS: x <y>\r\n", "x.y: z\r\n", "\r\n", "\n", " folded", ":", "Content-type: a/b\r\n"];

const formats: [string, (data: Uint8Array) => unknown, string[]][] = [
  ["xml", (data) => parseXml(data), [...XML_PARTS, "&amp;", "&x;", "<!DOCTYPE", "é", "\0"]],
  ["imdn", parseImdn, [...XML_PARTS, "<imdn>", "</imdn>", "<message-id>x</message-id>", "<display-notification>"]],
  ["iscomposing", parseIsComposing, [...XML_PARTS, "<isComposing>", "<state>active</state>", "</isComposing>"]],
  ["revocation", parseRevocation, [...XML_PARTS, "<Message-ID>x</Message-ID>", "<result>success</result>"]],
  ["file_info", parseFileInfo, [...XML_PARTS, "<file>", "<file-info type='file'>", "<data url='u'/>", "</file-info>"]],
  ["resume_info", parseResumeInfo, [...XML_PARTS, "<file-resume-info>", "<file-range start='0' end='1'/>"]],
  ["geolocation", parseLocation, [...XML_PARTS, "<rcsenvelope>", "<rcspushlocation id='x'>", "<pos>1 2</pos>"]],
  ["config", parseConfiguration, [...XML_PARTS, "<wap-provisioningdoc>", "<characteristic type='VERS'>", "<parm/>"]],
  ["cpim", parseCpim, [...HEADERS, "Content-Transfer-Encoding: base64\r\n", "\x7f", "é"]],
  [
    "multipart",
    (data) => flattenMultipart("multipart/mixed;boundary=z", data),
    [...HEADERS, "--z", "--z--", "\r\n--z\r\n"],
  ],
  [
    "sdp",
    (data) => msrpMedia(parseSdp(data)),
    ["v=0\r\n", "o=- 1 1 IN IP4 a\r\n", "m=message 9 TCP/MSRP *\r\n", "a=b:c\r\n", "c=", "\r", "\n"],
  ],
];

describe.each(formats)("%s", (kind, parse, parts) => {
  test("noise is a value or a ParseError", () => {
    const next = random(1);
    for (let run = 0; run < 1000; run++) tolerate(parse, noise(next, parts, 12));
  });

  test("a damaged sample is a value or a ParseError, and some of both", () => {
    const next = random(2);
    const wires = samples(kind).filter((sample) => sample.value !== undefined);
    const outcomes = new Set<boolean>();
    for (let run = 0; run < 60; run++) {
      for (const { wire } of wires) outcomes.add(tolerate(parse, damage(next, wire)));
    }
    expect(outcomes.size).toBe(2);
  });
});

test("noise is a path of MSRP URIs or a ParseError", () => {
  const next = random(3);
  const parts = [
    "msrp://",
    "MSRPS://",
    "h",
    "[::1]",
    "[1::2::3]",
    ":2855",
    ":0",
    "/s",
    ";ws",
    ";a=b",
    "@",
    "%41",
    " ",
    "é",
  ];
  for (let run = 0; run < 1500; run++) {
    tolerate((data) => parsePath(Buffer.from(data).toString("latin1")), noise(next, parts, 8));
  }
});

const worst: [string, (data: Uint8Array) => unknown, (size: number) => string][] = [
  ["many elements", parseXml, (size) => `<a>${"<b>x</b>".repeat(size)}</a>`],
  ["an attribute that never ends", parseXml, (size) => `<a ${"b".repeat(size)}`],
  ["blanks before nothing", parseXml, (size) => `<a ${" ".repeat(size)}`],
  ["a value that never ends", parseXml, (size) => `<a b="${"c".repeat(size)}`],
  ["many references", parseXml, (size) => `<a>${"&amp;".repeat(size)}</a>`],
  ["references that never end", parseXml, (size) => `<a>${"&".repeat(size)}</a>`],
  ["many comments", parseXml, (size) => `<a>${"<!---->".repeat(size)}</a>`],
  ["half a delimiter, often", (data) => flattenMultipart("a/b;boundary=zz", data), (size) => "--z".repeat(size)],
  ["delimiters within lines", (data) => flattenMultipart("a/b;boundary=z", data), (size) => "x--z".repeat(size)],
  ["a body of base64", parseCpim, (size) => `\n\nContent-Transfer-Encoding: base64\n\n${"*/".repeat(size)}`],
  ["carriage returns", parseSdp, (size) => `v=0${"\r".repeat(Math.min(8 * size, 60_000))}`],
  ["replacement characters before the wrong byte", (data) => decodeUtf8(data, "text"), (size) => "\ufffd".repeat(size)],
];

test.each(worst)("takes linear time for %s", (_, parse, make) => {
  expect(growth(parse, make, 10_000)).toBeLessThan(30);
});

test("the first wrong byte is found behind replacement characters that are right", () => {
  const data = Uint8Array.from([...utf8("é\ufffd\ufffdx"), 0xff, ...utf8("\ufffd")]);
  expect(parseError(() => decodeUtf8(data, "text", 100)).at).toBe(100 + 2 + 3 + 3 + 1);
});
