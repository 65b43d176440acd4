/** Photos and room: albums, what no browser draws, what comes by itself, and what is given up. */

import "fake-indexeddb/auto";

import { describe, expect, test } from "vitest";
import type { JoynClient } from "../../src/client/client";
import { Database } from "../../src/client/database";
import { AT_ONCE } from "../../src/client/downloads";
import { wrapFile } from "../../src/client/envelope";
import { isDrawn, isPicture, typeOf } from "../../src/client/media-type";
import type { Moving } from "../../src/client/model";
import { SMALL } from "../../src/client/shared-file";
import { AGAIN_FIRST } from "../../src/client/transfers";
import { Turns } from "../../src/client/turns";
import { buildFileInfo } from "../../src/protocol/file-info";
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

/** Somebody sends a file, which can be fetched under its id. */
async function receives(
  id: string,
  data: Uint8Array,
  more: Partial<Parameters<typeof fileInfo>[0]> = {},
  thumbnail = true,
): Promise<void> {
  const url = `${FILES}/file/${id}`;
  content.served.set(url, data).set(`${url}-preview`, bytes(20));
  const preview = { name: "", size: 20, contentType: "image/jpeg", url: `${url}-preview` };
  const infos = [
    ...(thumbnail ? [fileInfo({ type: "thumbnail", ...preview })] : []),
    fileInfo({ size: data.length, name: `${id}.jpg`, contentType: "image/jpeg", url, ...more }),
  ];
  expect(await node.message(PEER, wrapFile(id, clock.now - 1000, buildFileInfo(infos)))).toBe(200);
}

const heic = { name: "IMG_1.HEIC", contentType: "image/heic" };
const fetched = (url: string) => content.requests.filter((one) => one.url === url).length;
const file = async (client: JoynClient, id: string) =>
  (await shown(client.messages(PEER), (all) => all.some((one) => one.id === id))).find((one) => one.id === id)?.file;

