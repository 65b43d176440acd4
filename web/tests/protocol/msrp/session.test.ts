import { describe, expect, test } from "vitest";
import { decodeLoosely, utf8 } from "../../../src/protocol/bytes";
import { ProtocolError } from "../../../src/protocol/error";
import {
  emitFrame,
  type Frame,
  frameHeader,
  makeRequest,
  makeResponse,
  type Request,
} from "../../../src/protocol/msrp/chunk";
import { Framer, PIECE, parseWebSocketMessage } from "../../../src/protocol/msrp/connection";
import type { Message } from "../../../src/protocol/msrp/reassembly";
import {
  type Action,
  QUEUED_OVERHEAD,
  QueueFull,
  Session,
  type SessionOptions,
  SILENT_MAX,
} from "../../../src/protocol/msrp/session";
import { parseMsrpUri } from "../../../src/protocol/msrp/uri";
import { below, noise, random } from "../samples";

const OURS = "msrps://x7f.invalid:9/s9x8;ws";
const THEIRS = "msrps://node.example:443/a1b2c3;ws";

function makeSession(options: Partial<SessionOptions> = {}, local = OURS, remotePath = THEIRS): Session {
  let count = 0;
  const makeId = (): string => `${local[8]}${String(count++).padStart(5, "0")}`;
  return new Session({ local: parseMsrpUri(local), remotePath, maxSize: 10 ** 6, makeId, ...options });
}

function makeSend(body: Uint8Array | null = utf8("hello"), fields: Partial<Request> = {}): Request {
  const size = body?.length ?? 0;
  const usual = { messageId: "m1", byteRange: [1, size, size] as const, contentType: "text/plain", body };
  return makeRequest({ transactionId: "t1aa", method: "SEND", toPath: OURS, fromPath: THEIRS, ...usual, ...fields });
}

function framesIn(actions: Action[]): Frame[] {
  return actions.flatMap((action) => (action.type === "transmit" ? parseWebSocketMessage(action.data) : []));
}

function requestsIn(actions: Action[]): Request[] {
  return framesIn(actions).filter((frame) => frame.kind === "request");
}

function othersIn(actions: Action[]): Action[] {
  return actions.filter((action) => action.type !== "transmit");
}

function statuses(actions: Action[]): number[] {
  return framesIn(actions).flatMap((frame) => (frame.kind === "response" ? [frame.status] : []));
}

function received(actions: Action[]): Message {
  const found = actions.find((action) => action.type === "received");
  if (found === undefined) throw new Error("nothing received");
  return found.message;
}

/** Answers every SEND among `actions` in the peer's place; what the session does then. */
function accept(session: Session, actions: Action[], status = 200, now = 0): Action[] {
  return requestsIn(actions).flatMap((request) => session.receive(makeResponse(request, status), now));
}

/** Carries frames between two sessions until both are silent; what each of them said. */
function converse(one: Session, other: Session, sent: Action[]): [Action[], Action[]] {
  const said = new Map([
    [one, othersIn(sent)],
    [other, [] as Action[]],
  ]);
  const road = framesIn(sent).map((frame): [Session, Frame] => [other, frame]);
  for (const [session, frame] of road) {
    const actions = session.receive(frame, 0);
    for (const action of [...actions])
      if (action.type === "received") actions.push(...session.answer(action.message, 200));
    said.get(session)?.push(...othersIn(actions));
    for (const answer of framesIn(actions)) road.push([session === one ? other : one, answer]);
  }
  return [said.get(one) ?? [], said.get(other) ?? []];
}

test("two sessions deliver any body", () => {
  const next = random(7);
  for (let run = 0; run < 100; run++) {
    const window = 1 + below(next, 4);
    const one = makeSession({ window });
    const other = makeSession({}, THEIRS, OURS);
    const body = noise(next, ["\r\n-------x00000$\r\n", "-------x00001", "é"], 30);
    const failureReport = (["yes", "no", "partial"] as const)[below(next, 3)] ?? "yes";
    const successReport = next() < 0.5;
    const options = { chunkSize: 1 + below(next, 100), failureReport, successReport };
    const [here, there] = converse(one, other, one.send("m1", "text/plain", body, 0, options));
    here.push(...one.handleDeadline(99));
    expect(there.map((action) => action.type)).toEqual(["received"]);
    expect([...received(there).body]).toEqual([...body]);
    expect(received(there).contentType).toBe("text/plain");
    const reported = { type: "reported", messageId: "m1", status: 200, byteRange: [1, body.length, body.length] };
    expect(here).toHaveLength(successReport ? 2 : 1);
    expect(here).toContainEqual({ type: "delivered", messageId: "m1" });
    if (successReport) expect(here).toContainEqual(reported);
    expect([one.unsettled, one.queued, one.outstanding, one.deadline()]).toEqual([[], 0, 0, Infinity]);
  }
});

