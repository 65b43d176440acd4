/**
 * SIP as this client needs it, over the core of sip.js: one registered connection, and what goes over it.
 *
 * Spec: RFC 7118, RFC 5626 (instance and reg-id), RFC 3428, RFC 3261; facts §2, §2.3. A lost connection is over: the
 * next one is a new client, with a new password.
 */

import {
  type DigestAuthentication,
  type IncomingInviteRequest,
  type IncomingRequestMessage,
  IncomingResponseMessage,
  type OutgoingRequestDelegate,
  type OutgoingRequestMessage,
  type Session,
  URI,
  UserAgentCore,
} from "sip.js/lib/core/index.js";
import { type Header, utf8 } from "../protocol/bytes";
import { SDP_CONTENT_TYPE } from "../protocol/sdp";
import { aorOf, dressedParts, senderOf, undress, urisIn } from "./addresses";
import { type Challenge, Credentials } from "./credentials";
import type { Environment } from "./environment";
import { Flow, type SipMessage } from "./flow";
import type { Aor } from "./model";

export const ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, NOTIFY";
export const USER_AGENT = "joyn-web/0.1.0";
/** Seconds of registration asked for. */
export const EXPIRES = 600;

/** What the node provisions for one connection. */
export interface Account {
  /** Where to connect, ws or wss. */
  url: string;
  aor: Aor;
  /** Our own address as a SIP URI, or a tel URI where there is none. */
  address: string;
  username: string;
  password: string;
  domain: string;
  /** urn:uuid of this device. */
  instance: string;
  /** Feature tags of the Contact, `+a;+b="c"`. */
  tags: string;
}

export interface SipAnswer {
  status: number;
  reason: string;
  /** Made here: nobody answered (408), or the connection was lost (503). */
  local: boolean;
  header(name: string): string | undefined;
  body: Uint8Array;
}

/** A request that came in. */
export interface SipRequest {
  from: Aor;
  to: Aor;
  callId: string;
  contentType: string;
  body: Uint8Array;
  header(name: string): string | undefined;
}

export interface SipDialog {
  /** The other side has ended it. */
  onEnded: () => void;
  /** Ends it; with a reason as its user did. */
  bye(reason?: string): void;
}

export interface Invitation extends SipRequest {
  accept(sdp: string): SipDialog;
  reject(status: number): void;
}

export interface SipEvents {
  /** A MESSAGE came; the status to answer with, once it is kept. */
  onMessage(request: SipRequest): Promise<number>;
  onInvite(invitation: Invitation): void;
  /** The connection has ended, once, also when it never was. */
  onLost(): void;
}

export interface SipClient {
  /** Connects and registers, and stays registered; the answer to REGISTER. Rejects when there is no connection. */
  connect(): Promise<SipAnswer>;
  message(to: Aor, headers: readonly Header[], contentType: string, body: Uint8Array): Promise<SipAnswer>;
  options(to: Aor, headers: readonly Header[]): Promise<SipAnswer>;
  /** `dialog` is there when the answer is 2xx. */
  invite(to: Aor, headers: readonly Header[], sdp: string): Promise<{ answer: SipAnswer; dialog?: SipDialog }>;
  /** Ends the registration if there is time, and the connection. */
  close(): Promise<void>;
}

export type MakeSip = (environment: Environment, account: Account, events: SipEvents) => SipClient;

export class SipJs implements SipClient {
  readonly #environment: Environment;
  readonly #account: Account;
  readonly #events: SipEvents;
  readonly #flow: Flow;
  readonly #core: UserAgentCore;
  readonly #registering: Credentials;
  readonly #calling: Credentials;
  readonly #waiting = new Set<(answer: SipAnswer) => void>();
  readonly #registration: { callId: string; fromTag: string; cseq: number };
  #expires = EXPIRES;
  #route: string[] = [];
  #stopRefresh = (): void => {};

