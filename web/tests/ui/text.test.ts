import { describe, expect, it } from "vitest";
import { excerpt, initials, loneEmoji, marked, pieces } from "../../src/ui/text";

const links = (text: string) => pieces(text).flatMap(({ href }) => (href ? [href] : []));

describe("links", () => {
  it("are of the web only, and leave the sentence its end", () => {
    expect(links("see https://joyn.example/a?b=c.")).toEqual(["https://joyn.example/a?b=c"]);
    expect(links("javascript:alert(1) data:text/html,x ftp://a.example file:///etc")).toEqual([]);
  });

  it("keep the text whole", () => {
    const text = "a https://one.example, (http://two.example/x) b";
    expect(
      pieces(text)
        .map((piece) => piece.text)
        .join(""),
    ).toBe(text);
  });

  it("never pass off one host as another", () => {
    expect(links("https://joyn.example@evil.example/")).toEqual([]);
    const [piece] = pieces("https://jоyn.example/"); // a Cyrillic о
    expect(piece?.text).toContain("xn--");
  });

  it("are found in linear time", () => {
    const start = performance.now();
    pieces("https://a".repeat(20_000));
    pieces(`https://${".".repeat(100_000)}`);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("emoji alone", () => {
  it.each(["👍", "❤️", "👨‍👩‍👧 🇫🇷", "🎉🎉🎉"])("%s is big", (text) => expect(loneEmoji(text)).toBe(true));
  it.each(["", "1", "ok 👍", "🎉🎉🎉🎉"])("%j is not", (text) => expect(loneEmoji(text)).toBe(false));
});

describe("names", () => {
  it("give initials, numbers none", () => {
    expect(initials("Camille Laurent")).toBe("CL");
    expect(initials("Papa")).toBe("P");
    expect(initials("+33 6 39 98 00 01")).toBe("");
    expect(initials("élodie de la Tour")).toBe("ÉT");
  });
});

describe("marks", () => {
  const marks = (text: string, query: string) => marked(text, query).flatMap((one) => (one.mark ? [one.text] : []));

  it("stand at the beginning of words, accents and case aside", () => {
    expect(marks("Lucía, la Côte et la côte", "cote lu")).toEqual(["Lu", "Côte", "côte"]);
    expect(marks("recoat", "coat")).toEqual([]);
    expect(marks("a.b (x)", "(x")).toEqual([]);
  });

  it("keep the text whole", () => {
    const text = "Ne\u0301e le 3 mai : « Léa »";
    expect(
      marked(text, "nee lea")
        .map((one) => one.text)
        .join(""),
    ).toBe(text);
  });

  it("are in the excerpt", () => {
    expect(excerpt(`${"long ".repeat(20)}coast`, "coast")).toMatch(/^….*coast$/);
    expect(excerpt("the coast", "coast")).toBe("the coast");
    expect(excerpt("x", "[(")).toBe("x");
  });
});
