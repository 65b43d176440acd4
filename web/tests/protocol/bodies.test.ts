import { describe, expect, test } from "vitest";
import { decodeLoosely, utf8 } from "../../src/protocol/bytes";
import { MAX_CONFIGURATION, parseConfiguration } from "../../src/protocol/config";
import * as cpim from "../../src/protocol/cpim";
import { ProtocolError } from "../../src/protocol/error";
import * as imdn from "../../src/protocol/imdn";
import * as multipart from "../../src/protocol/multipart";
import { buildRevocation, MAX_REVOCATION, parseRevocation } from "../../src/protocol/revocation";
import * as sdp from "../../src/protocol/sdp";
import * as xml from "../../src/protocol/xml";
import { parseError } from "./samples";

describe("cpim", () => {
  const make = (changes: Partial<cpim.CpimParts> = {}): Uint8Array =>
    cpim.buildCpim({
      from: cpim.ANONYMOUS,
      to: cpim.ANONYMOUS,
      dateTime: "2026-01-31T10:00:00Z",
      messageId: "m1",
      contentType: "text/plain;charset=UTF-8",
      body: utf8("Bonjour"),
      ...changes,
    });

  test("a reaction is found by its namespace whatever its prefix", () => {
    const namespaces: [string, string][] = [["zz", "http://www.gsma.com"]];
    const extra: [string, string][] = [
      ["zz.Reference-ID", "m0"],
      ["zz.Reference-Type", "+Reaction"],
    ];
    const message = cpim.parseCpim(make({ namespaces, extra }));
    expect(message.extension("http://www.gsma.com", "reference-id")).toBe("m0");
    expect(message.extension("http://www.gsma.com", "Reference-Type")).toBe("+Reaction");
    expect(message.extension("http://www.gsma.com", "Reference")).toBeUndefined();
    expect(message.extension(cpim.IMDN_NAMESPACE, "Reference-ID")).toBeUndefined();
    expect(message.header("ZZ.reference-ID")).toBe("m0");
    expect(message.header("n1.Reference-ID")).toBeUndefined();
    expect(message.namespaces).toEqual([["imdn", cpim.IMDN_NAMESPACE], ...namespaces]);
  });

  test("a namespace declared again serves the headers after it", () => {
    const text = "a.X: 0\nNS: a <u:1>\na.X: 1\nNS: A <u:2>\na.X: 2\n\n\n";
    const message = cpim.parseCpim(utf8(text));
    expect([message.extension("u:1", "x"), message.extension("u:2", "x")]).toEqual(["0", "2"]);
  });

  test("wishes are written in the usual order, and none where none are", () => {
    const asked = make({ dispositionNotification: ["x-own", "display", "positive-delivery"] });
    expect(decodeLoosely(asked)).toContain("imdn.Disposition-Notification: positive-delivery, display, x-own\r\n");
    expect(decodeLoosely(make())).not.toContain("Disposition-Notification");
  });

  test("text that is no UTF-8 is shown as far as it can be, and kept", () => {
    const body = Uint8Array.of(0x61, 0xff, 0x62);
    const message = cpim.parseCpim(make({ body }));
    expect(message.text).toBe("a\ufffdb");
    expect([...message.body]).toEqual([...body]);
  });

  test("base64 that is cut short is refused", () => {
    const contentHeaders: [string, string][] = [["Content-Transfer-Encoding", "base64"]];
    expect(cpim.parseCpim(make({ contentHeaders, body: utf8("Qm9u\r\nam91cg==") })).text).toBe("Bonjour");
    const data = make({ contentHeaders, body: utf8("Qm9ua") });
    expect(parseError(() => cpim.parseCpim(data)).at).toBe(data.length);
  });

  test.each([
    { from: "a\r\nTo: b" },
    { messageId: "m\n1" },
    { contentType: "a/b\r\n\r\n" },
    { extra: [["X\r\nY", "z"]] as const },
    { extra: [["X", "\0"]] as const },
    { namespaces: [["n", "u>\r\n"]] as const },
  ])("a header that would break is a bug: %j", (changes) => {
    expect(() => make(changes)).toThrow(ProtocolError);
  });

  test("limits are met at the limit and refused one past", () => {
    const head = (size: number): Uint8Array => utf8(`X: ${"x".repeat(size - 3 - 3)}\n\r\n\n`);
    expect(cpim.parseCpim(head(cpim.MAX_HEAD)).headers.length).toBe(1);
    expect(parseError(() => cpim.parseCpim(head(cpim.MAX_HEAD + 1))).at).toBe(cpim.MAX_HEAD);
    const lines = (count: number): Uint8Array => utf8(`${"X: y\n".repeat(count)}\n\n`);
    expect(cpim.parseCpim(lines(cpim.MAX_HEADERS)).headers.length).toBe(cpim.MAX_HEADERS);
    parseError(() => cpim.parseCpim(lines(cpim.MAX_HEADERS + 1)));
    expect(cpim.parseCpim(make({ messageId: "i".repeat(cpim.MAX_MESSAGE_ID) })).messageId.length).toBe(256);
    parseError(() => cpim.parseCpim(make({ messageId: "é".repeat(cpim.MAX_MESSAGE_ID / 2 + 1) })));
  });

  test.each([
    ["Zoé <tel:+33639980001>", "tel:+33639980001"],
    ['"<b>" <sip:a@b>', "sip:a@b"],
    [" tel:+33639980001 ", "tel:+33639980001"],
    ["<tel:+33639980001", "tel:+33639980001"],
    ["", ""],
  ])("the URI of %j is %j", (value, uri) => expect(cpim.addressUri(value)).toBe(uri));
});

