/** Files: what is sent is kept until it is there, goes on where it was cut, and what is looked at is fetched. */

import "fake-indexeddb/auto";

import { describe, expect, test } from "vitest";
import { STALL } from "../../src/client/content";
import { Database } from "../../src/client/database";
import { wrapFile } from "../../src/client/envelope";
import type { Message, Moving } from "../../src/client/model";
import { cleanName } from "../../src/client/shared-file";
import { AGAIN_FIRST } from "../../src/client/transfers";
import { buildFileInfo, parseFileInfo } from "../../src/protocol/file-info";
import { FILES, fileInfo, UNTIL } from "./content";
import {
  bytes,
  clock,
  comes,
  content,
  documents,
  name,
  node,
  online,
  only,
  outgoing,
  shown,
  worldOfFiles,
} from "./filing";
import { PEER } from "./node";
import { settle } from "./world";

worldOfFiles();

describe("sending", () => {
  test("a photo is uploaded with its thumbnail, then leaves as a message, and is still here", async () => {
    const client = await online();
    const preview = new Blob([bytes(30)], { type: "image/jpeg" });
    await client.sendFiles(PEER, [outgoing(1000, { name: "50%41.jpg", type: "image/jpeg", preview })]);
    const message = await only(client, ({ state }) => state === "sent");
    expect(message).toMatchObject({
      kind: "file",
      own: true,
      text: "50%41.jpg",
      file: { name: "50%41.jpg", size: 1000, type: "image/jpeg", picture: true, state: "here" },
    });
    const [cpim] = documents();
    const [thumbnail, file] = parseFileInfo(cpim?.body ?? new Uint8Array());
    expect(thumbnail).toMatchObject({ type: "thumbnail", size: 30 });
    expect(file).toMatchObject({ type: "file", size: 1000, name: "50%41.jpg", contentType: "image/jpeg" });
    expect(cpim?.messageId).toBe(message.id);
    expect([...(cpim?.dispositionNotification ?? [])]).toContain("display");
    expect([...content.kept.values()].map((kept) => kept.bytes)).toEqual([bytes(1000)]);
    expect((await shown(client.content(PEER, message.id), ({ whole }) => whole !== undefined)).whole?.size).toBe(1000);
  });

  test("a voice message says so and how long it is, and stays here", async () => {
    const client = await online();
    const wave = [0, 0.5, 1];
    const voice = { name: "v.m4a", type: "audio/mp4", seconds: 7.4, wave };
    await client.sendFiles(PEER, [outgoing(1000, voice)]);
    const message = await only(client, ({ state }) => state === "sent");
    expect(message.file).toMatchObject({ type: "audio/mp4", seconds: 7, wave, state: "here" });
    const [file] = parseFileInfo(documents()[0]?.body ?? new Uint8Array());
    expect(file).toMatchObject({ disposition: "render", playingLength: 7, contentType: "audio/mp4", size: 1000 });
    const other = "tel:+33639980003";
    await client.forward(message, [other]);
    await comes(() => documents().length === 2, "it is forwarded");
    const again = parseFileInfo(documents()[1]?.body ?? new Uint8Array());
    expect(again[0]).toMatchObject({ disposition: "render", playingLength: 7 });
    const [forwarded] = await shown(client.messages(other), ({ length }) => length === 1);
    expect(forwarded?.file).toMatchObject({ seconds: 7, state: "here" });
  });

  test("what is written meanwhile overtakes an upload, and the size of what moves is told", async () => {
    const client = await online();
    let open = (): void => {};
    content.gate = new Promise((resolve) => {
      open = resolve;
    });
    await client.sendFiles(PEER, [outgoing(500)]);
    await client.send(PEER, "first");
    await comes(() => node.texts.length === 1, "the text leaves");
    expect(documents()).toEqual([]);
    const moving: Moving[] = [];
    client.moving.subscribe((all) => moving.push(...all.values()));
    open();
    await comes(() => documents().length === 1, "the file follows");
    expect(moving.at(-1)?.of).toBe(500);
    await shown(client.moving, ({ size }) => size === 0);
  });

  test("an upload that was cut goes on with the next byte", async () => {
    const client = await online();
    content.cuts = [300, 500];
    await client.sendFiles(PEER, [outgoing(1000)]);
    await comes(() => content.kept.size === 1, "it began");
    await clock.advance(4 * AGAIN_FIRST);
    await comes(() => documents().length === 1, "it is there");
    const sent = content.requests.filter(({ method }) => method !== "GET");
    expect(sent.map(({ headers }) => headers["Content-Range"])).toEqual([
      undefined,
      "bytes 300-999/1000",
      "bytes 800-999/1000",
    ]);
    expect([...content.kept.values()].map((kept) => kept.bytes)).toEqual([bytes(1000)]);
  });

  test("it stops when the browser loses its network, and goes on when that is back", async () => {
    const client = await online();
    content.gate = new Promise(() => {});
    await client.sendFiles(PEER, [outgoing(1000)]);
    await comes(() => content.requests.length === 1, "it began");
    node.reachable = false;
    content.gate = Promise.reject(new TypeError("no network"));
    content.gate.catch(() => {});
    client.cut();
    await clock.advance(10_000);
    expect(documents()).toEqual([]);
    const before = content.requests.length;
    expect(before).toBeGreaterThan(1);
    content.gate = Promise.resolve();
    node.reachable = true;
    client.reconnect();
    await comes(() => documents().length === 1, "it is there");
  });

  test("it goes on after the page was closed in the middle of it", async () => {
    content.cuts = [400];
    const first = await online();
    await first.sendFiles(PEER, [outgoing(1000)]);
    await comes(() => content.kept.get("u0")?.bytes.length === 400, "some of it is there");
    first.close();
    await settle();
    const second = await online();
    await comes(() => documents().length === 1, "the next page goes on");
    expect(content.requests.at(-1)?.headers["Content-Range"]).toBe("bytes 400-999/1000");
    expect((await only(second, ({ state }) => state === "sent")).file?.state).toBe("there");
  });

  test("one whose answer was lost is not sent twice", async () => {
    const client = await online();
    content.loseAnswer = true;
    await client.sendFiles(PEER, [outgoing(100)]);
    await comes(() => content.kept.size === 1, "it came");
    await clock.advance(2 * AGAIN_FIRST);
    await comes(() => documents().length === 1, "it leaves");
    expect(content.requests.filter(({ method }) => method === "POST").length).toBe(1);
  });

  test("a ticket that is over is replaced", async () => {
    const client = await online();
    await client.sendFiles(PEER, [outgoing(10)]);
    await comes(() => documents().length === 1, "the first");
    content.refuse = [[401, "ticket"]];
    content.ticket = "t2";
    await client.sendFiles(PEER, [outgoing(20)]);
    await comes(() => documents().length === 2, "the second");
  });

  test.each([
    [413, "too-large", "file-too-large"],
    [413, "quota", "no-room"],
    [415, "not-what-it-says", "file-type"],
    [403, "not-eligible", "forbidden"],
    [403, "infected", "infected"],
  ] as const)("%i %s is final, is said, and holds up no other", async (status, word, failure) => {
    const client = await online();
    content.refuse = [[status, word]];
    await client.sendFiles(PEER, [outgoing(100), outgoing(200)]);
    await comes(() => documents().length === 1, "the other leaves");
    const all = await shown(client.messages(PEER), (both) => both.some(({ state }) => state === "failed"));
    const message = all.find(({ state }) => state === "failed") as Message;
    expect(message).toMatchObject({ failure, can: { retry: true }, file: { state: "failed" } });
    await client.retry(PEER, message.id);
    await comes(() => documents().length === 2, "it goes when there is room");
  });

  test("a pause holds it until it goes on, and it can be taken back", async () => {
    const client = await online();
    content.gate = new Promise(() => {});
    await client.sendFiles(PEER, [outgoing(100)]);
    const { id } = await only(client, ({ file }) => file?.state === "waiting");
    await comes(() => content.requests.length === 1, "it moves");
    await client.pauseFile(PEER, id, true);
    expect((await only(client, ({ file }) => file?.state === "paused")).can.cancelSending).toBe(true);
    await clock.advance(3_600_000);
    expect(content.requests.length).toBe(1);
    content.gate = Promise.resolve();
    await client.pauseFile(PEER, id, false);
    await comes(() => documents().length === 1, "it goes on");
    content.gate = new Promise(() => {});
    await client.sendFiles(PEER, [outgoing(100)]);
    const both = await shown(client.messages(PEER), ({ length }) => length === 2);
    const other = both.at(-1)?.id ?? "";
    await client.cancelSending(PEER, other);
    content.gate = Promise.resolve();
    await clock.advance(3_600_000);
    expect(documents().length).toBe(1);
  });

  test("without a content server there is nothing to send with", async () => {
    node.routes.set("GET /api/files", { status: 204 });
    const db = new Database(name);
    await db.setFact("files", { url: FILES, max: 1, warnAbove: 1 });
    await online();
    await comes(async () => (await db.fact("files")) === undefined, "what was known is forgotten");
    db.close();
  });
});

