import { describe, expect, test } from "vitest";
import { aorOf, dress, senderOf, undress, urisIn } from "../../src/client/addresses";
import { Credentials, withBestChallenge } from "../../src/client/credentials";
import { Numbers } from "../../src/client/numbers";
import { counted } from "./world";

describe("addresses", () => {
  test.each([
    ["tel:+33639980001", "tel:+33639980001"],
    ["tel:+33-6-39.98(00)01;phone-context=x", "tel:+33639980001"],
    ["sip:+33639980001@joyn.localhost;user=phone", "tel:+33639980001"],
    ["sip:%2B33639980001@joyn.localhost", "tel:+33639980001"],
    ["SIP:lea@joyn.localhost;transport=ws", "sip:lea@joyn.localhost"],
    ["sip:%zz@joyn.localhost", "sip:%zz@joyn.localhost"],
  ])("%s", (uri, aor) => {
    expect(aorOf(uri)).toBe(aor);
  });

  test("a head with tel URIs is dressed for sip.js and comes back as it was", () => {
    const head = [
      "MESSAGE tel:+33639980002 SIP/2.0",
      "To: <tel:+33639980002>;tag=a",
      "P-Asserted-Identity: <tel:+33639980001>, <sip:+33639980001@joyn.localhost>",
      'Authorization: Digest uri="tel:12345;phone-context=joyn.localhost"',
      "Subject: hotel:12",
    ].join("\r\n");
    expect(dress(head)).not.toMatch(/(?<!ho)tel:/);
    expect(undress(dress(head))).toBe(head);
  });

  test("the sender is Referred-By, then P-Asserted-Identity with a number first, then From", () => {
    const from = (headers: Record<string, string>) => senderOf((name) => headers[name]);
    const asserted = "<sip:+33639980002@joyn.localhost>, <tel:+33639980002>";
    expect(from({ "referred-by": "<tel:+33639980003>", "p-asserted-identity": asserted })).toBe("tel:+33639980003");
    expect(from({ "p-asserted-identity": asserted, from: "<sip:x@y>" })).toBe("tel:+33639980002");
    expect(from({ from: '"Léa" <sip:lea@joyn.localhost>;tag=1' })).toBe("sip:lea@joyn.localhost");
    expect(from({})).toBe("");
    expect(urisIn("sip:bare@joyn.localhost;tag=1")).toEqual(["sip:bare@joyn.localhost"]);
  });
});

describe("credentials", () => {
  const challenge = { realm: "r", nonce: "n", algorithm: "SHA-256", qop: ["auth"] };

  test("count the uses of a nonce, and begin anew with another", () => {
    const credentials = new Credentials("u", 'p"', counted);
    expect(credentials.authorize("REGISTER", "sip:x")).toBeUndefined();
    expect(credentials.challenged(challenge)).toBe(true);
    expect(credentials.authorize("REGISTER", "sip:x")).toContain("nc=00000001");
    expect(credentials.authorize("REGISTER", "sip:x")).toContain("nc=00000002");
    credentials.adopt('qop=auth, nextnonce="n2"');
    expect(credentials.authorize("REGISTER", "sip:x")).toMatch(/nonce="n2".*nc=00000001/);
    credentials.adopt(undefined);
    expect(credentials.authorize("REGISTER", "sip:x")).toContain("nc=00000002");
  });

  test("answer only what they can", () => {
    const credentials = new Credentials("u", "p", counted);
    expect(credentials.challenged({ ...challenge, algorithm: "SHA-256-sess" })).toBe(false);
    expect(credentials.challenged({ ...challenge, qop: ["auth-int"] })).toBe(false);
    expect(credentials.challenged({ realm: "r" })).toBe(false);
    expect(credentials.challenged({ realm: "r", nonce: "n" })).toBe(true);
    expect(credentials.authorize("REGISTER", "sip:x")).not.toContain("qop");
  });

  test("of several challenges the best is answered, and of one that", () => {
    const head = (...algorithms: string[]) =>
      [
        "SIP/2.0 401 x",
        ...algorithms.map((name) => `WWW-Authenticate: Digest realm="r", algorithm=${name}`),
        "A: b",
      ].join("\r\n");
    expect(withBestChallenge(head("MD5", "SHA-256", "AKAv1-MD5"))).toBe(head("SHA-256"));
    expect(withBestChallenge(head("SHA-256", "MD5"))).toBe(head("SHA-256"));
    expect(withBestChallenge(head("MD5"))).toBe(head("MD5"));
  });
});

test("numbers are read and written as in the operator's country", async () => {
  const numbers = new Numbers("FR");
  expect(numbers.read("0033 6 39 98 00 01")).toEqual({ id: "tel:+33639980001", number: "+33639980001" });
  expect(numbers.read("06 39 98 00 01")).toBeUndefined();
  await numbers.load();
  expect(numbers.read("06 39 98 00 01")).toEqual({ id: "tel:+33639980001", number: "06 39 98 00 01" });
  expect(numbers.read("+44 7700 900123")?.number).toBe("+44 7700 900123");
  expect(numbers.read("lea")).toBeUndefined();
  expect(numbers.read("12")).toBeUndefined();
  expect(numbers.write("sip:lea@joyn.localhost")).toBe("lea@joyn.localhost");
});
