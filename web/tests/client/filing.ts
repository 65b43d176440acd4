/** What tests of files share: a client that is online, with a content server beside its node. */

import { afterEach, beforeEach } from "vitest";
import { JoynClient } from "../../src/client/client";
import type { Environment } from "../../src/client/environment";
import type { Message, Outgoing, Readable } from "../../src/client/model";
import { makeSipJs } from "../../src/client/sip";
import { FILE_INFO_CONTENT_TYPE } from "../../src/protocol/file-info";
import { ScriptedContent } from "./content";
import { PEER, ScriptedNode } from "./node";
import { Clock, database, environment, eventually, Locks, settle } from "./world";

export let clock: Clock;
export let node: ScriptedNode;
export let content: ScriptedContent;
export let name: string;
let opened: JoynClient[];

/** A new one for each test of a file. */
export function worldOfFiles(): void {
  beforeEach(() => {
    clock = new Clock();
    node = new ScriptedNode();
    content = new ScriptedContent(node);
    name = database();
    opened = [];
  });

  afterEach(async () => {
    for (const client of opened) client.close();
    await settle();
  });
}

export async function online(parts: Partial<Environment> = {}): Promise<JoynClient> {
  const { openSocket } = node;
  const fetch: Environment["fetch"] = (path, init) => node.fetch(path, init);
  const locks = new Locks();
  const surroundings = environment({
    clock,
    fetch,
    openSocket,
    send: content.send,
    database: name,
    locks,
    ...parts,
  });
  const client = new JoynClient({
    environment: surroundings,
    loadSip: async () => makeSipJs,
    push: undefined,
    device: {},
  });
  opened.push(client);
  void client.start();
  await shown(client.connection, ({ state }) => state === "online");
  return client;
}

/** Lets time pass until something is so. */
export async function comes(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  await eventually(async () => {
    await clock.advance(0);
    return holds();
  }, what);
}

/** What a watched value comes to. */
export async function shown<T>(source: Readable<T>, fits: (value: T) => boolean): Promise<T> {
  let value: T | undefined;
  const stop = source.subscribe((given) => {
    value = given;
  });
  try {
    await comes(() => fits(value as T), `${fits}`);
  } finally {
    stop();
  }
  return value as T;
}

export async function only(client: JoynClient, fits: (message: Message) => boolean): Promise<Message> {
  const [found] = await shown(client.messages(PEER), (all) => all.length === 1 && fits(all[0] as Message));
  return found as Message;
}

export function bytes(size: number, seed = 7): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, at) => (at * seed) % 251);
}

export function outgoing(size: number, more: Partial<Outgoing> = {}): Outgoing {
  return { blob: new Blob([bytes(size)]), name: "plan.pdf", type: "application/pdf", ...more };
}

/** What came to the node in place of files. */
export const documents = () =>
  node.taken.filter(({ cpim }) => cpim.contentType === FILE_INFO_CONTENT_TYPE).map(({ cpim }) => cpim);
