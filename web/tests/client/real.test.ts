/**
 * The client against a node that runs, over real sockets: JOYN_NODE is its http address, JOYN_SMS the outbox file of
 * its SMS. Two numbers of the operator are needed, which nobody else uses meanwhile.
 */

import "fake-indexeddb/auto";

import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { JoynClient } from "../../src/client/client";
import { browserEnvironment, type Environment } from "../../src/client/environment";
import type { Conversation, Message, Readable } from "../../src/client/model";
import { makeSipJs } from "../../src/client/sip";
import { database, Ether, Locks } from "./world";

const { JOYN_NODE = "", JOYN_SMS = "" } = process.env;
const [ANN, BOB] = (process.env.JOYN_NUMBERS ?? "+33639980001,+33639980002").split(",") as [string, string];
const WITHIN = 15_000;

const clients: JoynClient[] = [];

afterAll(() => {
  for (const client of clients) client.close();
});

async function value<T>(source: Readable<T>, fits: (value: T) => boolean, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    let last: T | undefined;
    let stop: (() => void) | undefined;
    const timer = setTimeout(() => {
      stop?.();
      reject(new Error(`never ${what}: ${JSON.stringify(last)}`));
    }, WITHIN);
    let found = false;
    stop = source.subscribe((given) => {
      last = given;
      if (found || !fits(given)) return;
      found = true;
      clearTimeout(timer);
      queueMicrotask(() => stop?.());
      resolve(given);
    });
  });
}

/** A browser of its own: cookies, tabs and database. */
function browser(): () => JoynClient {
  const ether = new Ether();
  const locks = new Locks();
  const cookies = new Map<string, string>();
  const name = database();
  const fetchHere: Environment["fetch"] = async (path, init) => {
    const headers = new Headers(init?.headers);
    headers.set("Cookie", [...cookies].map(([key, kept]) => `${key}=${kept}`).join("; "));
    const response = await fetch(new URL(path, JOYN_NODE), { ...init, headers });
    for (const line of response.headers.getSetCookie()) {
      const [, key = "", kept = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/max-age=0/i.test(line)) cookies.delete(key);
      else cookies.set(key, kept);
    }
    return response;
  };
  return () => {
    const environment = { ...browserEnvironment(), fetch: fetchHere, openChannel: ether.open, locks, database: name };
    const device = { name: "Test", browser: "Node", system: "Linux" };
    const client = new JoynClient({ environment, loadSip: async () => makeSipJs, push: undefined, device });
    clients.push(client);
    return client;
  };
}

