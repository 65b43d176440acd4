import { describe, expect, it, vi } from "vitest";
import { countdown, longDay, short } from "../../src/ui/format";

vi.stubGlobal("navigator", { languages: ["fr-FR"] });
const NOW = new Date(2026, 4, 6, 12, 0).getTime();
const ago = (days: number) => new Date(2026, 4, 6 - days, 9, 5).getTime();

describe("dates", () => {
  it("are as short as they can be", () => {
    expect(short(ago(0), "fr", "Hier", NOW)).toBe("09:05");
    expect(short(ago(1), "fr", "Hier", NOW)).toBe("Hier");
    expect(short(ago(3), "fr", "Hier", NOW)).toBe("dim.");
    expect(short(ago(20), "fr", "Hier", NOW)).toBe("16 avr.");
    expect(short(ago(400), "fr", "Hier", NOW)).toBe("1 avr. 2025");
  });

  it("are days in words as headings", () => {
    const names = { today: "Aujourd’hui", yesterday: "Hier" };
    expect(longDay(ago(0), "fr", names, NOW)).toBe("Aujourd’hui");
    expect(longDay(ago(1), "fr", names, NOW)).toBe("Hier");
    expect(longDay(ago(3), "fr", names, NOW)).toBe("Dimanche 3 mai");
  });

  it("count days, not hours", () => {
    const night = new Date(2026, 4, 6, 0, 5).getTime();
    expect(short(new Date(2026, 4, 5, 23, 55).getTime(), "fr", "Hier", night)).toBe("Hier");
  });
});

it("counts down in minutes and seconds, never below nothing", () => {
  expect([24_000, 61_000, 599_999, 0, -5].map(countdown)).toEqual(["0:24", "1:01", "10:00", "0:00", "0:00"]);
});
