import { expect, test } from "vitest";
import {
  formatMsrpUri,
  HOPS_MAX,
  makeMsrpUri,
  parseMsrpUri,
  parsePath,
  sameMsrpUri,
  URI_MAX,
} from "../../../src/protocol/msrp/uri";
import { parseError } from "../samples";

test.each([
  ["msrp://h/s;tcp", { host: "h", sessionId: "s" }],
  [
    "msrps://u@h.example:7394/a=b+c;ws",
    { scheme: "msrps", userinfo: "u", host: "h.example", port: 7394, sessionId: "a=b+c", transport: "ws" },
  ],
  ["msrps://x7f.invalid/s1;ws", { scheme: "msrps", host: "x7f.invalid", sessionId: "s1", transport: "ws" }],
  ["msrp://[2001:db8::1]:2855/s;tcp", { host: "2001:db8::1", port: 2855, sessionId: "s" }],
  ["msrp://h;tcp;k;l=v", { host: "h", parameters: [["k", null] as const, ["l", "v"] as const] }],
  ["msrp://a;b@h/s;tcp", { userinfo: "a;b", host: "h", sessionId: "s" }],
  ["msrp://h/a/b;tcp", { host: "h", sessionId: "a/b" }],
] as const)("%s is read and written", (text, fields) => {
  const uri = makeMsrpUri(fields);
  expect(parseMsrpUri(text)).toEqual(uri);
  expect(formatMsrpUri(uri)).toBe(text);
});

test.each([
  ["", 0],
  ["sip:a@b", 0],
  ["msrp:///s;tcp", 7],
  ["msrp://h:/s;tcp", 9],
  ["msrp://h:0/s;tcp", 9],
  ["msrp://h:65536/s;tcp", 9],
  ["msrp://h:٣/s;tcp", 9],
  ["msrp://h/s", 10],
  ["msrp://h/;tcp", 9],
  ["msrp://h/s;", 11],
  ["msrp://h/s t;tcp", 10],
  ["msrp://[::1/s;tcp", 8],
  ["msrp://[fe80::1%25e]/s;tcp", 8],
  ["msrp://[1:2]/s;tcp", 8],
  ["msrp://a b@h/s;tcp", 8],
  ["msrp://h/s;tcp;=x", 15],
  ["msrp://h/s;tcp;a=é", 17],
])("%j is refused at %d", (text, at) => expect(parseError(() => parseMsrpUri(text)).at).toBe(at));

test.each([
  ["msrp://H.example/s;tcp", "MSRP://h.EXAMPLE/s;TCP", true],
  ["msrp://u@h/s;tcp;a=b", "msrp://h/s;tcp", true],
  ["msrp://[2001:DB8:0::1]/s;tcp", "msrp://[2001:db8::1]/s;tcp", true],
  ["msrp://h/s;tcp", "msrps://h/s;tcp", false],
  ["msrp://h/s;tcp", "msrp://h/S;tcp", false],
  ["msrp://h/s;tcp", "msrp://h;tcp", false],
  ["msrp://h:2855/s;tcp", "msrp://h/s;tcp", false],
  ["msrp://h/s;tcp", "msrp://h/s;ws", false],
  ["msrp://192.0.2.1/s;tcp", "msrp://192.0.2.2/s;tcp", false],
])("RFC 4975 §6.1: %s and %s: %j", (one, other, same) => {
  expect(sameMsrpUri(parseMsrpUri(one), parseMsrpUri(other))).toBe(same);
  expect(sameMsrpUri(parseMsrpUri(other), parseMsrpUri(one))).toBe(same);
});

test("a path is bounded in hops and a URI in length", () => {
  const uri = "msrp://h/s;tcp";
  expect(parsePath(Array(HOPS_MAX).fill(uri).join(" ")).length).toBe(HOPS_MAX);
  parseError(() =>
    parsePath(
      Array(HOPS_MAX + 1)
        .fill(uri)
        .join(" "),
    ),
  );
  expect(parseMsrpUri(`msrp://h/${"s".repeat(URI_MAX - 13)};tcp`).host).toBe("h");
  parseError(() => parseMsrpUri(`msrp://h/${"s".repeat(URI_MAX - 12)};tcp`));
});

test("an error in a path names its place in the whole", () => {
  expect(parseError(() => parsePath("msrp://h/s;tcp msrp://h/s")).at).toBe(25);
});