describe("xml", () => {
  test("a document may be MAX_DEPTH deep and no deeper", () => {
    const nested = (depth: number): Uint8Array => utf8("<a>".repeat(depth) + "</a>".repeat(depth));
    expect(xml.parseXml(nested(xml.MAX_DEPTH)).name).toBe("a");
    parseError(() => xml.parseXml(nested(xml.MAX_DEPTH + 1)));
    parseError(() => xml.parseXml(nested(50_000)));
  });

  test("a document may have MAX_DOCUMENT bytes and no more", () => {
    expect(xml.parseXml(utf8("<a/>".padEnd(xml.MAX_DOCUMENT))).name).toBe("a");
    expect(parseError(() => xml.parseXml(utf8("<a/>".padEnd(xml.MAX_DOCUMENT + 1)))).at).toBe(xml.MAX_DOCUMENT);
  });

  test("escaped text comes back except what XML cannot say", () => {
    const text = "a<b>&\"'\t\n\r é👍\0\u001f\ud800\uffff";
    const root = xml.parseXml(utf8(`<a b="${xml.escapeXml(text)}">${xml.escapeXml(text)}</a>`));
    const shown = "a<b>&\"'\t\n\r é👍\ufffd\ufffd\ufffd\ufffd";
    expect([root.text, root.attributes.get("b")]).toEqual([shown, shown]);
  });

  test("line ends, references, CDATA and both quotes are read as XML says", () => {
    const root = xml.parseXml(utf8('<a b=\'"x"\r\ny\' c="&#x41;&#66;&apos;">1\r\n2\r3<![CDATA[<&\r\n]]><d/>no</a>'));
    expect([...root.attributes]).toEqual([
      ["b", '"x" y'],
      ["c", "AB'"],
    ]);
    expect(root.text).toBe("1\n2\n3<&\n");
  });

  test.each([
    ["<a b='1' b='2'/>", "twice"],
    ["<a b='<'/>", "expected"],
    ["<a/><b/>", "second root"],
    ["x<a/>", "outside"],
    ["<a/>x", "outside"],
    ["<![CDATA[]]><a/>", "outside"],
    ["<a>&#0;</a>", "reference"],
    ["<a>&#x110000;</a>", "reference"],
    ["<a>& b</a>", "reference"],
    ["<a>\u0001</a>", "character"],
    ["<a><!-- </a>", "expected"],
    ["<a></a/>", "mismatched"],
    ["</a>", "mismatched"],
    ["<a", "expected"],
  ])("%j is refused", (text, what) => expect(parseError(() => xml.parseXml(utf8(text))).what).toContain(what));

  test("offsets are bytes, the byte order mark counted in", () => {
    expect(parseError(() => xml.parseXml(utf8("\ufeff<é>&x;</é>"))).at).toBe(3 + 4 + 3);
  });
});

