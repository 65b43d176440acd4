/** A world without sockets: a clock that is turned by hand, tabs that share it, and a node that speaks SIP and MSRP. */

import type { Channel, Environment, Socket } from "../../src/client/environment";

/** Lets everything that is ready happen, the database's own work included. */
export async function settle(rounds = 30): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits in real time for what the database's own machinery does in its own time. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 3_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

export class Clock {
  now = Date.UTC(2026, 10, 22, 12);
  #timers: { at: number; run: () => void }[] = [];

  after = (delay: number, run: () => void): (() => void) => {
    const timer = { at: this.now + delay, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  /** Turns it on by `milliseconds`, timer by timer. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    for (;;) {
      await settle();
      const due = this.#timers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.now = Math.max(this.now, due.at);
      due.run();
    }
    this.now = end;
    await settle();
  }
}

/** Channels of one browser. */
export class Ether {
  #all: { name: string; channel: Channel }[] = [];

  open = (name: string): Channel => {
    const ether = this;
    const channel: Channel = {
      onmessage: null,
      postMessage(message) {
        for (const other of ether.#all) {
          if (other.name !== name || other.channel === channel) continue;
          const data = structuredClone(message);
          queueMicrotask(() => other.channel.onmessage?.({ data } as MessageEvent));
        }
      },
      close() {
        ether.#all = ether.#all.filter((other) => other.channel !== channel);
      },
    };
    this.#all.push({ name, channel });
    return channel;
  };
}

/** The exclusive locks of one browser, as far as they are used. */
export class Locks {
  #queues = new Map<string, Promise<unknown>>();

  request = ((name: string, run: () => Promise<unknown> | undefined) => {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(() => run());
    this.#queues.set(name, mine);
    return mine;
  }) as unknown as LockManager["request"];
}

let count = 0;

/** Hexadecimal digits that differ each time. */
export function counted(digits: number): string {
  count += 1;
  return count.toString(16).padStart(digits, "0").slice(-digits);
}

export function database(): string {
  return `joyn-test-${counted(8)}`;
}

export function environment(parts: Partial<Environment> & { clock: Clock }): Environment {
  const { clock, ...rest } = parts;
  return {
    now: () => clock.now,
    after: clock.after,
    random: counted,
    fetch: async () => new Response(null, { status: 503 }),
    send: async () => {
      throw new TypeError("no network");
    },
    openSocket: () => {
      throw new Error("no network");
    },
    openChannel: () => undefined,
    locks: undefined,
    storage: undefined,
    saves: () => false,
    database: database(),
    language: "en-GB",
    ...rest,
  };
}

/** One end of a connection, as the browser sees it; `peer` is what the node does with it. */
export class FakeSocket implements Socket {
  readyState = 0;
  binaryType = "blob";
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  /** What the client sends. */
  onData: (data: string | Uint8Array) => void = () => {};

  open(): void {
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.onopen?.(new Event("open"));
    });
  }

  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    if (this.readyState !== 1) throw new Error("not open");
    const copy = typeof data === "string" ? data : new Uint8Array(data as Uint8Array).slice();
    queueMicrotask(() => this.onData(copy));
  }

  /** What the node sends. */
  deliver(data: string | Uint8Array): void {
    const given = typeof data === "string" ? data : data.slice().buffer;
    queueMicrotask(() => {
      if (this.readyState === 1) this.onmessage?.({ data: given } as MessageEvent);
    });
  }

  close(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose?.({} as CloseEvent));
  }
}