test("messages go out in order and are never interleaved", () => {
  const session = makeSession({ window: 2 });
  let actions = session.send("m1", "a/b", utf8("123456"), 0, { chunkSize: 2 });
  actions.push(...session.send("m2", "a/b", utf8("78"), 0));
  const seen: string[] = [];
  const said: Action[] = [];
  while (requestsIn(actions).length > 0) {
    for (const { messageId, body, continuation } of requestsIn(actions)) {
      seen.push(`${messageId} ${decodeLoosely(body ?? utf8(""))} ${continuation}`);
    }
    expect(session.outstanding).toBeLessThanOrEqual(2);
    actions = accept(session, actions);
    said.push(...othersIn(actions));
  }
  expect(seen).toEqual(["m1 12 +", "m1 34 +", "m1 56 $", "m2 78 $"]);
  expect(said).toEqual([
    { type: "delivered", messageId: "m1" },
    { type: "delivered", messageId: "m2" },
  ]);
});

describe("an empty SEND", () => {
  test("binds both ends", () => {
    const one = makeSession();
    const sent = one.sendEmpty(0);
    expect(requestsIn(sent)).toMatchObject([{ body: null, byteRange: null, contentType: "" }]);
    const bound = [{ type: "bound" }];
    expect(converse(one, makeSession({}, THEIRS, OURS), sent)).toEqual([bound, bound]);
  });

  test("that is refused fails", () => {
    const session = makeSession();
    expect(accept(session, session.sendEmpty(0), 481)).toMatchObject([{ type: "failed", status: 481 }]);
  });
});

test.each([
  ["yes", 200, [200]],
  ["yes", 413, [413]],
  ["no", 200, []],
  ["no", 413, []],
  ["partial", 200, []],
  ["partial", 413, [413]],
] as const)("with Failure-Report %s a %d is answered %j", (failureReport, status, answered) => {
  const session = makeSession();
  const message = received(session.receive(makeSend(utf8("hello"), { failureReport }), 0));
  expect(statuses(session.answer(message, status))).toEqual(answered);
});

test("the answer goes to the next hop and the report the whole way", () => {
  const session = makeSession();
  const fromPath = `msrps://hop.example.org/x;tcp ${THEIRS}`;
  const message = received(session.receive(makeSend(utf8("hello"), { successReport: true, fromPath }), 0));
  const [response, report] = framesIn(session.answer(message, 200));
  expect(response).toMatchObject({ kind: "response", toPath: "msrps://hop.example.org/x;tcp", fromPath: OURS });
  expect(report).toMatchObject({ method: "REPORT", toPath: fromPath, messageId: "m1", byteRange: [1, 5, 5] });
  expect(report && frameHeader(report, "status")).toBe("000 200 OK");
  expect(framesIn(session.answer(message, 413)).map((frame) => frame.kind)).toEqual(["response"]);
});

test("the session answers the chunks before the last and leaves the last to its caller", () => {
  const session = makeSession();
  const first = makeSend(utf8("he"), { byteRange: [1, 2, 5], continuation: "+" });
  expect(statuses(session.receive(first, 0))).toEqual([200]);
  const last = session.receive(makeSend(utf8("llo"), { byteRange: [3, 5, 5] }), 0);
  expect(decodeLoosely(received(last).body)).toBe("hello");
});

test.each([
  [10 ** 6, 200],
  [PIECE + 5, 413],
  [5, 413],
])("a chunk in pieces with room for %d is answered once, with %d", (maxSize, status) => {
  const session = makeSession({ maxSize });
  const send = makeSend(new Uint8Array(2 * PIECE + 9), { continuation: "+", byteRange: [1, null, null] });
  const frames = new Framer().receive(emitFrame(send));
  expect(frames.length).toBe(3);
  expect(statuses(frames.flatMap((frame) => session.receive(frame, 0)))).toEqual([status]);
});

test("a message refused in pieces may come again", () => {
  const session = makeSession({ maxSize: PIECE + 5 });
  const send = makeSend(new Uint8Array(2 * PIECE), { byteRange: [1, null, null] });
  for (const frame of new Framer().receive(emitFrame(send))) session.receive(frame, 0);
  expect(received(session.receive(makeSend(), 0)).messageId).toBe("m1");
});

