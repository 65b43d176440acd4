import { describe, expect, test } from "vitest";
import { concat, utf8 } from "../../../src/protocol/bytes";
import { ParseError, ProtocolError } from "../../../src/protocol/error";
import * as chunk from "../../../src/protocol/msrp/chunk";
import { type Frame, makeRequest, makeResponse, type Request } from "../../../src/protocol/msrp/chunk";
import {
  BUFFERED_MAX,
  Framer,
  FramingError,
  PIECE,
  parseWebSocketMessage,
} from "../../../src/protocol/msrp/connection";
import { below, noise, parseError, random } from "../samples";

const A = "msrp://192.0.2.10:20000/a1b2c3;tcp";
const B = "msrp://relay.example.org:2855/s9x8;tcp";

function makeSend(body: Uint8Array | null = utf8("hello"), fields: Partial<Request> = {}): Request {
  const paths = { toPath: B, fromPath: A };
  const usual = { messageId: "m1", byteRange: [1, null, null] as const, contentType: "text/plain", body };
  return makeRequest({ transactionId: "t1aa", method: "SEND", ...paths, ...usual, ...fields });
}

function makeHead(...lines: string[]): string {
  return ["MSRP t1aa SEND", `To-Path: ${B}`, `From-Path: ${A}`, ...lines].map((line) => `${line}\r\n`).join("");
}

/** Frames and the error's words and position, whether fed whole or in steps. */
function read(wire: Uint8Array, step = wire.length || 1): { frames: Frame[]; error: string | null } {
  const framer = new Framer();
  const frames: Frame[] = [];
  try {
    for (let at = 0; at < wire.length; at += step) {
      frames.push(...framer.receive(wire.subarray(at, at + step)));
      if (framer.buffered > BUFFERED_MAX) throw new Error(`${framer.buffered} bytes held`);
    }
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    return { frames: [...frames, ...error.frames], error: error.message };
  }
  return { frames, error: null };
}

const FRAGMENTS = [
  "MSRP t1aa SEND\r\n",
  "MSRP t1aa 200 OK\r\n",
  "MSRP ",
  `To-Path: ${A}\r\n`,
  `From-Path: ${B}\r\n`,
  "Byte-Range: 1-9/9\r\n",
  "\r\n",
  "-------t1aa$\r\n",
  "-------t1a",
  "-------t1aa!\r\n",
  "a: b\r\n",
  "\r",
  "\0",
];

test("arbitrary bytes are read alike whole, in steps and byte by byte, and throw only ParseError", () => {
  const next = random(4);
  let frames = 0;
  for (let run = 0; run < 800; run++) {
    const start = `MSRP t1aa SEND\r\nTo-Path: ${A}\r\nFrom-Path: ${B}\r\n`;
    const end = "\r\n-------t1aa$\r\n";
    const wire = concat(
      utf8(next() < 0.6 ? start : ""),
      noise(next, FRAGMENTS, 6),
      utf8(next() < 0.6 ? end : ""),
      noise(next, FRAGMENTS, 4),
    );
    const whole = read(wire);
    frames += whole.frames.length;
    expect(read(wire, 1)).toEqual(whole);
    expect(read(wire, 1 + below(next, 9))).toEqual(whole);
  }
  expect(frames).toBeGreaterThan(50);
});

test("what is emitted is read back however it is cut", () => {
  const next = random(5);
  const parts = ["\r\n", "-------", "\r\n-------", "t1aa", "$", "+", "x", "\r", "-"];
  const pick = <Item>(...items: Item[]): Item => items[below(next, items.length)] as Item;
  for (let run = 0; run < 300; run++) {
    const frames = Array.from({ length: below(next, 5) }, (): Frame => {
      const body = pick(null, noise(next, parts, 8));
      const transactionId = chunk.freeTransactionId(() => pick("t1aa", "t1", "a.-+%=", `r${below(next, 999)}`), body);
      const headers = pick<[string, string][]>(
        [],
        [["X-One", "é"]],
        [
          ["Status", "000 200 OK"],
          ["X-One", ""],
        ],
      );
      if (next() < 0.3)
        return {
          kind: "response",
          transactionId,
          status: 413,
          comment: pick("", "No é"),
          toPath: A,
          fromPath: B,
          headers,
        };
      const byteRange = pick(null, [1, null, null] as const, [3, 4, 10 ** 15 - 1] as const);
      const continuation = pick("$", "+", "#");
      const failureReport = pick("yes", "no", "partial");
      return makeSend(body, {
        transactionId,
        headers,
        byteRange,
        continuation,
        failureReport,
        successReport: next() < 0.5,
      });
    });
    const wire = concat(...frames.map(chunk.emitFrame));
    expect(read(wire)).toEqual({ frames, error: null });
    expect(read(wire, 1 + below(next, 40))).toEqual({ frames, error: null });
  }
});

