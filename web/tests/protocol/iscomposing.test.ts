import { describe, expect, test } from "vitest";
import { decodeLoosely, utf8 } from "../../src/protocol/bytes";
import * as iscomposing from "../../src/protocol/iscomposing";
import { Composer, IDLE_AFTER, Receiver } from "../../src/protocol/iscomposing";
import { parseError } from "./samples";

const ACTIVE = { state: "active", contentType: "text/plain", lastActive: "", refresh: 60 } as const;
const IDLE = { state: "idle", contentType: "text/plain", lastActive: "", refresh: null } as const;

test("a document may have MAX_IS_COMPOSING bytes and no more", () => {
  const padded = (size: number): Uint8Array => utf8(decodeLoosely(iscomposing.buildIsComposing(ACTIVE)).padEnd(size));
  expect(iscomposing.parseIsComposing(padded(iscomposing.MAX_IS_COMPOSING))).toEqual(ACTIVE);
  parseError(() => iscomposing.parseIsComposing(padded(iscomposing.MAX_IS_COMPOSING + 1)));
});

describe("a composer", () => {
  test("says active at the first key stroke and nothing at the next", () => {
    const composer = new Composer();
    expect(composer.compose(0)).toEqual(ACTIVE);
    expect(composer.compose(1)).toBeNull();
  });

  test("that goes on says active again when the notice wears off", () => {
    const composer = new Composer();
    const said = Array.from({ length: 13 }, (_, at) => at * 10).filter((now) => composer.compose(now) !== null);
    expect(said).toEqual([0, 60, 120]);
  });

  test("that stops says idle after fifteen seconds", () => {
    const composer = new Composer();
    composer.compose(0);
    composer.compose(5);
    expect(composer.deadline()).toBe(5 + IDLE_AFTER);
    expect(composer.handleDeadline(19.9)).toBeNull();
    expect(composer.handleDeadline(20)).toEqual(IDLE);
    expect([composer.state, composer.deadline()]).toEqual(["idle", Infinity]);
  });

  test("that sends needs no notice, and the next key stroke says active", () => {
    const composer = new Composer();
    composer.compose(0);
    expect(composer.send()).toBeNull();
    expect(composer.deadline()).toBe(Infinity);
    expect(composer.compose(1)).toEqual(ACTIVE);
  });

  test("announces no refresh under a minute", () => {
    expect(new Composer({ refresh: 5 }).compose(0)).toEqual(ACTIVE);
  });
});

describe("a receiver", () => {
  test("shows each change once", () => {
    const receiver = new Receiver();
    expect(receiver.receive(IDLE, 0)).toBeNull();
    expect(receiver.receive(ACTIVE, 0)).toBe("active");
    expect(receiver.receive(ACTIVE, 50)).toBeNull();
    expect(receiver.deadline()).toBe(110);
    expect(receiver.receive(IDLE, 60)).toBe("idle");
    expect(receiver.deadline()).toBe(Infinity);
  });

  test.each([
    [null, 120],
    [0, 120],
    [7, 7],
    [10 ** 6, iscomposing.MAX_REFRESH],
  ])("lets a notice of refresh %j wear off after %d seconds", (refresh, seconds) => {
    const receiver = new Receiver();
    receiver.receive({ state: "active", refresh }, 10);
    expect(receiver.handleDeadline(9.9 + seconds)).toBeNull();
    expect(receiver.handleDeadline(10 + seconds)).toBe("idle");
  });

  test("takes a message for the end of composing", () => {
    const receiver = new Receiver();
    receiver.receive(ACTIVE, 0);
    expect([receiver.receiveMessage(), receiver.receiveMessage()]).toEqual(["idle", null]);
  });
});