test.each([
  [481, makeSend(utf8("x"), { toPath: "msrps://x7f.invalid:9/else;ws" })],
  [481, makeSend(utf8("x"), { toPath: `${OURS} ${THEIRS}` })],
  [400, makeSend(utf8("x"), { toPath: "nonsense" })],
  [400, makeSend(utf8("x"), { byteRange: [0, 0, 0] })],
  [400, makeSend(utf8("x"), { byteRange: [1, 9, 9] })],
  [400, makeSend(utf8("x"), { messageId: "" })],
  [413, makeSend(utf8("x"), { byteRange: [1, 1, 10 ** 6 + 1], continuation: "+" })],
  [501, makeSend(null, { method: "NICKNAME" })],
  [501, makeSend(null, { method: "AUTH" })],
])("a request that is wrong or not for us is refused with %d", (status, request) => {
  const actions = makeSession().receive(request, 0);
  expect([statuses(actions), othersIn(actions)]).toEqual([[status], []]);
});

test("a To-Path in another spelling is still ours", () => {
  const send = makeSend(utf8("x"), { toPath: OURS.replace("x7f", "X7F") });
  expect(received(makeSession().receive(send, 0)).messageId).toBe("m1");
});

test("a report is told and never answered", () => {
  const session = makeSession();
  const report = makeSend(null, { method: "REPORT", byteRange: [1, 5, 5], headers: [["Status", "000 413 Too long"]] });
  const told = { type: "reported", messageId: "m1", status: 413, byteRange: [1, 5, 5] };
  expect(session.receive(report, 0)).toEqual([told]);
  expect(session.receive({ ...report, headers: [["Status", "nonsense"]] }, 0)).toEqual([]);
  expect(session.receive({ ...report, toPath: THEIRS }, 0)).toEqual([]);
});

test("an error fails the message once, interrupts it and lets the next go", () => {
  const session = makeSession({ window: 2 });
  const sent = session.send("m1", "a/b", utf8("123456"), 0, { chunkSize: 2 });
  sent.push(...session.send("m2", "a/b", utf8("78"), 0));
  const [first, second] = requestsIn(sent) as [Request, Request];
  const actions = session.receive(makeResponse(first, 413), 0);
  expect(requestsIn(actions)).toMatchObject([
    { messageId: "m1", continuation: "#", byteRange: [5, null, 6] },
    { messageId: "m2", continuation: "$" },
  ]);
  expect(othersIn(actions)).toEqual([{ type: "failed", messageId: "m1", status: 413 }]);
  expect(session.receive(makeResponse(second, 413), 0)).toEqual([]);
  expect(session.unsettled).toEqual(["m2"]);
});

test.each([
  [415, ["#"]],
  [481, []],
  [506, []],
])("a %d is followed by the flags %j: where the session is gone an interruption would be in vain", (status, flags) => {
  const session = makeSession({ window: 1 });
  const sent = session.send("m1", "a/b", utf8("1234"), 0, { chunkSize: 2 });
  expect(requestsIn(accept(session, sent, status)).map((request) => request.continuation)).toEqual(flags);
});

test("silence fails the message with 408 at the deadline and not before", () => {
  const session = makeSession({ timeout: 5 });
  const [frame] = requestsIn(session.send("m1", "a/b", utf8("12"), 10)) as [Request];
  expect(session.deadline()).toBe(15);
  expect(session.handleDeadline(14.9)).toEqual([]);
  expect(session.handleDeadline(15)).toEqual([{ type: "failed", messageId: "m1", status: 408 }]);
  expect(session.deadline()).toBe(Infinity);
  expect(session.receive(makeResponse(frame, 200), 16)).toEqual([]);
});

describe("with Failure-Report", () => {
  test("no, a message is delivered when sent", () => {
    const session = makeSession({ window: 1 });
    const actions = session.send("m1", "a/b", utf8("1234"), 0, { failureReport: "no", chunkSize: 1 });
    expect([framesIn(actions).length, othersIn(actions)]).toEqual([4, [{ type: "delivered", messageId: "m1" }]]);
    expect(session.deadline()).toBe(Infinity);
  });

  test("partial, an error counts and silence is consent", () => {
    const session = makeSession({ timeout: 5 });
    session.send("m1", "a/b", utf8("12"), 0, { failureReport: "partial" });
    expect(session.handleDeadline(5)).toEqual([{ type: "delivered", messageId: "m1" }]);
    const sent = session.send("m2", "a/b", utf8("12"), 6, { failureReport: "partial" });
    expect(accept(session, sent, 415)).toEqual([{ type: "failed", messageId: "m2", status: 415 }]);
  });

  test("partial, what is remembered is bounded and the oldest taken as accepted", () => {
    const session = makeSession();
    const send = (id: string): Action[] =>
      othersIn(session.send(id, "a/b", utf8("1"), 0, { failureReport: "partial" }));
    for (let number = 0; number < SILENT_MAX; number++) expect(send(`m${number}`)).toEqual([]);
    expect(send("last")).toEqual([{ type: "delivered", messageId: "m0" }]);
  });
});

