import { describe, expect, it, vi } from "vitest";
import { dangerous, extensionOf, halves } from "../../src/ui/files";
import { fileSize, moved, timeLeft } from "../../src/ui/format";
import { renamed } from "../../src/ui/pictures";

vi.stubGlobal("navigator", { languages: ["en-GB"] });
const MEGA = 1024 * 1024;
const t = (key: string, values?: object): string => `${key} ${Object.values(values ?? {}).join(" ")}`;

describe("sizes", () => {
  it("are said in the unit that fits, in the language's words", () => {
    expect(fileSize(0, "en")).toBe("0 byte");
    expect(fileSize(1, "en")).toBe("1 byte");
    expect(fileSize(1500, "en")).toBe("1.5 kB");
    expect(fileSize(82.4 * MEGA, "en")).toBe("82.4 MB");
    expect(fileSize(143 * MEGA, "en")).toBe("143 MB");
    expect(fileSize(1023.9 * 1024, "en")).toBe("1 MB");
    expect(fileSize(6.8 * MEGA, "fr").replace(/\s/u, " ")).toBe("6,8 Mo");
    expect(fileSize(5000 * 1024 * MEGA, "en")).toBe("5,000 GB");
  });

  it("of what has moved are in the unit of the whole", () => {
    expect(moved({ bytes: 52.3 * MEGA, of: 82.4 * MEGA, rate: 0 }, "en", t)).toBe("file.moving 52 82.4 MB");
    expect(moved({ bytes: 0.25 * MEGA, of: 6 * MEGA, rate: 0 }, "en", t)).toBe("file.moving 0.3 6 MB");
  });

  it("give the time that is left, once there is a rate", () => {
    expect(timeLeft({ bytes: 0, of: 100, rate: 0 }, t)).toBe("");
    expect(timeLeft({ bytes: 100, of: 100, rate: 5 }, t)).toBe("");
    expect(timeLeft({ bytes: 10, of: 100, rate: 10 }, t)).toBe("file.left.seconds 9");
    expect(timeLeft({ bytes: 0, of: 601, rate: 10 }, t)).toBe("file.left.minutes 2");
    expect(timeLeft({ bytes: 0, of: 36_001, rate: 10 }, t)).toBe("file.left.hours 2");
  });
});

describe("names", () => {
  it("keep their end when they are cut", () => {
    expect(halves("minutes-of-the-meeting-2026.pdf")).toEqual(["minutes-of-the-meeting-", "2026.pdf"]);
    expect(halves("a.pdf")).toEqual(["", "a.pdf"]);
    expect(halves("")).toEqual(["", ""]);
  });

  it("say what the tile shows", () => {
    expect(extensionOf({ name: "a.tar.gz", type: "application/gzip" })).toBe("GZ");
    expect(extensionOf({ name: "scan", type: "application/pdf" })).toBe("PDF");
    expect(extensionOf({ name: "data", type: "application/octet-stream" })).toBe("");
  });

  it("warn of what runs", () => {
    for (const name of ["setup.EXE", "page.html", "drawing.svg", "photo.jpg.scr ", "a.ps1"]) {
      expect(dangerous(name), name).toBe(true);
    }
    for (const name of ["a.pdf", "exe", "photo.jpg", "archive.zip"]) expect(dangerous(name), name).toBe(false);
  });

  it("follow what a photo has become", () => {
    expect(renamed("IMG_1.JPG", "image/jpeg")).toBe("IMG_1.JPG");
    expect(renamed("shot.v2.webp", "image/jpeg")).toBe("shot.v2.jpg");
    expect(renamed("screen.png", "image/png")).toBe("screen.png");
    expect(renamed("screen.png", "image/jpeg")).toBe("screen.jpg");
  });
});