  constructor(environment: Environment, account: Account, events: SipEvents) {
    const { random } = environment;
    this.#environment = environment;
    this.#account = account;
    this.#events = events;
    this.#registering = new Credentials(account.username, account.password, random);
    this.#calling = new Credentials(account.username, account.password, random);
    this.#registration = { callId: random(32), fromTag: random(12), cseq: 1 };
    this.#flow = new Flow(environment, account.url);
    const host = `${random(12)}.invalid`;
    const uri = new URI("sip", random(12), host, undefined, { transport: "ws" });
    this.#core = new UserAgentCore(
      {
        aor: uriOf(account.address),
        contact: { uri, pubGruu: undefined, tempGruu: undefined, toString: () => this.#contact(uri) },
        displayName: "",
        loggerFactory: this.#flow.loggers,
        hackViaTcp: false,
        routeSet: this.#route,
        sipjsId: random(5),
        supportedOptionTags: ["outbound"],
        supportedOptionTagsResponse: ["outbound"],
        userAgentHeaderFieldValue: USER_AGENT,
        viaForceRport: false,
        viaHost: host,
        authenticationFactory: () => this.#prover(),
        transportAccessor: () => this.#flow,
      },
      {
        onInvite: (incoming) => this.#onInvite(incoming),
        onMessage: (incoming) => {
          const { message } = incoming;
          void this.#events.onMessage(requestOf(message)).then(
            (status) =>
              status < 300 ? incoming.accept({ statusCode: status }) : incoming.reject({ statusCode: status }),
            () => incoming.reject({ statusCode: 500 }),
          );
        },
        onNotify: (incoming) => incoming.accept(),
      },
    );
    this.#flow.onMessage = (message) => this.#receive(message);
    this.#flow.onLost = () => this.#lost();
  }

  async connect(): Promise<SipAnswer> {
    await this.#flow.open();
    return this.#register();
  }

  message(to: Aor, headers: readonly Header[], contentType: string, body: Uint8Array): Promise<SipAnswer> {
    const request = this.#request("MESSAGE", to, headers, contentType, body);
    return this.#ask((delegate) => this.#core.message(request, delegate));
  }

  options(to: Aor, headers: readonly Header[]): Promise<SipAnswer> {
    const request = this.#request("OPTIONS", to, [["Contact", String(this.#core.configuration.contact)], ...headers]);
    return this.#ask((delegate) => this.#core.request(request, delegate));
  }

  async invite(to: Aor, headers: readonly Header[], sdp: string): Promise<{ answer: SipAnswer; dialog?: SipDialog }> {
    const all: Header[] = [["Contact", String(this.#core.configuration.contact)], ["Allow", ALLOW], ...headers];
    const request = this.#request("INVITE", to, all, SDP_CONTENT_TYPE, utf8(sdp));
    let dialog: SipDialog | undefined;
    const answer = await this.#ask((delegate) =>
      this.#core.invite(request, {
        ...delegate,
        onAccept: ({ ack, message, session }) => {
          ack();
          dialog = dialogOf(session, sdp);
          delegate.onAccept?.({ message });
        },
      }),
    );
    return dialog === undefined ? { answer } : { answer, dialog };
  }

  async close(): Promise<void> {
    this.#stopRefresh();
    this.#expires = 0;
    // The page may be closing: the answer is not waited for, the closed socket ends the binding anyway.
    void this.#register();
    await Promise.resolve();
    this.#flow.close();
  }

  // Registration.

  async #register(): Promise<SipAnswer> {
    let answer = await this.#askRegister();
    if (answer.status === 423) {
      // RFC 3261 §10.2.8: too brief; ask for what it wants.
      this.#expires = seconds(answer, "min-expires") || this.#expires;
      answer = await this.#askRegister();
    }
    if (answer.status < 300 && this.#expires > 0) this.#registered(answer);
    else if (answer.status >= 300) this.#flow.close();
    return answer;
  }

  async #askRegister(): Promise<SipAnswer> {
    const { domain, address } = this.#account;
    const self = uriOf(address);
    const contact = `${this.#core.configuration.contact};reg-id=1;expires=${this.#expires}`;
    const headers = [`Contact: ${contact}`, `Expires: ${this.#expires}`, `Allow: ${ALLOW}`];
    const options = { ...this.#registration, routeSet: [] };
    const uri = new URI("sip", "", domain);
    const request = this.#core.makeOutgoingRequestMessage("REGISTER", uri, self, self, options, headers);
    const known = this.#registering.authorize("REGISTER", rawUri(request));
    if (known !== undefined) request.setHeader("authorization", known);
    const answer = await this.#ask((delegate) => this.#core.register(request, delegate));
    this.#registration.cseq = request.cseq + 1;
    return answer;
  }

  #registered(answer: SipAnswer): void {
    this.#registering.adopt(answer.header("authentication-info"));
    this.#route.splice(0, Infinity, ...(answer.header("service-route")?.split(/\s*,\s*(?=<)/) ?? []));
    this.#flow.keepAlive(seconds(answer, "flow-timer"));
    const granted = Number(/;expires=([0-9]{1,9})/i.exec(answer.header("contact") ?? "")?.[1] ?? this.#expires);
    this.#stopRefresh();
    this.#stopRefresh = this.#environment.after(granted * 500, () => void this.#register());
  }

  #contact(uri: URI): string {
    const { instance, tags } = this.#account;
    return `<${uri.toRaw()}>;+sip.instance="<${instance}>"${tags === "" ? "" : `;${tags}`}`;
  }

  // Requests.

  #request(
    method: string,
    to: Aor,
    headers: readonly Header[],
    contentType?: string,
    body?: Uint8Array,
  ): OutgoingRequestMessage {
    const { aor, address } = this.#account;
    const extra = [["P-Preferred-Identity", `<${aor}>`] as const, ...headers].map(
      ([name, value]) => `${name}: ${value}`,
    );
    const content = contentType && body && { contentDisposition: "render", contentType, content: text(body) };
    const uri = uriOf(to);
    const from = uriOf(address);
    const request = this.#core.makeOutgoingRequestMessage(method, uri, from, uri, {}, extra, content || undefined);
    const known = this.#calling.authorize(method, rawUri(request));
    if (known !== undefined) request.setHeader("proxy-authorization", known);
    return request;
  }

  #ask(send: (delegate: OutgoingRequestDelegate) => unknown): Promise<SipAnswer> {
    return new Promise((resolve) => {
      const settle = (answer: SipAnswer): void => {
        this.#waiting.delete(settle);
        resolve(answer);
      };
      const take = ({ message }: { message: IncomingResponseMessage }): void => settle(answerOf(message));
      this.#waiting.add(settle);
      send({ onAccept: take, onReject: take, onRedirect: take });
    });
  }

  /** What sip.js asks when it is challenged; its own knows MD5 only. */
  #prover(): DigestAuthentication {
    let value = "";
    const prover = {
      authenticate: (request: OutgoingRequestMessage, challenge: Challenge): boolean => {
        const credentials = request.method === "REGISTER" ? this.#registering : this.#calling;
        if (!credentials.challenged(challenge)) return false;
        value = credentials.authorize(request.method, rawUri(request)) ?? "";
        return value !== "";
      },
      toString: () => value,
    };
    return prover as unknown as DigestAuthentication;
  }

  // What comes.

  #receive(message: SipMessage): void {
    if (message instanceof IncomingResponseMessage) {
      this.#core.receiveIncomingResponseFromTransport(message);
    } else if (message.method === "OPTIONS" && !message.toTag) {
      const extraHeaders = [`Contact: ${this.#core.configuration.contact}`, `Allow: ${ALLOW}`];
      this.#core.replyStateless(message, { statusCode: 200, extraHeaders });
    } else {
      this.#core.receiveIncomingRequestFromTransport(message);
    }
  }

  #onInvite(incoming: IncomingInviteRequest): void {
    this.#events.onInvite({
      ...requestOf(incoming.message),
      accept(sdp) {
        const body = { contentDisposition: "session", contentType: SDP_CONTENT_TYPE, content: sdp };
        const { session } = incoming.accept({ statusCode: 200, body });
        return dialogOf(session, sdp);
      },
      reject: (statusCode) => incoming.reject({ statusCode }),
    });
  }

  #lost(): void {
    this.#stopRefresh();
    this.#core.dispose();
    for (const settle of [...this.#waiting]) {
      settle({ status: 503, reason: "connection lost", local: true, header: () => undefined, body: new Uint8Array() });
    }
    this.#events.onLost();
  }
}