describe("imdn", () => {
  const make = (changes: Partial<imdn.Imdn> = {}): Uint8Array =>
    imdn.buildImdn({ messageId: "m1", kind: "delivery", status: "delivered", dateTime: "", ...changes });

  test("limits are met at the limit and refused one past", () => {
    const padded = (size: number): Uint8Array => utf8(decodeLoosely(make()).padEnd(size));
    expect(imdn.parseImdn(padded(imdn.MAX_IMDN)).messageId).toBe("m1");
    parseError(() => imdn.parseImdn(padded(imdn.MAX_IMDN + 1)));
    expect(imdn.parseImdn(make({ messageId: "i".repeat(imdn.MAX_MESSAGE_ID) })).messageId.length).toBe(256);
    parseError(() => imdn.parseImdn(make({ messageId: "i".repeat(imdn.MAX_MESSAGE_ID + 1) })));
  });

  test("of several notifications the first counts", () => {
    const two =
      "<imdn><message-id>m</message-id><display-notification><status><error/></status></display-notification>";
    const more = "<delivery-notification><status><delivered/></status></delivery-notification></imdn>";
    expect(imdn.parseImdn(utf8(two + more))).toMatchObject({ kind: "display", status: "error" });
  });

  test("an id that looks like markup comes back", () => {
    expect(imdn.parseImdn(make({ messageId: "</message-id>&<x" })).messageId).toBe("</message-id>&<x");
  });
});

test("a revocation meets its limits and is refused one past", () => {
  const wire = decodeLoosely(buildRevocation({ messageId: "m".repeat(256) }));
  expect(parseRevocation(utf8(wire.padEnd(MAX_REVOCATION))).messageId.length).toBe(256);
  parseError(() => parseRevocation(utf8(wire.padEnd(MAX_REVOCATION + 1))));
  parseError(() => parseRevocation(buildRevocation({ messageId: "m".repeat(257) })));
});

test("a configuration meets its limit and is refused one past", () => {
  const vers =
    '<characteristic type="VERS"><parm name="version" value="1"/><parm name="validity" value="2"/></characteristic>';
  const wire = `<wap-provisioningdoc>${vers}</wap-provisioningdoc>`;
  expect(parseConfiguration(utf8(wire.padEnd(MAX_CONFIGURATION))).vers).toBe(1);
  parseError(() => parseConfiguration(utf8(wire.padEnd(MAX_CONFIGURATION + 1))));
});

describe("multipart", () => {
  const text = (body: string): multipart.Part => multipart.makePart("text/plain", utf8(body));
  const build = (parts: multipart.Part[], ...names: string[]): ReturnType<typeof multipart.buildMultipart> => {
    let next = 0;
    return multipart.buildMultipart(parts, () => names[next++] ?? `b${next}`);
  };
  const bodies = (parts: multipart.Part[]): string[] => parts.map((part) => decodeLoosely(part.body));

  test("what is built is read back, whatever the bodies hold", () => {
    const parts = [text(""), text("\r\n--a\r\n"), text("--b--"), text("x\r\n")];
    const { contentType, body } = build(parts, "a", "b", "c");
    expect(contentType).toBe("multipart/mixed;boundary=c");
    expect(bodies(multipart.parseMultipart(contentType, body))).toEqual(bodies(parts));
  });

  test("parts inside parts are found depth first, to MAX_NESTING and no deeper", () => {
    const nest = (depth: number): { contentType: string; body: Uint8Array } => {
      const inner = depth === 1 ? text("deep") : nest(depth - 1);
      const part = "contentType" in inner ? multipart.makePart(inner.contentType, inner.body) : inner;
      return build([text(`before ${depth}`), part], `level${depth}x`);
    };
    const most = nest(multipart.MAX_NESTING);
    const found = bodies(multipart.flattenMultipart(most.contentType, most.body));
    expect(found).toEqual(["before 4", "before 3", "before 2", "before 1", "deep"]);
    const more = nest(multipart.MAX_NESTING + 1);
    parseError(() => multipart.flattenMultipart(more.contentType, more.body));
  });

  test("limits are met at the limit and refused one past", () => {
    const many = (count: number): Uint8Array => utf8(`${"--z\r\n\r\n\r\n".repeat(count)}--z--`);
    const parse = (data: Uint8Array): multipart.Part[] => multipart.parseMultipart("a/b;boundary=z", data);
    expect(parse(many(multipart.MAX_PARTS)).length).toBe(multipart.MAX_PARTS);
    parseError(() => parse(many(multipart.MAX_PARTS + 1)));
    const head = (size: number): Uint8Array => utf8(`--z\nX: ${"x".repeat(size - 5)}\n\n\n--z--`);
    expect(parse(head(multipart.MAX_PART_HEAD)).length).toBe(1);
    parseError(() => parse(head(multipart.MAX_PART_HEAD + 1)));
    const lines = (count: number): Uint8Array => utf8(`--z\n${"X: y\n".repeat(count)}\n\n--z--`);
    expect(parse(lines(multipart.MAX_PART_HEADERS))[0]?.headers.length).toBe(multipart.MAX_PART_HEADERS);
    parseError(() => parse(lines(multipart.MAX_PART_HEADERS + 1)));
    expect(multipart.boundaryOf(`a/b;boundary=${"b".repeat(multipart.MAX_BOUNDARY)}`).length).toBe(70);
    parseError(() => multipart.boundaryOf(`a/b;boundary=${"b".repeat(multipart.MAX_BOUNDARY + 1)}`));
  });

  test("a part's own encoding is undone when asked", () => {
    const part = multipart.makePart("text/plain", utf8("Qm9uam91cg=="), [["content-transfer-encoding", "Base64"]]);
    expect(decodeLoosely(multipart.decodedPart(part))).toBe("Bonjour");
    expect(decodeLoosely(multipart.decodedPart(text("Qm9u")))).toBe("Qm9u");
  });

  test("boundaries and headers that could not be read back are bugs", () => {
    expect(() => build([], "a")).toThrow(ProtocolError);
    expect(() => build([text("x")], "a b")).toThrow(ProtocolError);
    expect(() => build([{ headers: [["X", "y\r\nZ: a"]], body: utf8("") }], "a")).toThrow(ProtocolError);
    expect(() => multipart.buildMultipart([text("--same")], () => "same")).toThrow(ProtocolError);
  });
});

