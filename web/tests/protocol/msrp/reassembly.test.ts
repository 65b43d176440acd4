import { expect, test } from "vitest";
import { decodeLoosely, utf8 } from "../../../src/protocol/bytes";
import { makeRequest, type Request } from "../../../src/protocol/msrp/chunk";
import { Reassembler, Rejected } from "../../../src/protocol/msrp/reassembly";
import { below, random } from "../samples";

function makeChunk(
  body: string | Uint8Array,
  start = 1,
  fields: { flag?: "$" | "+" | "#"; total?: number | null; end?: number | null; messageId?: string } = {},
): Request {
  const bytes = typeof body === "string" ? utf8(body) : body;
  const { flag = "+", total = null, end = start + bytes.length - 1, messageId = "m1" } = fields;
  const head = { transactionId: "t1aa", method: "SEND", toPath: "b", fromPath: "a" };
  return makeRequest({
    ...head,
    messageId,
    byteRange: [start, end, total],
    contentType: "text/plain",
    body: bytes,
    continuation: flag,
  });
}

function statusOf(reassembler: Reassembler, chunk: Request): number {
  try {
    reassembler.receive(chunk);
  } catch (error) {
    if (error instanceof Rejected) return error.status;
    throw error;
  }
  return 0;
}

function textOf(reassembler: Reassembler, chunk: Request): string | null {
  const message = reassembler.receive(chunk);
  return message && decodeLoosely(message.body);
}

test("shuffled and overlapping chunks make what a plain model makes", () => {
  const next = random(6);
  let whole = 0;
  for (let run = 0; run < 400; run++) {
    const size = 1 + below(next, 40);
    const spans = Array.from({ length: below(next, 14) }, () => [below(next, size), below(next, 12)] as const);
    const cut = below(next, size + 1);
    spans.push([0, cut], [cut, size - cut]);
    spans.sort(() => next() - 0.5);
    const reassembler = new Reassembler({ maxSize: 1000 });
    const model = new Map<number, number>();
    let ended = false;
    for (const [number, [start, length]] of spans.entries()) {
      const body = new Uint8Array(Math.min(length, size - start)).fill(number);
      // Only the chunk that ends the message may say so, and not every one that could does.
      const flag = start + body.length === size && next() < 0.5 ? "$" : "+";
      const chunk = makeChunk(body, start + 1, { flag, total: next() < 0.5 ? size : null });
      for (const at of body.keys()) model.set(start + at, number);
      ended ||= flag === "$";
      const message = reassembler.receive(chunk);
      expect(message !== null).toBe(ended && model.size === size);
      expect(reassembler.held).toBe(message === null ? model.size : 0);
      expect(reassembler.reserved).toBeLessThanOrEqual(4 * reassembler.held);
      if (message === null) continue;
      expect([...message.body]).toEqual(Array.from({ length: size }, (_, at) => model.get(at)));
      whole += 1;
      break;
    }
  }
  expect(whole).toBeGreaterThan(80);
});

test("a whole message in one chunk is handed on without a copy, one of no bytes too", () => {
  const chunk = makeChunk("hello", 1, { flag: "$", total: 5 });
  expect(new Reassembler({ maxSize: 5 }).receive(chunk)?.body).toBe(chunk.body);
  expect(textOf(new Reassembler({ maxSize: 5 }), makeChunk("", 1, { flag: "$", total: 0 }))).toBe("");
});

test("the bytes of a chunk are not written to when another overlaps it", () => {
  const reassembler = new Reassembler({ maxSize: 10 });
  const first = makeChunk("abcd");
  reassembler.receive(first);
  expect(textOf(reassembler, makeChunk("xy", 2))).toBeNull();
  expect(decodeLoosely(first.body ?? utf8(""))).toBe("abcd");
  expect(textOf(reassembler, makeChunk("e", 5, { flag: "$" }))).toBe("axyde");
});