/** The code of the last SMS to a number; the node answers while it writes it. */
async function codeFor(number: string): Promise<string> {
  for (let looked = 0; looked < 100; looked++) {
    const texts = readFileSync(JOYN_SMS, "utf8")
      .trim()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { to: string; text: string });
    // Of the text alone: the time it was sent at may have six digits too.
    const sms = texts.findLast(({ to }) => to === `tel:${number}`);
    const code = /\b[0-9]{6}\b/.exec(sms?.text ?? "")?.[0];
    if (code !== undefined) return code;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no SMS to ${number}`);
}

async function signIn(client: JoynClient, number: string): Promise<void> {
  await client.start();
  await client.signIn.requestCode(number, "FR");
  const asked = client.session.value;
  if (asked.phase === "number" && asked.until !== undefined) {
    // One number gets no second code before its time.
    await new Promise((resolve) => setTimeout(resolve, (asked.until ?? 0) - Date.now() + 200));
    await client.signIn.requestCode(number, "FR");
  }
  await value(client.session, ({ phase }) => phase === "code", "asked for the code");
  await client.signIn.enterCode(await codeFor(number));
  await value(client.session, ({ phase }) => phase === "in", "signed in");
}

const messages = (client: JoynClient, peer: string, fits: (all: Message[]) => boolean, what: string) =>
  value(client.messages(`tel:${peer}`), fits, what);

const conversation = (client: JoynClient, peer: string, fits: (one: Conversation) => boolean, what: string) =>
  value(client.conversation(`tel:${peer}`), (one) => one !== undefined && fits(one), what);

// Without JOYN_NODE there is no node to talk to; tests/interop/test_headless_client.py brings one.
test.skipIf(JOYN_NODE === "")(
  "two browsers chat over a real node",
  async () => {
    const [openAnn, openBob] = [browser(), browser()];
    const [ann, bob] = [openAnn(), openBob()];
    await Promise.all([signIn(ann, ANN), signIn(bob, BOB)]);
    const mark = Math.random().toString(36).slice(2);

    // There and back again, with every tick.
    await ann.look(`tel:${BOB}`);
    await conversation(ann, BOB, ({ reach }) => reach === "online", "seen online");
    await ann.send(`tel:${BOB}`, `Bonjour ☀ ${mark}`);
    const theirs = (await messages(bob, ANN, (all) => all.some(({ text }) => text.endsWith(mark)), "there")).at(
      -1,
    ) as Message;
    await messages(ann, BOB, (all) => all.at(-1)?.state === "delivered", "delivered");
    await bob.send(`tel:${ANN}`, "Salut", theirs.id);
    await messages(ann, BOB, (all) => all.at(-1)?.reply?.found?.own === true, "answered");
    await bob.name(`tel:${ANN}`, "Ann");
    await ann.send(`tel:${BOB}`, "See?");
    await conversation(bob, ANN, ({ unread }) => unread > 0, "unread");
    await bob.markRead(`tel:${ANN}`);
    const seen = (await messages(ann, BOB, (all) => all.at(-1)?.state === "displayed", "displayed")).at(-1) as Message;

    // What is laid on messages.
    await bob.react(`tel:${ANN}`, seen.id, "👍");
    await messages(ann, BOB, (all) => all.at(-1)?.reactions[0]?.emoji === "👍", "reacted to");
    await ann.edit(`tel:${BOB}`, seen.id, "Seen?");
    await messages(bob, ANN, (all) => all.at(-1)?.text === "Seen?" && all.at(-1)?.earlier?.[0] === "See?", "edited");
    await ann.deleteForEveryone(`tel:${BOB}`, seen.id);
    await messages(bob, ANN, (all) => all.at(-1)?.kind === "deleted", "deleted");

    // Typing.
    ann.draft(`tel:${BOB}`, "hm");
    await conversation(bob, ANN, ({ typing }) => typing, "typing");

    // Nobody there: stored, and delivered when they come back, once.
    bob.close();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await ann.send(`tel:${BOB}`, `Later ${mark}`);
    await messages(
      ann,
      BOB,
      (all) => all.some(({ text, state }) => text === `Later ${mark}` && state === "stored"),
      "stored",
    );
    const back = openBob();
    await back.start();
    await messages(back, ANN, (all) => all.some(({ text }) => text === `Later ${mark}`), "kept for Bob");
    await messages(
      ann,
      BOB,
      (all) => all.some(({ text, state }) => text === `Later ${mark}` && state === "delivered"),
      "late",
    );

    // Another browser of Ann's: her past, and copies of what the first one sends.
    const second = browser()();
    await signIn(second, ANN);
    const past = await messages(second, BOB, (all) => all.some(({ text }) => text === `Later ${mark}`), "her past");
    expect(past.filter(({ text }) => text.endsWith(mark))).toHaveLength(2);
    await ann.send(`tel:${BOB}`, `Copy ${mark}`);
    await messages(second, BOB, (all) => all.some(({ text, own }) => own && text === `Copy ${mark}`), "a copy");
    const all = await messages(back, ANN, (all) => all.some(({ text }) => text === `Copy ${mark}`), "there too");
    expect(all.filter(({ text }) => text === `Copy ${mark}`)).toHaveLength(1);

    // The node finds it again, and one device signs the other out.
    const found = await new Promise<string[]>((resolve) => {
      void ann
        .search(`copy ${mark}`, (more) => resolve(more.messages.map(({ text }) => text)))
        .then(({ messages }) => {
          expect(messages.map(({ text }) => text)).toEqual([`Copy ${mark}`]);
        });
    });
    expect(found).toEqual([]); // nothing that was not here
    const devices = await ann.devices();
    expect(devices.filter(({ here }) => here)).toHaveLength(1);
    await ann.signOutOthers();
    await value(second.session, ({ phase }) => phase === "signed-out-elsewhere", "signed out");
    await messages(second, BOB, (all) => all.length === 0, "wiped");
    expect(ann.session).toMatchObject({ value: { phase: "in" } });
  },
  120_000,
);