describe("sdp", () => {
  const offer: sdp.MsrpOffer = {
    address: "x7f.invalid",
    port: sdp.DISCARD_PORT,
    path: ["msrps://x7f.invalid:9/s1;ws"],
    sessionId: 3959280000,
    acceptTypes: ["message/cpim", "application/im-iscomposing+xml"],
    acceptWrappedTypes: ["text/plain"],
    setup: "active",
  };

  test("an offer that is built is what it says when read", () => {
    const read = sdp.parseSdp(sdp.emitSdp(sdp.buildMsrpSdp(offer)));
    expect(sdp.msrpMedia(read)).toMatchObject({
      port: 9,
      address: "x7f.invalid",
      path: offer.path,
      setup: "active",
      direction: "sendrecv",
      acceptTypes: offer.acceptTypes,
      acceptWrappedTypes: offer.acceptWrappedTypes,
    });
    expect(read).toEqual(sdp.buildMsrpSdp(offer));
  });

  test("an attribute is set in its place, added at the end, or taken out, and nothing else moves", () => {
    const text = "v=0\r\ns=-\r\na=x:1\r\na=y\r\na=x:2\r\nb=AS:1\r\n";
    const change = (name: string, value: string | null): string =>
      decodeLoosely(sdp.emitSdp(sdp.withAttribute(sdp.parseSdp(utf8(text)), name, value)));
    expect(change("x", "3")).toBe("v=0\r\ns=-\r\na=x:3\r\na=y\r\nb=AS:1\r\n");
    expect(change("y", null)).toBe(text.replace("a=y\r\n", ""));
    expect(change("z", "")).toBe(`${text}a=z\r\n`);
  });

  test("a line break in a value is a bug", () => {
    expect(() => sdp.buildMsrpSdp({ ...offer, path: ["a\r\nm=x"] })).toThrow(ProtocolError);
    expect(() => sdp.buildMsrpSdp({ ...offer, address: "a\nb" })).toThrow(ProtocolError);
    expect(() => sdp.withAttribute(sdp.buildMsrpSdp(offer), "x", "\n")).toThrow(ProtocolError);
  });

  test("limits are met at the limit and refused one past", () => {
    const sized = (size: number): Uint8Array => utf8(`v=0\ns=${"-".repeat(size - 6)}`);
    expect(sdp.parseSdp(sized(sdp.MAX_SDP)).lines.length).toBe(2);
    parseError(() => sdp.parseSdp(sized(sdp.MAX_SDP + 1)));
    const lines = (count: number): Uint8Array => utf8(`v=0\n${"a=b\n".repeat(count - 1)}`);
    expect(sdp.parseSdp(lines(sdp.MAX_LINES)).lines.length).toBe(sdp.MAX_LINES);
    parseError(() => sdp.parseSdp(lines(sdp.MAX_LINES + 1)));
    const media = (count: number): Uint8Array => utf8(`v=0\n${"m=audio 0 RTP/AVP 0\n".repeat(count)}`);
    expect(sdp.parseSdp(media(sdp.MAX_MEDIA)).media.length).toBe(sdp.MAX_MEDIA);
    parseError(() => sdp.parseSdp(media(sdp.MAX_MEDIA + 1)));
  });
});
