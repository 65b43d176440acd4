/** Who is typing, both ways. Spec: RFC 3994; the state machines are in `protocol/iscomposing`. */

import { buildIsComposing, Composer, type IsComposing, parseIsComposing, Receiver } from "../protocol/iscomposing";
import type { Environment } from "./environment";
import type { Aor } from "./model";

/** People whose typing is followed at a time; the one heard of first is forgotten. */
export const MAX_FOLLOWED = 200;

interface Side<Machine> {
  machine: Machine;
  stop: () => void;
}

export class Typing {
  readonly #environment: Pick<Environment, "now" | "after">;
  readonly #send: (peer: Aor, notice: Uint8Array) => void;
  readonly #show: (peer: Aor, typing: boolean) => void;
  readonly #ours = new Map<Aor, Side<Composer>>();
  readonly #theirs = new Map<Aor, Side<Receiver>>();

  /** `send` tells somebody that we type, `show` us that they do. */
  constructor(
    environment: Pick<Environment, "now" | "after">,
    send: (peer: Aor, notice: Uint8Array) => void,
    show: (peer: Aor, typing: boolean) => void,
  ) {
    this.#environment = environment;
    this.#send = send;
    this.#show = show;
  }

  /** The person changed what they are writing; an empty text is none. */
  compose(peer: Aor, text: string): void {
    const side = sideOf(this.#ours, peer, () => new Composer());
    if (text !== "") {
      this.#tell(peer, side.machine.compose(this.#now()));
      this.#rest(peer, side);
    } else if (side.machine.state === "active") {
      this.sent(peer);
      this.#tell(peer, { state: "idle", contentType: "text/plain", lastActive: "", refresh: null });
    }
  }

  /** The message left, which says by itself that composing ended. */
  sent(peer: Aor): void {
    const side = this.#ours.get(peer);
    side?.machine.send();
    side?.stop();
  }

  /** A notice came; one that cannot be read is nothing. */
  receive(peer: Aor, notice: Uint8Array): void {
    let read: IsComposing;
    try {
      read = parseIsComposing(notice);
    } catch {
      return;
    }
    const side = sideOf(this.#theirs, peer, () => new Receiver());
    this.#shown(peer, side.machine.receive(read, this.#now()));
    this.#wearOff(peer, side);
  }

  /** A message came: what was being composed is here. */
  received(peer: Aor): void {
    const side = this.#theirs.get(peer);
    side?.stop();
    this.#shown(peer, side?.machine.receiveMessage() ?? null);
  }

  /** The connection is gone. */
  forget(): void {
    for (const { stop } of [...this.#ours.values(), ...this.#theirs.values()]) stop();
    for (const [peer, { machine }] of this.#theirs) this.#shown(peer, machine.receiveMessage());
    this.#ours.clear();
    this.#theirs.clear();
  }

  #rest(peer: Aor, side: Side<Composer>): void {
    side.stop();
    side.stop = this.#at(side.machine.deadline(), () => {
      this.#tell(peer, side.machine.handleDeadline(this.#now()));
    });
  }

  #wearOff(peer: Aor, side: Side<Receiver>): void {
    side.stop();
    side.stop = this.#at(side.machine.deadline(), () => {
      this.#shown(peer, side.machine.handleDeadline(this.#now()));
    });
  }

  #at(deadline: number, run: () => void): () => void {
    if (deadline === Infinity) return () => {};
    return this.#environment.after(Math.max(0, (deadline - this.#now()) * 1000), run);
  }

  #tell(peer: Aor, notice: IsComposing | null): void {
    if (notice !== null) this.#send(peer, buildIsComposing(notice));
  }

  #shown(peer: Aor, state: "active" | "idle" | null): void {
    if (state !== null) this.#show(peer, state === "active");
  }

  #now(): number {
    return this.#environment.now() / 1000;
  }
}

function sideOf<Machine>(sides: Map<Aor, Side<Machine>>, peer: Aor, make: () => Machine): Side<Machine> {
  let side = sides.get(peer);
  if (side === undefined) {
    side = { machine: make(), stop: () => {} };
    sides.set(peer, side);
    const [oldest] = sides;
    if (oldest !== undefined && sides.size > MAX_FOLLOWED) {
      oldest[1].stop();
      sides.delete(oldest[0]);
    }
  }
  return side;
}