describe("a photo of a phone's", () => {
  test("is known by its type, and by its name where the type says nothing", () => {
    expect([typeOf("", "IMG_1.HEIC"), typeOf("application/octet-stream", "a.heif")]).toEqual([
      "image/heic",
      "image/heif",
    ]);
    expect([typeOf("image/heic; x=y", "a"), typeOf("text/plain", "a.heic")]).toEqual(["image/heic", "text/plain"]);
    expect([typeOf("", "heic"), typeOf("", "a.tif")]).toEqual(["application/octet-stream", "application/octet-stream"]);
    expect([isPicture("image/heic"), isDrawn("image/heic"), isDrawn("image/jpeg")]).toEqual([true, false, true]);
    expect([isPicture("image/tiff"), isPicture("image/svg+xml")]).toEqual([false, false]);
  });

  test("comes as its thumbnail, is shown in the form that the server makes, and is saved as it is", async () => {
    const client = await online();
    await receives("f1", bytes(3000), heic);
    content.served.set(`${FILES}/file/f1/shown`, bytes(500, 3));
    expect((await only(client, () => true)).file).toMatchObject({ picture: true, drawn: false, type: "image/heic" });
    await client.lookAtFile(PEER, "f1");
    expect(content.requests.map(({ url }) => url)).toEqual([`${FILES}/file/f1-preview`]);
    await client.showFile(PEER, "f1");
    await client.showFile(PEER, "f1");
    const found = await shown(client.content(PEER, "f1"), (now) => now.shown !== undefined);
    expect([found.shown?.type, found.shown?.size, found.preview?.size]).toEqual(["image/jpeg", 500, 20]);
    expect(fetched(`${FILES}/file/f1/shown`)).toBe(1);
    await client.fetchFile(PEER, "f1");
    const { whole } = await shown(client.content(PEER, "f1"), (now) => now.whole !== undefined);
    expect(new Uint8Array((await whole?.arrayBuffer()) ?? new ArrayBuffer())).toEqual(bytes(3000));
  });

  test("without a thumbnail is shown by that form where it stands, unless nothing is to come by itself", async () => {
    const client = await online();
    for (const id of ["f1", "f2"]) {
      await receives(id, bytes(3000), heic, false);
      content.served.set(`${FILES}/file/${id}/shown`, bytes(500, 3));
    }
    await shown(client.messages(PEER), ({ length }) => length === 2);
    await client.lookAtFile(PEER, "f1");
    expect((await shown(client.content(PEER, "f1"), (now) => now.shown !== undefined)).shown?.size).toBe(500);
    await client.update({ autoDownload: "never" });
    await client.lookAtFile(PEER, "f2");
    expect(fetched(`${FILES}/file/f2/shown`)).toBe(0);
  });

  test("that the server makes nothing of keeps its thumbnail", async () => {
    const client = await online();
    await receives("f1", bytes(3000), heic);
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    content.refuse = [[415, "cannot-be-shown"]];
    await expect(client.showFile(PEER, "f1")).rejects.toThrow("415");
    expect((await shown(client.content(PEER, "f1"), (now) => now.preview !== undefined)).shown).toBeUndefined();
    expect((await file(client, "f1"))?.state).toBe("there");
  });

  test("of ours has the server's thumbnail once it is there, and nothing to show before", async () => {
    const client = await online();
    let open = (): void => {};
    content.gate = new Promise((resolve) => {
      open = resolve;
    });
    content.thumbnails = new Blob([bytes(25)]);
    await client.sendFiles(PEER, [outgoing(900, { name: "IMG_2.HEIC", type: "image/heic" })]);
    const { id } = await only(client, ({ file: one }) => one?.state === "waiting");
    await client.lookAtFile(PEER, id);
    await expect(client.showFile(PEER, id)).rejects.toThrow("404");
    open();
    await comes(() => documents().length === 1, "it leaves");
    await only(client, ({ file: one }) => one?.state === "here");
    await client.lookAtFile(PEER, id);
    expect((await shown(client.content(PEER, id), (now) => now.preview !== undefined)).preview?.size).toBe(25);
  });

  test("has no address of a stranger's to be shown from", async () => {
    const client = await online();
    await receives("f1", bytes(30), { ...heic, url: "https://elsewhere.example/a" });
    await only(client, () => true);
    await expect(client.showFile(PEER, "f1")).rejects.toThrow("404");
    expect(fetched("https://elsewhere.example/a/shown")).toBe(0);
  });
});

describe("photos of a conversation", () => {
  test("are all there, in their order, however many messages stand between them", async () => {
    const client = await online();
    await receives("f1", bytes(30));
    for (let at = 0; at < 70; at++) await client.send(PEER, `${at}`);
    await receives("f2", bytes(30), { contentType: "application/pdf" });
    await receives("f3", bytes(30), heic);
    await receives("f4", bytes(30), { until: "2026-01-01T00:00:00Z" });
    const all = await shown(client.photos(PEER), (found) => found.some(({ id }) => id === "f3"));
    expect(all.map(({ id }) => id)).toEqual(["f1", "f3"]);
  });

  test("that were sent in one go know each other, and those that are forwarded do not", async () => {
    const client = await online();
    await client.sendFiles(PEER, [outgoing(10), outgoing(20)]);
    await client.sendFiles(PEER, [outgoing(30)]);
    const all = await shown(
      client.messages(PEER),
      (found) => found.length === 3 && found.every((one) => one.state === "sent"),
    );
    const batches = all.map(({ file: one }) => one?.batch);
    expect(batches[0]).toBeDefined();
    expect([batches[1] === batches[0], batches[2] === batches[0]]).toEqual([true, false]);
    await client.forward({ conversation: PEER, id: all[0]?.id ?? "" }, ["tel:+33639980003"]);
    const [copy] = await shown(client.messages("tel:+33639980003"), ({ length }) => length === 1);
    expect(copy?.file?.batch).toBeUndefined();
  });
});