describe("abort", () => {
  test("interrupts what is partly sent and forgets what is not", () => {
    const session = makeSession({ window: 1 });
    const [frame] = requestsIn(session.send("m1", "a/b", utf8("1234"), 0, { chunkSize: 2 })) as [Request];
    session.send("m2", "a/b", utf8("56"), 0);
    expect(session.abort("m2", 0)).toEqual([]);
    expect(requestsIn(session.abort("m1", 0))).toMatchObject([{ messageId: "m1", continuation: "#", body: null }]);
    expect(session.receive(makeResponse(frame, 200), 0)).toEqual([]);
    expect([session.unsettled, session.queued, session.deadline()]).toEqual([[], 0, Infinity]);
  });

  test("comes too late for what is sent", () => {
    const session = makeSession();
    const sent = session.send("m1", "a/b", utf8("12"), 0);
    expect(session.abort("m1", 0)).toEqual([]);
    expect(accept(session, sent)).toEqual([{ type: "delivered", messageId: "m1" }]);
  });

  test("makes the receiver forget, so that the message may come again", () => {
    const one = makeSession({ window: 1 });
    const other = makeSession({}, THEIRS, OURS);
    const sent = [...one.send("m1", "a/b", utf8("1234"), 0, { chunkSize: 2 }), ...one.abort("m1", 0)];
    expect(framesIn(sent).map((frame) => statuses(other.receive(frame, 0)))).toEqual([[200], [200]]);
    const [here, there] = converse(one, other, one.send("m1", "a/b", utf8("whole"), 0));
    expect(here).toEqual([{ type: "delivered", messageId: "m1" }]);
    expect(decodeLoosely(received(there).body)).toBe("whole");
  });
});

test("the queue takes what fits and refuses one byte more without a trace", () => {
  const session = makeSession({ window: 1, maxQueued: 1000 });
  session.send("m1", "a/b", utf8("1"), 0);
  const most = 1000 - QUEUED_OVERHEAD;
  expect(() => session.send("m2", "a/b", new Uint8Array(most + 1), 0)).toThrow(QueueFull);
  expect(session.unsettled).toEqual(["m1"]);
  expect(session.send("m2", "a/b", new Uint8Array(most), 0)).toEqual([]);
  expect(session.queued).toBe(1000);
  expect(() => session.sendEmpty(0)).toThrow(QueueFull);
});

test("a Message-ID in use and a chunk of nothing are bugs", () => {
  const session = makeSession();
  session.send("m1", "a/b", utf8("1"), 0);
  expect(() => session.send("m1", "a/b", utf8("1"), 0)).toThrow(ProtocolError);
  expect(() => session.send("m2", "a/b", utf8("1"), 0, { chunkSize: 0 })).toThrow(ProtocolError);
});

test("a transaction id is chosen again when the body holds it", () => {
  const ids = ["aaaa", "bbbb"];
  const session = makeSession({ makeId: () => ids.shift() ?? "" });
  const body = utf8("x\r\n-------aaaa$\r\ny");
  expect(requestsIn(session.send("m1", "a/b", body, 0))).toMatchObject([{ transactionId: "bbbb" }]);
});

test("whatever the peer sends is taken without an exception", () => {
  const next = random(8);
  const session = makeSession({ maxSize: 50 });
  const pick = <Item>(...items: Item[]): Item => items[below(next, items.length)] as Item;
  for (let run = 0; run < 3000; run++) {
    if (next() < 0.2) session.send(`o${run}`, "a/b", new Uint8Array(9), run, { chunkSize: 3 });
    const range = pick(null, [below(next, 5), pick(null, below(next, 9)), pick(null, below(next, 60))] as const);
    const send = makeSend(pick(null, noise(next, ["abc"], 5)), {
      method: pick("SEND", "SEND", "SEND", "REPORT", "AUTH"),
      toPath: pick(OURS, OURS, OURS, THEIRS, ""),
      messageId: pick("m1", "m2", ""),
      byteRange: range,
      continuation: pick("$", "+", "#"),
      contentType: pick("", "a/b"),
      partial: next() < 0.2,
      headers: [["Status", pick("000 200 OK", "000", "x")]],
    });
    const known = `x${String(below(next, 99)).padStart(5, "0")}`;
    const answer = { ...makeResponse(makeSend(), pick(200, 413, 481)), transactionId: known };
    session.receive(next() < 0.5 ? send : answer, run);
    session.handleDeadline(run);
    expect(session.outstanding).toBeLessThanOrEqual(32);
  }
});
