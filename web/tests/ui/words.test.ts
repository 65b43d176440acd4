import { readFileSync } from "node:fs";
import { compileMessage } from "@lingui/message-utils/compileMessage";
import { beforeAll, describe, expect, it } from "vitest";
import { choose, say, speak } from "../../src/i18n";

/** The catalogue as it is written; imports give it compiled. */
function written(language: string): Map<string, string> {
  const source = readFileSync(new URL(`../../src/i18n/${language}.ts`, import.meta.url), "utf8");
  return new Map([...source.matchAll(/^ {2}"([^"]+)":\s*"(.*)",$/gm)].map(([, key, text]) => [key ?? "", text ?? ""]));
}

const places = (text: string) => [...new Set([...text.matchAll(/\{(\w+)/g)].map(([, name]) => name))].toSorted();

describe("catalogues", () => {
  const [en, fr] = [written("en"), written("fr")];

  it("have the same keys in all languages", () => {
    expect(en.size).toBeGreaterThan(200);
    expect([...fr.keys()]).toEqual([...en.keys()]);
  });

  it("compile, and take the same values", () => {
    for (const [key, text] of en) {
      for (const one of [text, fr.get(key) ?? ""]) expect(() => compileMessage(one), key).not.toThrow();
      expect(
        places(fr.get(key) ?? "").filter((name) => text.includes(`{${name}`)),
        key,
      ).toEqual(places(text).filter((name) => fr.get(key)?.includes(`{${name}`)));
      for (const name of text.matchAll(/\{(\w+)[,}]/g)) expect(fr.get(key), key).toContain(`{${name[1]}`);
    }
  });

  it("are typographically French", () => {
    for (const [key, text] of fr) expect(text, key).not.toMatch(/(?<![\u202f])[?!;](?!\w)|'| :|[^\u00a0]»/);
  });
});

describe("what is said", () => {
  beforeAll(() => speak("fr"));

  it("follows the plural of the language", () => {
    expect(say("list.unread.count", { count: 0 })).toBe("0 non lu");
    expect(say("list.unread.count", { count: 1 })).toBe("1 non lu");
    expect(say("list.unread.count", { count: 2 })).toBe("2 non lus");
  });

  it("is in the first language there is words for", () => {
    expect(choose(["pt-BR", "fr-CH", "en"])).toBe("fr");
    expect(choose(["ja"])).toBe("en");
    expect(choose([])).toBe("en");
  });
});
