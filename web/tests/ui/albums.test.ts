import { describe, expect, it } from "vitest";
import type { Message, SharedFile } from "../../src/client/model";
import { ALBUM_MS, grewAtStart, messagesOf, rowsOf, rowWith, SHOWN, stopsOf } from "../../src/ui/conversation/rows";
import { file, message } from "../../src/ui/fixtures";

const NOON = new Date(2026, 4, 6, 12).getTime();
const PEER = "tel:+33639980002";
const said = { name: "coast.jpg", size: 1, type: "image/jpeg", state: "here" } as const;
const photo = (offset: number, more: Partial<Message> = {}, shared: Partial<SharedFile> = {}) =>
  file(PEER, { ...said, ...shared }, NOON + offset, more);
const text = (offset: number) => message(PEER, "x", NOON + offset);
const rows = (messages: Message[], unread?: string) =>
  rowsOf(messages, unread, false).filter(({ kind }) => kind !== "day");
const shape = (messages: Message[], unread?: string) => rows(messages, unread).map((row) => messagesOf(row).length);

describe("an album", () => {
  it("holds the photos that one sender sent within seconds", () => {
    expect(shape([photo(0), photo(ALBUM_MS - 1), photo(2 * ALBUM_MS - 2)])).toEqual([3]);
    expect(shape([photo(0), photo(ALBUM_MS)])).toEqual([1, 1]);
    expect(shape([photo(0), photo(1, { own: true })])).toEqual([1, 1]);
  });

  it("of our own is what was sent in one go, whatever the clock says", () => {
    const mine = (offset: number, batch: string) => photo(offset, { own: true }, { batch });
    expect(shape([mine(0, "a"), mine(1, "a"), mine(2, "b"), mine(3, "b")])).toEqual([2, 2]);
    expect(shape([mine(0, "a"), mine(60_000, "a")])).toEqual([2]);
    expect(shape([mine(0, "a"), photo(1, { own: true })])).toEqual([1, 1]);
  });

  it("ends at a text, at a file, at a reply, and at what is no longer to be had", () => {
    expect(shape([photo(0), text(1), photo(2)])).toEqual([1, 1, 1]);
    expect(shape([photo(0), photo(1, {}, { type: "application/pdf" }), photo(2)])).toEqual([1, 1, 1]);
    expect(shape([photo(0), photo(1, { reply: { id: "m" } })])).toEqual([1, 1]);
    expect(shape([photo(0), photo(1, {}, { state: "gone" })])).toEqual([1, 1]);
  });

  it("ends where a day ends, and at the unread line", () => {
    const midnight = new Date(2026, 4, 7).getTime() - NOON;
    expect(shape([photo(midnight - 1), photo(midnight)])).toEqual([1, 1]);
    const both = [photo(0), photo(1)];
    expect(shape(both, both[1]?.id)).toEqual([1, 0, 1]);
  });

  it("takes a photo that no browser draws, too", () => {
    expect(shape([photo(0), photo(1, {}, { type: "image/heic" })])).toEqual([2]);
  });

  it("is one bubble of its run", () => {
    const all = rows([text(0), photo(1), photo(2), text(3)]);
    expect(all.map((row) => "first" in row && [row.first, row.last])).toEqual([
      [true, false],
      [false, false],
      [false, true],
    ]);
  });

  it("stays the same row while photos follow, and is found by each of them", () => {
    const three = [photo(0), photo(1), photo(2)];
    const [before] = rows(three.slice(0, 2));
    const after = rows(three);
    expect(after[0]?.key).toBe(before?.key);
    for (const { id } of three) expect(rowWith(after, id)).toBe(0);
    expect(rowWith(after, "another")).toBe(-1);
  });

  it("shows three, and those can take the focus", () => {
    const [row] = rows(Array.from({ length: 8 }, (_, at) => photo(at)));
    expect(row && stopsOf(row).length).toBe(SHOWN);
    expect(row && messagesOf(row).length).toBe(8);
  });

  it("shows its time when the states of its photos differ, though it is not the last of its run", () => {
    const mine = (offset: number, state: Message["state"]) => photo(offset, { own: true, state }, { batch: "a" });
    const end = message(PEER, "x", NOON + 9, { own: true, state: "sent" });
    const meta = (...states: Message["state"][]) =>
      rows([...states.map((state, at) => mine(at, state)), end]).map((row) => "meta" in row && row.meta);
    expect(meta("sent", "sent")).toEqual([false, true]);
    expect(meta("failed", "sent")).toEqual([true, true]);
  });

  it("that older photos join is no row that was put before the others", () => {
    const newer = [photo(10), photo(11), text(60_000)];
    const before = rowsOf(newer, undefined, false);
    expect(grewAtStart(before, rowsOf([photo(9), ...newer], undefined, false))).toBe(false);
    expect(grewAtStart(before, rowsOf([text(0), photo(9), ...newer], undefined, false))).toBe(true);
  });
});
