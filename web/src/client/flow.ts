/**
 * One WebSocket for SIP: what sip.js writes leaves, what comes is read, and silence is noticed.
 *
 * Spec: RFC 7118 (one message per WebSocket message), RFC 5626 §4.4.1 (keep-alive by CRLF).
 */

import { LoggerFactory, Parser } from "sip.js/lib/core/index.js";
import { dress, undress } from "./addresses";
import { withBestChallenge } from "./credentials";
import type { Environment, Socket } from "./environment";

export type SipMessage = NonNullable<ReturnType<typeof Parser.parseMessage>>;

/** Milliseconds until a connection must be there, and until a keep-alive must be answered (RFC 5626 §4.4.1). */
export const CONNECT_WITHIN = 15_000;
export const PONG_WITHIN = 10_000;

/** What sip.js asks of a transport, and the life of the socket. */
export class Flow {
  readonly protocol: string;
  readonly loggers = quietLoggers();
  /** A message came. */
  onMessage: (message: SipMessage) => void = () => {};
  /** The connection has ended, once. */
  onLost: () => void = () => {};
  readonly #environment: Environment;
  readonly #url: string;
  #socket: Socket | undefined;
  #over = false;
  #stopPing = (): void => {};
  #stopPong = (): void => {};

  constructor(environment: Environment, url: string) {
    this.#environment = environment;
    this.#url = url;
    this.protocol = url.toLowerCase().startsWith("wss:") ? "WSS" : "WS";
  }

  /** Opens it. Rejects when that fails or takes too long. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.#environment.openSocket(this.#url, "sip");
      this.#socket = socket;
      socket.binaryType = "arraybuffer";
      const stop = this.#environment.after(CONNECT_WITHIN, () => this.close());
      socket.onopen = () => {
        stop();
        resolve();
      };
      socket.onmessage = ({ data }) => this.#receive(data);
      socket.onclose = () => {
        stop();
        reject(new Error("no connection"));
        this.#lost();
      };
      socket.onerror = () => {}; // close follows
    });
  }

  /** As sip.js calls it. */
  async send(message: string): Promise<void> {
    if (this.#over || this.#socket?.readyState !== 1) throw new Error("not connected");
    const end = message.indexOf("\r\n\r\n");
    this.#socket.send(undress(message.slice(0, end)) + message.slice(end));
  }

  /** Pings every `seconds` from now on; a ping without answer ends the connection. */
  keepAlive(seconds: number): void {
    this.#stopPing();
    if (seconds <= 0) return;
    // RFC 5626 §4.4: 80 to 100 percent of the time the server named.
    const wait = seconds * (0.8 + (0.2 * Number.parseInt(this.#environment.random(4), 16)) / 0xffff);
    this.#stopPing = this.#environment.after(wait * 1000, () => {
      this.#socket?.send("\r\n\r\n");
      this.#stopPong();
      this.#stopPong = this.#environment.after(PONG_WITHIN, () => this.close());
      this.keepAlive(seconds);
    });
  }

  close(): void {
    this.#socket?.close();
    // A socket that has lost its network says so late, or never.
    this.#lost();
  }

  #receive(data: unknown): void {
    if (this.#over) return;
    this.#stopPong();
    const text = typeof data === "string" ? data : new TextDecoder().decode(data as ArrayBuffer);
    const end = text.indexOf("\r\n\r\n");
    if (end <= 0) return; // a keep-alive, or nothing of SIP
    const head = withBestChallenge(dress(text.slice(0, end)));
    const message = Parser.parseMessage(head + text.slice(end), this.loggers.getLogger("joyn.flow"));
    if (message !== undefined) this.onMessage(message);
  }

  #lost(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopPing();
    this.#stopPong();
    this.onLost();
  }
}

/** sip.js would write to the console what people send each other. */
function quietLoggers(): LoggerFactory {
  const loggers = new LoggerFactory();
  loggers.builtinEnabled = false;
  return loggers;
}