describe.each([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5])("a body of %d bytes", (size) => {
  const body = Uint8Array.from({ length: size }, (_, at) => at % 251);
  const wire = chunk.emitFrame(makeSend(body, { byteRange: [11, size + 10, size + 10] }));

  test.each([2 * size + 999, 1000, PIECE + 3])("comes in pieces that make it up, in steps of %d", (step) => {
    const { frames, error } = read(concat(wire, wire), step);
    expect(error).toBeNull();
    const pieces = frames.slice(0, frames.length / 2) as Request[];
    expect(frames.slice(pieces.length)).toEqual(pieces);
    expect(concat(...pieces.map((piece) => piece.body ?? utf8("")))).toEqual(body);
    expect(Math.max(...pieces.map((piece) => piece.body?.length ?? 0))).toBeLessThanOrEqual(PIECE);
    const last = pieces.length - 1;
    expect(pieces.map((piece) => piece.partial)).toEqual(pieces.map((_, at) => at < last));
    expect(pieces.map((piece) => piece.continuation)).toEqual(pieces.map((_, at) => (at < last ? "+" : "$")));
    const ends = pieces.map((_, at) => (at < last ? 10 + PIECE * (at + 1) : size + 10));
    expect(pieces.map((piece) => piece.byteRange)).toEqual(ends.map((end, at) => [11 + PIECE * at, end, size + 10]));
  });
});

test("the last piece keeps the end that the sender claimed", () => {
  const { frames } = read(chunk.emitFrame(makeSend(new Uint8Array(PIECE + 9), { byteRange: [1, 5, null] })));
  expect(frames.map((frame) => frame.kind === "request" && frame.byteRange)).toEqual([
    [1, PIECE, null],
    [PIECE + 1, 5, null],
  ]);
});

test.each(["x", "\r\n-------", "\r\n-------t1aa", "\r\n\r\n"])(
  "a long body of %j byte by byte takes linear time",
  (filler) => {
    const wire = chunk.emitFrame(makeSend(utf8(filler.repeat(6 * PIECE).slice(0, 6 * PIECE))));
    const time = (size: number): number => {
      const framer = new Framer();
      const started = process.cpuUsage();
      for (let at = 0; at < size; at++) framer.receive(wire.subarray(at, at + 1));
      const used = process.cpuUsage(started);
      return used.user + used.system;
    };
    time(wire.length / 6); // Compiled before it is measured.
    expect(time(wire.length) / Math.max(time(wire.length / 6), 1000)).toBeLessThan(25);
  },
);

test("frames before the error are not lost, and the error stays", () => {
  const framer = new Framer();
  const fail = (data: Uint8Array): FramingError => {
    const error = parseError(() => framer.receive(data));
    if (!(error instanceof FramingError)) throw error;
    return error;
  };
  const wire = chunk.emitFrame(makeSend());
  const first = fail(concat(wire, utf8("SIP/2.0")));
  expect([first.frames, first.at]).toEqual([[makeSend()], wire.length]);
  const again = fail(wire);
  expect([again.frames, again.at]).toEqual([[], first.at]);
});

test("frames do not change when the bytes they came from do", () => {
  const framer = new Framer();
  const wire = chunk.emitFrame(makeSend());
  const frames = framer.receive(wire);
  wire.fill(0);
  expect(frames).toEqual([makeSend()]);
});

