/** Location push: where somebody is goes and comes as a card, for as long as it holds. */

import "fake-indexeddb/auto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JoynClient } from "../../src/client/client";
import { wrapLocation } from "../../src/client/envelope";
import { MAX_LABEL, type Message, type Readable } from "../../src/client/model";
import { placeDocument, readPlace, VALID_FOR } from "../../src/client/place";
import { makeSipJs } from "../../src/client/sip";
import { LOCATION_CONTENT_TYPE, parseLocation } from "../../src/protocol/geolocation";
import { OWN, PEER, ScriptedNode } from "./node";
import { Clock, database, environment, eventually, Locks, settle } from "./world";

const OTHER = "tel:+33639980003";
const STATION = { latitude: 48.10350049, longitude: -1.6725, radius: 11.2, label: "Gare de Rennes" };

describe("a document", () => {
  const said = { id: "a1", entity: OWN, now: Date.UTC(2026, 10, 22, 12, 0, 0, 250) };

  test("says the place to a tenth of a metre, for an hour", () => {
    const document = placeDocument(STATION, said);
    expect(parseLocation(document)).toEqual({
      id: "a1",
      entity: OWN,
      latitude: 48.1035,
      longitude: -1.6725,
      radius: 12,
      label: "Gare de Rennes",
      expires: "2026-11-22T13:00:00Z",
      timestamp: "2026-11-22T12:00:00Z",
    });
    expect(readPlace(document)?.until).toBe(Date.UTC(2026, 10, 22, 13));
  });

  test("has a label that neither breaks the line, nor turns the writing, nor has no end", () => {
    const label = `a\nb\u202ec ${"é".repeat(2 * MAX_LABEL)}`;
    const read = readPlace(placeDocument({ ...STATION, label }, said))?.label ?? "";
    expect(read.startsWith("a b c éé")).toBe(true);
    expect([...read]).toHaveLength(MAX_LABEL);
  });

  test("that says no place is none", () => {
    expect(readPlace(new TextEncoder().encode("<rcsenvelope/>"))).toBeUndefined();
    expect(readPlace(placeDocument({ ...STATION, latitude: 91 }, said))).toBeUndefined();
  });
});

let clock: Clock;
let node: ScriptedNode;
let client: JoynClient;

/** What a watched value comes to. */
async function shown<T>(source: Readable<T>, fits: (value: T) => boolean): Promise<T> {
  let value: T | undefined;
  const stop = source.subscribe((given) => {
    value = given;
  });
  try {
    await eventually(async () => {
      await clock.advance(0);
      return fits(value as T);
    }, `${fits}`);
  } finally {
    stop();
  }
  return value as T;
}

const only = async (id = PEER, fits = (_: Message) => true): Promise<Message> =>
  (await shown(client.messages(id), (all) => all.length === 1 && fits(all[0] as Message)))[0] as Message;

const documents = () => node.taken.map(({ cpim }) => cpim).filter((cpim) => cpim.contentType === LOCATION_CONTENT_TYPE);

function receives(id = "p1", until = VALID_FOR): Promise<number> {
  const said = { id: "b2", entity: PEER, now: clock.now + until - VALID_FOR };
  return node.message(PEER, wrapLocation(id, clock.now - 1000, placeDocument(STATION, said)));
}

beforeEach(async () => {
  clock = new Clock();
  node = new ScriptedNode();
  const { fetch, openSocket } = node;
  client = new JoynClient({
    environment: environment({ clock, fetch, openSocket, database: database(), locks: new Locks() }),
    loadSip: async () => makeSipJs,
    push: undefined,
    device: {},
  });
  void client.start();
  await shown(client.connection, ({ state }) => state === "online");
});

afterEach(async () => {
  client.close();
  await settle();
});

describe("sending", () => {
  test("leaves as what phones understand, and is a card here", async () => {
    await client.sendLocation(PEER, STATION);
    const message = await only(PEER, ({ state }) => state === "sent");
    expect(message).toMatchObject({ kind: "location", own: true, text: "Gare de Rennes" });
    expect(message.place).toMatchObject({ latitude: 48.1035, radius: 12, label: "Gare de Rennes" });
    const [cpim] = documents();
    expect(parseLocation(cpim?.body ?? new Uint8Array())).toMatchObject({ entity: OWN, label: "Gare de Rennes" });
    expect([...(cpim?.dispositionNotification ?? [])]).toContain("display");
    const [conversation] = await shown(client.conversations, ({ length }) => length === 1);
    expect(conversation?.last).toMatchObject({ kind: "location", text: "Gare de Rennes" });
    expect((await client.search("rennes", () => {})).messages.map(({ id }) => id)).toEqual([message.id]);
  });

  test("no place on Earth is not sent", async () => {
    await expect(client.sendLocation(PEER, { ...STATION, longitude: 200 })).rejects.toThrow(RangeError);
    expect(documents()).toEqual([]);
  });

  test("our own goes on to others for as long as it holds", async () => {
    await client.sendLocation(PEER, STATION);
    const message = await only();
    await client.forward(message, [OTHER]);
    expect((await only(OTHER)).place).toMatchObject({ latitude: 48.1035, label: "Gare de Rennes" });
    await comesTo(2);
    await clock.advance(VALID_FOR + 1);
    await client.forward(message, ["tel:+33639980004"]);
    await clock.advance(0);
    expect(documents()).toHaveLength(2);
  });
});

async function comesTo(count: number): Promise<void> {
  await eventually(async () => {
    await clock.advance(0);
    return documents().length === count;
  }, `${count} leave`);
}

describe("receiving", () => {
  test("shows a card, says delivered, and can be answered", async () => {
    expect(await receives()).toBe(200);
    const message = await only();
    expect(message).toMatchObject({ kind: "location", own: false, text: "Gare de Rennes" });
    expect(message.place?.until).toBeGreaterThan(clock.now);
    await eventually(async () => {
      await clock.advance(0);
      return node.receipts.includes("p1 delivered");
    }, "delivered");
    await client.send(PEER, "coming", "p1");
    const [, answer] = await shown(client.messages(PEER), ({ length }) => length === 2);
    expect(answer?.reply?.found).toEqual({ own: false, kind: "location", text: "Gare de Rennes" });
  });

  test("theirs is not ours to tell", async () => {
    await receives();
    await client.forward(await only(), [OTHER]);
    await clock.advance(0);
    expect(documents()).toEqual([]);
  });

  test("one that came too late is over", async () => {
    await receives("p1", -1000);
    expect((await only()).place?.until).toBeLessThan(clock.now);
  });

  test("what says no place is said to be what cannot be shown", async () => {
    await node.message(PEER, wrapLocation("p1", clock.now, new TextEncoder().encode("<rcsenvelope/>")));
    expect((await only()).kind).toBe("unsupported");
  });
});