test("an interrupted message is dropped", () => {
  const reassembler = new Reassembler({ maxSize: 10 });
  expect(reassembler.receive(makeChunk("ab"))).toBeNull();
  expect(reassembler.receive(makeChunk("", 3, { flag: "#", end: null }))).toBeNull();
  expect([reassembler.held, reassembler.has("m1")]).toEqual([0, false]);
});

test.each([
  makeChunk("ab", 0, { end: null }),
  makeChunk("ab", 1, { end: 3 }),
  makeChunk("ab", 1, { end: 1 }),
  makeChunk("ab", 1, { total: 1 }),
  makeChunk("ab", 1, { flag: "$", total: 3 }),
  makeChunk("ab", 1, { messageId: "" }),
])("a range that cannot be is refused with 400", (chunk) => {
  const reassembler = new Reassembler({ maxSize: 100 });
  expect(statusOf(reassembler, chunk)).toBe(400);
  expect(reassembler.held).toBe(0);
});

test("a total that changes or is overrun is refused with 400", () => {
  const changed = new Reassembler({ maxSize: 100 });
  changed.receive(makeChunk("ab", 1, { total: 9 }));
  expect(statusOf(changed, makeChunk("cd", 3, { total: 8 }))).toBe(400);
  const overrun = new Reassembler({ maxSize: 100 });
  overrun.receive(makeChunk("cd", 7));
  expect(statusOf(overrun, makeChunk("ab", 3, { flag: "$" }))).toBe(400);
});

test("a size is taken at the limit and refused with 413 one past", () => {
  expect(textOf(new Reassembler({ maxSize: 5 }), makeChunk("hello", 1, { flag: "$" }))).toBe("hello");
  const small = (chunk: Request): number => statusOf(new Reassembler({ maxSize: 4 }), chunk);
  expect(small(makeChunk("hello", 1, { flag: "$" }))).toBe(413);
  expect(small(makeChunk("h", 1, { total: 5 }))).toBe(413);
  expect(small(makeChunk("h", 5))).toBe(413);
});

test("what overlaps leave of a chunk does not hold the memory of all of it", () => {
  const reassembler = new Reassembler({ maxSize: 10 ** 6 });
  for (let start = 100; start > 0; start--) reassembler.receive(makeChunk(new Uint8Array(1000), start));
  expect(reassembler.held).toBe(1099);
  expect(reassembler.reserved).toBeLessThanOrEqual(4 * 1099);
});

test("a far position costs no memory", () => {
  const reassembler = new Reassembler({ maxSize: 10 ** 12 });
  reassembler.receive(makeChunk("x", 10 ** 11));
  expect(reassembler.held).toBe(1);
});

test("unfinished messages are bounded", () => {
  const reassembler = new Reassembler({ maxSize: 100, maxMessages: 2 });
  reassembler.receive(makeChunk("a", 1, { messageId: "m1" }));
  reassembler.receive(makeChunk("a", 1, { messageId: "m2" }));
  expect(statusOf(reassembler, makeChunk("a", 1, { messageId: "m3" }))).toBe(413);
  expect(textOf(reassembler, makeChunk("a", 1, { flag: "$", messageId: "m4" }))).toBe("a");
  expect(textOf(reassembler, makeChunk("b", 2, { flag: "$", messageId: "m1" }))).toBe("ab");
});

test("scattered pieces are bounded", () => {
  const reassembler = new Reassembler({ maxSize: 100, maxRanges: 3 });
  for (const start of [1, 3, 5]) reassembler.receive(makeChunk("a", start));
  expect(statusOf(reassembler, makeChunk("a", 7))).toBe(413);
});

test("the rest of a refused message meets the same answer, and then it may come again", () => {
  const reassembler = new Reassembler({ maxSize: 4 });
  expect(statusOf(reassembler, makeChunk("abc", 1, { total: 9 }))).toBe(413);
  expect(statusOf(reassembler, makeChunk("d", 4))).toBe(413);
  expect(statusOf(reassembler, makeChunk("e", 4, { flag: "$" }))).toBe(413);
  expect(textOf(reassembler, makeChunk("abcd", 1, { flag: "$" }))).toBe("abcd");
});
