import { describe, expect, it } from "vitest";
import type { Message } from "../../src/client/model";
import { grewAtStart, RUN_MS, rowsOf } from "../../src/ui/conversation/rows";
import { message } from "../../src/ui/fixtures";

const NOON = new Date(2026, 4, 6, 12).getTime();
const at = (offset: number, more: Partial<Message> = {}) => message("tel:+33639980002", "x", NOON + offset, more);
const bubbles = (messages: Message[]) => rowsOf(messages, undefined, false).filter((row) => row.kind === "message");

describe("runs of bubbles", () => {
  it("join messages of one sender within three minutes", () => {
    const rows = bubbles([at(0), at(RUN_MS - 1), at(2 * RUN_MS - 1)]);
    expect(rows.map(({ first, last }) => [first, last])).toEqual([
      [true, false],
      [false, true],
      [true, true],
    ]);
  });

  it("end when the other side writes", () => {
    expect(bubbles([at(0), at(1, { own: true }), at(2)]).every(({ first, last }) => first && last)).toBe(true);
  });

  it("show the time on the last bubble, and where the state differs from it", () => {
    const states = ["displayed", "delivered", "delivered"] as const;
    const rows = bubbles(states.map((state, index) => at(index, { own: true, state })));
    expect(rows.map(({ meta }) => meta)).toEqual([true, false, true]);
  });
});

describe("rows between bubbles", () => {
  it("name each day once and break the run at midnight", () => {
    const midnight = new Date(2026, 4, 7).getTime();
    const rows = rowsOf([at(midnight - 1 - NOON), at(midnight - NOON)], undefined, false);
    expect(rows.map(({ kind }) => kind)).toEqual(["day", "message", "day", "message"]);
  });

  it("put the unread line before its message, with the number of those that follow", () => {
    const messages = [at(0), at(1), at(2, { own: true }), at(3)];
    const line = rowsOf(messages, messages[1]?.id, false)[2];
    expect(line).toEqual({ kind: "unread", key: "unread", count: 2 });
  });

  it("end with who is typing", () => {
    expect(rowsOf([at(0)], undefined, true).at(-1)?.kind).toBe("typing");
  });
});

describe("older messages above", () => {
  const newer = [at(10), at(20)];
  const before = rowsOf(newer, undefined, false);

  it("are told from newer ones below", () => {
    expect(grewAtStart(before, rowsOf([at(0), ...newer], undefined, false))).toBe(true);
    expect(grewAtStart(before, rowsOf([...newer, at(30)], undefined, false))).toBe(false);
    expect(grewAtStart([], before)).toBe(false);
    expect(grewAtStart(before, before)).toBe(false);
  });
});