export const makeSipJs: MakeSip = (environment, account, events) => new SipJs(environment, account, events);

function dialogOf(session: Session, sdp: string): SipDialog {
  const body = { contentDisposition: "session", contentType: SDP_CONTENT_TYPE, content: sdp };
  const dialog: SipDialog = {
    onEnded: () => {},
    bye(reason) {
      try {
        session.bye(undefined, reason === undefined ? {} : { extraHeaders: [`Reason: ${reason}`] });
      } catch {
        session.dispose(); // not acknowledged yet, or over
      }
    },
  };
  session.delegate = {
    onBye: (request) => {
      request.accept();
      dialog.onEnded();
    },
    // A refresh: the session stays as it is.
    onInvite: (request) => void request.accept({ statusCode: 200, body }),
  };
  return dialog;
}

function requestOf(message: IncomingRequestMessage): SipRequest {
  const header = (name: string): string | undefined => message.getHeaders(name).join(", ") || undefined;
  return {
    from: senderOf(header),
    to: aorOf(urisIn(header("to") ?? "")[0] ?? ""),
    callId: message.callId,
    contentType: header("content-type") ?? "",
    body: utf8(message.body),
    header,
  };
}

function answerOf(message: IncomingResponseMessage): SipAnswer {
  return {
    status: message.statusCode ?? 0,
    reason: message.reasonPhrase ?? "",
    local: !message.hasHeader("via"),
    header: (name) => message.getHeaders(name).join(", ") || undefined,
    body: utf8(message.body ?? ""),
  };
}

/** The Request-URI as it leaves, which is what the digest covers. */
function rawUri(request: OutgoingRequestMessage): string {
  return undress(request.ruri.toRaw());
}

function uriOf(address: string): URI {
  const { user, host } = dressedParts(address);
  return new URI("sip", user, host);
}

function seconds(answer: SipAnswer, name: string): number {
  const value = answer.header(name) ?? "";
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : 0;
}

function text(body: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
}