describe("what comes by itself", () => {
  test.each([
    ["photos", ["small"]],
    ["all", ["small", "large", "paper"]],
    ["never", []],
  ] as const)("with the setting %s is %j", async (autoDownload, expected) => {
    const client = await online();
    await client.update({ autoDownload });
    await receives("small", bytes(100));
    await receives("large", bytes(100), { size: SMALL + 1 });
    await receives("paper", bytes(100), { contentType: "application/pdf" });
    await shown(client.messages(PEER), ({ length }) => length === 3);
    for (const id of ["small", "paper"]) await client.lookAtFile(PEER, id);
    void client.lookAtFile(PEER, "large");
    await comes(() => fetched(`${FILES}/file/large-preview`) === 1, "its thumbnail");
    await clock.advance(0);
    expect(["small", "large", "paper"].filter((id) => fetched(`${FILES}/file/${id}`) > 0)).toEqual(expected);
    expect(fetched(`${FILES}/file/small-preview`)).toBe(1);
    client.close();
  });

  test("is nothing but thumbnails while the browser saves data, and what is wanted comes all the same", async () => {
    const client = await online({ saves: () => true });
    await client.update({ autoDownload: "all" });
    await receives("f1", bytes(100));
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    expect([fetched(`${FILES}/file/f1-preview`), fetched(`${FILES}/file/f1`)]).toEqual([1, 0]);
    await client.fetchFile(PEER, "f1");
    await only(client, ({ file: one }) => one?.state === "here");
  });

  test("waits while as many as may are under way, says so, and lets go before it what somebody wants", async () => {
    const client = await online();
    const names = Array.from({ length: AT_ONCE + 2 }, (_, at) => `f${at}`);
    for (const id of names) await receives(id, bytes(50), {}, false);
    await receives("wanted", bytes(50), { contentType: "application/pdf" });
    await shown(client.messages(PEER), ({ length }) => length === names.length + 1);
    let moving: ReadonlyMap<string, Moving> = new Map();
    client.moving.subscribe((now) => {
      moving = now;
    });
    content.hang = AT_ONCE;
    for (const id of names) void client.lookAtFile(PEER, id);
    const queued = () => [...moving.values()].filter(({ phase }) => phase === "queued").length;
    await comes(() => queued() === 2, "two wait");
    const last = client.fetchFile(PEER, "wanted");
    await comes(() => queued() === 3, "and a third");
    expect(names.filter((id) => fetched(`${FILES}/file/${id}`) > 0).length).toBe(AT_ONCE);
    // One that is under way is stopped: its turn is whose was wanted.
    await client.pauseFile(PEER, names.find((id) => fetched(`${FILES}/file/${id}`) > 0) ?? "", true);
    await comes(() => fetched(`${FILES}/file/wanted`) === 1, "what is wanted goes first");
    await last;
    await comes(() => names.filter((id) => fetched(`${FILES}/file/${id}`) > 0).length > AT_ONCE, "then the next");
  });
});

describe("turns", () => {
  test("are given in order, to what is wanted first, and not to what was given up", async () => {
    const turns = new Turns(1);
    const order: string[] = [];
    const never = new AbortController();
    const enter = (id: string, wanted: boolean, signal = new AbortController().signal) =>
      turns.enter(id, wanted, signal).then((entered) => void order.push(`${id} ${entered}`));
    void enter("a", false);
    void enter("b", false);
    void enter("c", false, never.signal);
    void enter("d", true);
    void enter("e", false);
    turns.hurry("e");
    await settle(1);
    expect([turns.full, turns.waiting]).toEqual([true, 4]);
    never.abort();
    for (let left = 0; left < 3; left++) {
      turns.leave();
      await settle(1);
    }
    expect(order).toEqual(["a true", "c false", "d true", "e true", "b true"]);
    turns.leave();
    expect(turns.full).toBe(false);
    expect(await turns.enter("f", true, never.signal)).toBe(false);
  });
});