describe.each([
  ["met", 0],
  ["passed", 1],
])("a limit %s", (_, extra) => {
  const name = "t".repeat(chunk.TRANSACTION_ID_MAX + extra);
  const end = "-------t1aa$\r\n";
  test.each([
    ["transaction id", `MSRP ${name} 200 OK\r\nTo-Path: a\r\nFrom-Path: b\r\n-------${name}$\r\n`],
    [
      "first line",
      `MSRP t1aa 200 ${"c".repeat(chunk.START_LINE_MAX - 14 + extra)}\r\nTo-Path: a\r\nFrom-Path: b\r\n${end}`,
    ],
    ["header line", makeHead(`X: ${"x".repeat(chunk.HEADER_LINE_MAX - 3 + extra)}`) + end],
    ["headers", makeHead(...Array(chunk.HEADERS_MAX - 2 + extra).fill("X: y")) + end],
    [
      "head",
      makeHead(`X: ${"x".repeat(8150)}`, `Y: ${"y".repeat(chunk.HEAD_MAX - makeHead().length - 8155 - 3 + extra)}`) +
        end,
    ],
  ])("%s", (_what, wire) => {
    for (const step of [wire.length, 101]) {
      const { frames, error } = read(utf8(wire), step);
      expect([frames.length === 1, error === null]).toEqual([extra === 0, extra === 0]);
    }
  });
});

test("a head without an end is refused at the limit", () => {
  const wire = utf8(`MSRP ${"x".repeat(chunk.HEAD_MAX + 100)}`);
  expect(read(wire, 1000)).toEqual({ frames: [], error: `head longer than 16384 bytes at offset ${chunk.HEAD_MAX}` });
});

test("a response to a SEND goes one hop back and others the whole way", () => {
  const send = makeSend(null, { toPath: `${B} ${A}`, fromPath: `${A} ${B}` });
  expect(makeResponse(send, 413)).toMatchObject({ toPath: A, fromPath: B, comment: "Stop Sending" });
  expect(makeResponse({ ...send, method: "AUTH" }, 501).toPath).toBe(`${A} ${B}`);
  expect(() => makeResponse({ ...send, method: "REPORT" }, 200)).toThrow(ProtocolError);
});

test("a transaction id that occurs in the body is not taken, and a maker of such ids is a bug", () => {
  const body = utf8("x-------aaaa\r\n");
  const ids = ["aaaa", "aaa", "b"];
  expect(chunk.freeTransactionId(() => ids.shift() ?? "", body)).toBe("b");
  expect(() => chunk.freeTransactionId(() => "aaaa", body)).toThrow(ProtocolError);
});

test("a value with a line break is a bug", () => {
  expect(() => chunk.emitFrame(makeSend(null, { messageId: "a\r\nX: y" }))).toThrow(ProtocolError);
  expect(() => chunk.emitFrame(makeResponse(makeSend(), 200, "a\nb"))).toThrow(ProtocolError);
});

test.each(["", "1", "1-2", "-/", "a-b/c", "1-2/", "+1-2/3", "1 -2/3", "²-3/4", "1-2/3/4", `${"1".repeat(16)}-*/*`])(
  "%j is the bad range",
  (text) => expect(chunk.parseRange(text)).toEqual(chunk.BAD_RANGE),
);

describe("a WebSocket message (RFC 7977)", () => {
  const send = chunk.emitFrame(makeSend());

  test("holds one chunk, as text or as bytes", () => {
    expect(parseWebSocketMessage(send)).toEqual([makeSend()]);
    expect(parseWebSocketMessage(Buffer.from(send).toString())).toEqual([makeSend()]);
    const answer = makeResponse(makeSend(), 200);
    expect(parseWebSocketMessage(chunk.emitFrame(answer))).toEqual([answer]);
  });

  test("with a long body gives its pieces", () => {
    const frames = parseWebSocketMessage(chunk.emitFrame(makeSend(new Uint8Array(PIECE + 1))));
    expect(frames.map((frame) => frame.kind === "request" && frame.partial)).toEqual([true, false]);
  });

  test("with less, more or something else is refused", () => {
    for (const data of [utf8(""), send.subarray(0, -1), concat(send, send), concat(send, utf8("M")), utf8("hello")]) {
      expect(() => parseWebSocketMessage(data)).toThrow(ParseError);
    }
  });
});
