/**
 * MSRP over a WebSocket: all sessions of a connection share one socket, and we are always the side that connects.
 *
 * Spec: RFC 7977, RFC 4975 §5.4 (the first, empty SEND binds a session to the connection).
 */

import { emitFrame, type Frame, makeResponse } from "../protocol/msrp/chunk";
import { parseWebSocketMessage } from "../protocol/msrp/connection";
import type { Message } from "../protocol/msrp/reassembly";
import { type Action, QueueFull, Session } from "../protocol/msrp/session";
import { formatMsrpUri, makeMsrpUri, parsePath } from "../protocol/msrp/uri";
import type { Environment, Socket } from "./environment";

/** Bytes of one incoming message. */
export const MAX_MESSAGE = 2 * 1024 * 1024;
/** Milliseconds until the socket must be there. */
export const CONNECT_WITHIN = 15_000;
/** The status of a message whose connection was lost; whether it arrived is unknown. */
export const LOST = 0;

export class Msrp {
  readonly secure: boolean;
  readonly host: string;
  readonly #environment: Environment;
  readonly #url: string;
  readonly #legs = new Map<string, MsrpLeg>();
  #socket: Socket | undefined;
  #opening: Promise<Socket> | undefined;

  constructor(environment: Environment, url: string) {
    this.#environment = environment;
    this.#url = url;
    this.secure = url.toLowerCase().startsWith("wss:");
    this.host = `${environment.random(12)}.invalid`;
  }

