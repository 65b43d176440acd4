import { expect, test } from "vitest";
import { utf8 } from "../../src/protocol/bytes";
import { DIGEST_ALGORITHMS, digestAlgorithm, digestHa1, digestResponse, nonceCount } from "../../src/protocol/digest";

test("the response of RFC 2617 §3.5", () => {
  const ha1 = digestHa1("Mufasa", "testrealm@host.com", "Circle Of Life", "MD5");
  const nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
  const request = { algorithm: "MD5", ha1, nonce, method: "GET", uri: "/dir/index.html" } as const;
  expect(digestResponse({ ...request, qop: "auth", nc: nonceCount(1), cnonce: "0a4f113b" })).toBe(
    "6629fae49393a05397450978507c4ef1",
  );
  // The same of RFC 2069, without qop.
  expect(digestResponse(request)).toBe("670fd8c2df070c60b045671b8b24ff02");
});

test.each([
  ["MD5", "8ca523f5e9506fed4657c9700eebdbec"],
  ["SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"],
] as const)("the response of RFC 7616 §3.9.1 with %s", (algorithm, response) => {
  const found = digestResponse({
    algorithm,
    ha1: digestHa1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm),
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    method: "GET",
    uri: "/dir/index.html",
    qop: "auth",
    nc: "00000001",
    cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
  });
  expect(found).toBe(response);
});

// What joyn.protocol.sip.digest.response gives for the same, with a user name outside ASCII.
test.each([
  ["SHA-512-256", "", "246781d8c9c03d6ba11a3ea6581c1d948259217810e58c49e3024276eeae1741"],
  ["SHA-512-256", "auth", "d5973fe0c7b06225e46f47c8246e6a1c398adb961fe2c395fbb08599673d7738"],
  ["SHA-512-256", "auth-int", "5d09e82c68e6be9999199f668e45a6b135af0043cb320e7ae5598715fc5fea0f"],
  ["SHA-256", "", "8b76dba4939f3b1dd18ece80c4bd0769070f06e42445e3ebe85af0c5b82805d4"],
  ["SHA-256", "auth", "df0ea4c3999b81492b494d5241572b1c3a625d062148da9e7c91c53ff3b91b53"],
  ["SHA-256", "auth-int", "103406a7f07313202154496553cf2eebb578dcb14cc09a4d24a303f2511925b0"],
  ["MD5", "", "30d3063dcd4011797fea5e2a810d94eb"],
  ["MD5", "auth", "4ba504ea30e929b34ff6333e450dca19"],
  ["MD5", "auth-int", "927117c3a5608bc700c273f98ddb6f3f"],
] as const)("the server's own response with %s and %s", (algorithm, qop, response) => {
  const found = digestResponse({
    algorithm,
    ha1: digestHa1("zoé", "joyn.example", "secret", algorithm),
    nonce: "n1",
    method: "REGISTER",
    uri: "sip:joyn.example",
    ...(qop === "" ? {} : { qop, nc: nonceCount(10), cnonce: "c" }),
    body: utf8("body"),
  });
  expect(found).toBe(response);
});

test("algorithms are known in any case, MD5 when unsaid, and no others", () => {
  expect(DIGEST_ALGORITHMS).toEqual(["SHA-512-256", "SHA-256", "MD5"]);
  expect([undefined, "", "md5", "sha-512-256"].map(digestAlgorithm)).toEqual(["MD5", "MD5", "MD5", "SHA-512-256"]);
  expect(["MD5-sess", "SHA-1", "constructor"].map(digestAlgorithm)).toEqual([null, null, null]);
});