describe("what stands still", () => {
  test("of an upload says how far it came, and that it goes on", async () => {
    const client = await online();
    content.cuts = [300];
    await client.sendFiles(PEER, [outgoing(1000)]);
    expect((await only(client, ({ file: one }) => one?.at !== undefined)).file).toMatchObject({
      state: "waiting",
      at: 300,
    });
    const phases: (string | undefined)[] = [];
    client.moving.subscribe((now) => phases.push(...[...now.values()].map(({ phase }) => phase)));
    await clock.advance(2 * AGAIN_FIRST);
    await comes(() => documents().length === 1, "it is there");
    expect(phases).toContain("resuming");
  });

  test("of a download says so while it waits, keeps what came when it fails, and goes on from there", async () => {
    const client = await online();
    await receives("f1", bytes(5000), { contentType: "application/zip" });
    await only(client, () => true);
    const phases: string[] = [];
    client.moving.subscribe((now) => phases.push(...[...now.values()].map(({ phase, bytes: at }) => `${phase} ${at}`)));
    content.cuts = [2000];
    content.refuse = [];
    const first = client.fetchFile(PEER, "f1");
    await comes(() => phases.includes("stopped 2000"), "it waits");
    content.refuse = [[400, "broken"]];
    client.reconnect();
    await expect(first).rejects.toThrow("400");
    expect((await only(client, ({ file: one }) => one?.broken === true)).file).toMatchObject({
      state: "there",
      at: 2000,
    });
    await client.fetchFile(PEER, "f1");
    const done = (await only(client, ({ file: one }) => one?.state === "here")).file;
    expect([done?.broken, done?.at]).toEqual([undefined, undefined]);
    expect(content.requests.at(-1)?.headers.range).toBe("bytes=2000-");
  });
});

describe("room", () => {
  const storage = {
    estimate: async () => ({ usage: 5000, quota: 90_000 }),
    persisted: async () => false,
    persist: async () => true,
  };

  test("is said by conversation, with what can be had back", async () => {
    const client = await online({ storage });
    await receives("f1", bytes(3000));
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    await client.sendFiles("tel:+33639980003", [outgoing(500, { type: "image/png" })]);
    await shown(client.messages("tel:+33639980003"), ([one]) => one?.state === "sent");
    await shown(client.content(PEER, "f1"), ({ whole }) => whole !== undefined);
    expect(await client.storage.use()).toEqual({
      usage: 5000,
      quota: 90_000,
      persisted: false,
      conversations: [
        { id: PEER, bytes: 3020, free: 3000 },
        { id: "tel:+33639980003", bytes: 500, free: 500 },
      ],
    });
    expect(await client.storage.persist()).toBe(true);
  });

  test("is had back: the message and its thumbnail stay, and the file comes again when it is wanted", async () => {
    const client = await online({ storage });
    await receives("f1", bytes(3000));
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    await only(client, ({ file: one }) => one?.state === "here");
    await client.storage.free(PEER);
    await only(client, ({ file: one }) => one?.state === "there");
    const { whole, preview } = await shown(client.content(PEER, "f1"), (now) => now.preview !== undefined);
    expect([whole, preview?.size]).toEqual([undefined, 20]);
    client.close();
    const again = await online({ storage });
    await again.lookAtFile(PEER, "f1");
    expect(fetched(`${FILES}/file/f1`)).toBe(1);
    await again.fetchFile(PEER, "f1");
    expect((await only(again, ({ file: one }) => one?.state === "here")).id).toBe("f1");
  });

  test("of what is on no server, or no longer, is not given up", async () => {
    const client = await online({ storage });
    await receives("f1", bytes(3000));
    await only(client, () => true);
    await client.lookAtFile(PEER, "f1");
    await only(client, ({ file: one }) => one?.state === "here");
    content.gate = new Promise(() => {});
    await client.sendFiles(PEER, [outgoing(700)]);
    const both = await shown(client.messages(PEER), ({ length }) => length === 2);
    const db = new Database(name);
    await db.messages.update([PEER, "f1"], { "file.until": Date.parse(UNTIL) - 365 * 86_400_000 });
    await client.storage.free(PEER);
    expect((await client.storage.use()).conversations).toEqual([{ id: PEER, bytes: 3720, free: 0 }]);
    expect((await db.contents.get([PEER, both[1]?.id ?? ""]))?.whole?.size).toBe(700);
    db.close();
  });

  test("that the browser does not tell of is not made up", async () => {
    const client = await online();
    expect(await client.storage.use()).toEqual({ conversations: [] });
    expect(await client.storage.persist()).toBe(false);
  });
});