  /** A session of ours, not connected yet. `onMessage` gives the status to answer with, once the message is kept. */
  leg(onMessage: (message: Message) => Promise<number>, onClosed: () => void): MsrpLeg {
    const leg = new MsrpLeg(this.#environment, this, onMessage, onClosed);
    this.#legs.set(leg.name, leg);
    return leg;
  }

  /** The socket, opened when it is not. Rejects. */
  connect(): Promise<Socket> {
    if (this.#socket?.readyState === 1) return Promise.resolve(this.#socket);
    this.#opening ??= new Promise<Socket>((resolve, reject) => {
      const socket = this.#environment.openSocket(this.#url, "msrp");
      socket.binaryType = "arraybuffer";
      const stop = this.#environment.after(CONNECT_WITHIN, () => socket.close());
      socket.onopen = () => {
        stop();
        this.#socket = socket;
        resolve(socket);
      };
      socket.onmessage = ({ data }) => this.#receive(socket, data);
      socket.onclose = () => {
        stop();
        reject(new Error("no MSRP connection"));
        this.#lost();
      };
      socket.onerror = () => {};
    }).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  forget(leg: MsrpLeg): void {
    this.#legs.delete(leg.name);
  }

  /** Ends every session and the connection. */
  close(): void {
    this.#socket?.close();
    this.#lost();
  }

  #receive(socket: Socket, data: unknown): void {
    let frames: Frame[];
    try {
      frames = parseWebSocketMessage(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
    } catch {
      socket.close(1007);
      return;
    }
    for (const frame of frames) {
      const leg = this.#legs.get(sessionIn(frame.toPath));
      if (leg !== undefined) leg.receive(frame);
      // RFC 4975 §7.3: no such session; one answer for the pieces of a chunk.
      else if (frame.kind === "request" && frame.method === "SEND" && !frame.partial) {
        socket.send(emitFrame(makeResponse(frame, 481)));
      }
    }
  }

  #lost(): void {
    this.#socket = undefined;
    for (const leg of [...this.#legs.values()]) leg.close();
  }
}

/** One session. */
export class MsrpLeg {
  /** The session-id of our URI. */
  readonly name: string;
  /** Our URI, for the SDP. */
  readonly path: string;
  readonly #environment: Environment;
  readonly #msrp: Msrp;
  readonly #onMessage: (message: Message) => Promise<number>;
  readonly #onClosed: () => void;
  readonly #sending = new Map<string, (status: number) => void>();
  #bound: ((bound: boolean) => void) | undefined;
  #session: Session | undefined;
  #socket: Socket | undefined;
  #closed = false;
  #stopTimer = (): void => {};

  constructor(
    environment: Environment,
    msrp: Msrp,
    onMessage: (message: Message) => Promise<number>,
    onClosed: () => void,
  ) {
    this.#environment = environment;
    this.#msrp = msrp;
    this.#onMessage = onMessage;
    this.#onClosed = onClosed;
    this.name = environment.random(24);
    this.path = formatMsrpUri(this.#uri());
  }

  get open(): boolean {
    return !this.#closed && this.#session !== undefined;
  }

  /** Connects to the other side's path; false when it does not answer. */
  async join(remotePath: string): Promise<boolean> {
    try {
      const socket = await this.#msrp.connect();
      if (this.#closed) return false;
      this.#socket = socket;
    } catch {
      this.close();
      return false;
    }
    const makeId = (): string => this.#environment.random(16);
    const session = new Session({ local: this.#uri(), remotePath, makeId, maxSize: MAX_MESSAGE });
    this.#session = session;
    const bound = new Promise<boolean>((resolve) => {
      this.#bound = resolve;
    });
    this.#do(session.sendEmpty(this.#now()));
    const joined = await bound;
    if (!joined) this.close();
    return joined;
  }

  /** Sends a message; the status of its answer, or LOST. */
  send(contentType: string, body: Uint8Array): Promise<number> {
    const session = this.#session;
    if (session === undefined || this.#closed) return Promise.resolve(LOST);
    const messageId = this.#environment.random(24);
    return new Promise((resolve) => {
      this.#sending.set(messageId, resolve);
      try {
        this.#do(session.send(messageId, contentType, body, this.#now()));
      } catch (error) {
        if (!(error instanceof QueueFull)) throw error;
        this.#settle(messageId, LOST);
      }
    });
  }

  receive(frame: Frame): void {
    if (this.#session !== undefined) this.#do(this.#session.receive(frame, this.#now()));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer();
    this.#msrp.forget(this);
    this.#bound?.(false);
    for (const messageId of [...this.#sending.keys()]) this.#settle(messageId, LOST);
    this.#onClosed();
  }

  #do(actions: Action[]): void {
    for (const action of actions) {
      if (action.type === "transmit") this.#transmit(action.data);
      else if (action.type === "received") void this.#take(action.message);
      else if (action.type === "delivered") this.#settle(action.messageId, 200);
      else if (action.type === "bound") this.#bound?.(true);
      else if (action.type === "failed") {
        if (!this.#sending.has(action.messageId)) this.#bound?.(false);
        this.#settle(action.messageId, action.status);
      }
    }
    this.#arm();
  }

  #transmit(data: Uint8Array<ArrayBuffer>): void {
    if (this.#socket?.readyState === 1) this.#socket.send(data);
  }

  async #take(message: Message): Promise<void> {
    const status = await this.#onMessage(message).catch(() => 500);
    if (this.#session !== undefined && !this.#closed) this.#do(this.#session.answer(message, status));
  }

  #settle(messageId: string, status: number): void {
    this.#sending.get(messageId)?.(status);
    this.#sending.delete(messageId);
  }

  #arm(): void {
    this.#stopTimer();
    const deadline = this.#session?.deadline() ?? Infinity;
    if (deadline === Infinity || this.#closed) return;
    this.#stopTimer = this.#environment.after(Math.max(0, (deadline - this.#now()) * 1000), () => {
      if (this.#session !== undefined) this.#do(this.#session.handleDeadline(this.#now()));
    });
  }

  #now(): number {
    return this.#environment.now() / 1000;
  }

  #uri() {
    const scheme = this.#msrp.secure ? "msrps" : "msrp";
    return makeMsrpUri({ scheme, host: this.#msrp.host, port: 9, sessionId: this.name, transport: "ws" });
  }
}

function sessionIn(path: string): string {
  try {
    return parsePath(path)[0]?.sessionId ?? "";
  } catch {
    return "";
  }
}