describe("receiving", () => {
  async function receives(infos: Parameters<typeof buildFileInfo>[0], id = "f1"): Promise<void> {
    expect(await node.message(PEER, wrapFile(id, clock.now - 1000, buildFileInfo(infos)))).toBe(200);
  }

  const photo = (size: number) => [
    fileInfo({ type: "thumbnail", name: "", size: 20, contentType: "image/jpeg", url: `${FILES}/file/t` }),
    fileInfo({ size, name: "coast.jpg", contentType: "image/jpeg" }),
  ];

  test("a photo that is looked at comes by itself, with its thumbnail, and is said to be there", async () => {
    const client = await online();
    content.served.set(`${FILES}/file/1`, bytes(2000)).set(`${FILES}/file/t`, bytes(20));
    await receives(photo(2000));
    const message = await only(client, () => true);
    expect(message).toMatchObject({ kind: "file", own: false, text: "coast.jpg", file: { state: "there" } });
    expect(message.file?.until).toBe(Date.parse(UNTIL));
    expect(content.requests).toEqual([]);
    await client.lookAtFile(PEER, "f1");
    const { whole, preview } = await shown(client.content(PEER, "f1"), (found) => found.whole !== undefined);
    expect([whole?.type, whole?.size, preview?.size]).toEqual(["image/jpeg", 2000, 20]);
    expect((await only(client, ({ file }) => file?.state === "here")).id).toBe("f1");
    await comes(() => node.receipts.includes("f1 delivered"), "delivered");
    const [conversation] = await shown(client.conversations, ({ length }) => length === 1);
    expect(conversation?.last).toMatchObject({ kind: "file", text: "coast.jpg", file: "image/jpeg" });
  });

  const voice = (more: Partial<Parameters<typeof fileInfo>[0]> = {}) =>
    fileInfo({ size: 900, name: "a.amr", contentType: "audio/AMR", disposition: "render", playingLength: 12, ...more });

  test("a voice message that is looked at comes by itself, and is a voice message in the list and in quotes", async () => {
    const client = await online();
    content.served.set(`${FILES}/file/1`, bytes(900));
    await receives([voice()]);
    expect((await only(client, () => true)).file).toMatchObject({ type: "audio/amr", seconds: 12, state: "there" });
    await client.lookAtFile(PEER, "f1");
    await only(client, ({ file }) => file?.state === "here");
    const [conversation] = await shown(client.conversations, ({ length }) => length === 1);
    expect(conversation?.last).toMatchObject({ kind: "file", file: "audio/amr", seconds: 12 });
    await client.send(PEER, "yes", "f1");
    const [, answer] = await shown(client.messages(PEER), ({ length }) => length === 2);
    expect(answer?.reply?.found).toEqual({ own: false, kind: "file", text: "a.amr", seconds: 12 });
    expect((await client.search("amr", () => {})).messages).toEqual([]);
  });

  test.each([
    ["is a sound to be saved", { disposition: "attachment" }, undefined],
    ["is a film", { contentType: "video/mp4" }, undefined],
    ["says nothing of its length", { playingLength: null }, undefined],
    ["says what cannot be its length in seconds", { playingLength: 9_000_000_000 }, 0],
  ] as const)("one that %s", async (_what, more, seconds) => {
    const client = await online();
    await receives([voice(more)]);
    expect((await only(client, () => true)).file?.seconds).toBe(seconds);
  });

  test("a voice message that is large waits until somebody wants it", async () => {
    const client = await online();
    await receives([voice({ size: 11 << 20 })]);
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    expect(content.requests).toEqual([]);
  });

  test("a file waits until somebody wants it, goes on where it was cut, and has no type of its own", async () => {
    const client = await online();
    content.served.set(`${FILES}/file/1`, bytes(5000));
    content.cuts = [2000, 1000];
    await receives([fileInfo({ size: 5000, name: "page.html", contentType: "text/html" })]);
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    expect(content.requests).toEqual([]);
    const fetched = client.fetchFile(PEER, "f1");
    await clock.advance(10_000);
    await only(client, ({ file }) => file?.state === "here");
    await fetched;
    expect(content.requests.map(({ headers }) => headers.range)).toEqual([undefined, "bytes=2000-", "bytes=3000-"]);
    const { whole } = await shown(client.content(PEER, "f1"), (found) => found.whole !== undefined);
    expect(whole?.type).toBe("application/octet-stream");
    expect(new Uint8Array((await whole?.arrayBuffer()) ?? new ArrayBuffer())).toEqual(bytes(5000));
  });

  test("a download that stands still is begun again, and one that waits goes on when there is a network", async () => {
    const client = await online();
    content.served.set(`${FILES}/file/1`, bytes(5000));
    content.hang = 1;
    await receives([fileInfo({ size: 5000 })]);
    await only(client, () => true);
    const fetched = client.fetchFile(PEER, "f1");
    await comes(() => content.requests.length === 1, "it is asked for");
    content.refuse = [[503, "busy"]];
    await clock.advance(STALL + 1_000);
    await comes(() => content.requests.length === 2, "it is asked for again");
    expect((await only(client, () => true)).file?.state).toBe("there");
    client.reconnect();
    await only(client, ({ file }) => file?.state === "here");
    await fetched;
  });

  test("one that is longer than was said is not taken", async () => {
    const client = await online();
    content.served.set(`${FILES}/file/1`, bytes(5001));
    await receives([fileInfo({ size: 5000 })]);
    await only(client, () => true);
    await expect(client.fetchFile(PEER, "f1")).rejects.toThrow("size");
    expect((await only(client, () => true)).file?.state).toBe("there");
  });

  test("one whose time is over is gone", async () => {
    const client = await online();
    await receives([fileInfo({ size: 5000, until: "2026-11-22T12:30:00Z" })]);
    content.refuse = [[410, "gone"]];
    await only(client, ({ file }) => file?.state === "there");
    await expect(client.fetchFile(PEER, "f1")).rejects.toThrow("gone");
    await only(client, ({ file }) => file?.state === "gone");
  });

  test("a peer operator's content server is asked where the operator says so, without a ticket", async () => {
    const origin = "https://files.peer.example";
    content.others = [origin];
    const client = await online();
    content.served.set(`${origin}/file/1`, bytes(5000));
    await receives([fileInfo({ size: 5000, url: `${origin}/file/1` })]);
    await only(client, () => true);
    await client.fetchFile(PEER, "f1");
    await only(client, ({ file }) => file?.state === "here");
    expect(content.requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      [`${origin}/file/1`, undefined],
    ]);
  });

  test("nobody but the operator is asked for anything", async () => {
    const client = await online();
    const url = "https://elsewhere.example/pixel.png";
    await receives([fileInfo({ size: 50, contentType: "image/png", url })]);
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    await expect(client.fetchFile(PEER, "f1")).rejects.toThrow("elsewhere");
    expect(node.requests.some(({ path }) => path === url)).toBe(false);
  });

  test("a document that cannot be read is something that cannot be shown", async () => {
    const client = await online();
    expect(await node.message(PEER, wrapFile("f1", clock.now, new TextEncoder().encode("<file/>")))).toBe(200);
    expect((await only(client, () => true)).kind).toBe("unsupported");
  });

  test("a file is forwarded without being sent again", async () => {
    const client = await online();
    await receives(photo(2000));
    await only(client, () => true);
    await client.forward({ conversation: PEER, id: "f1" }, ["tel:+33639980003"]);
    await comes(() => documents().length === 1, "it leaves");
    expect(parseFileInfo(documents()[0]?.body ?? new Uint8Array()).map(({ url }) => url)).toEqual([
      `${FILES}/file/t`,
      `${FILES}/file/1`,
    ]);
    expect(content.requests).toEqual([]);
  });

  test("what is kept of a deleted message goes with the next start", async () => {
    const client = await online();
    await client.sendFiles(PEER, [outgoing(100, { type: "image/png" })]);
    const { id } = await only(client, ({ state }) => state === "sent");
    await client.deleteForMe(PEER, id);
    client.close();
    await online();
    await clock.advance(10_000);
    const db = new Database(name);
    await comes(async () => (await db.contents.count()) === 0, "nothing is left");
    db.close();
  });
});

test("a name leads nowhere, and reads as it is written", () => {
  expect(cleanName("../../etc/passwd")).toBe("passwd");
  expect(cleanName("C:\\temp\\a.txt")).toBe("a.txt");
  expect(cleanName("photo\u202egpj.exe")).toBe("photogpj.exe");
  expect(cleanName("a\r\nb.txt")).toBe("ab.txt");
});
