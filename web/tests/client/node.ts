/** A scripted node: HTTP, SIP over WebSocket with digest, MSRP over WebSocket. Everything it was told is in its lists. */

import { type Bytes, utf8 } from "../../src/protocol/bytes";
import { ANONYMOUS, buildCpim, type Cpim, parseCpim } from "../../src/protocol/cpim";
import { digestHa1, digestResponse } from "../../src/protocol/digest";
import { buildImdn, IMDN_CONTENT_TYPE, type ImdnKind, parseImdn } from "../../src/protocol/imdn";
import { emitFrame, makeRequest, makeResponse } from "../../src/protocol/msrp/chunk";
import { parseWebSocketMessage } from "../../src/protocol/msrp/connection";
import { buildMsrpSdp, emitSdp, msrpMedia, parseSdp } from "../../src/protocol/sdp";
import { counted, FakeSocket } from "./world";

export const OWN = "tel:+33639980001";
export const PEER = "tel:+33639980002";
const REALM = "joyn.localhost";

export interface Answer {
  status: number;
  body?: unknown;
}

/** One message or receipt that came to the node. */
export interface Taken {
  way: "session" | "pager";
  to: string;
  cpim: Cpim;
}

export class ScriptedNode {
  /** What each path answers; a function is asked each time. */
  routes = new Map<string, Answer | ((init: RequestInit | undefined, path: string) => Answer)>();
  requests: { method: string; path: string; body: unknown }[] = [];
  registers: string[] = [];
  /** Heads of the requests that were proved. */
  sip: string[] = [];
  taken: Taken[] = [];
  /** isComposing that came directly in a session. */
  composing: string[] = [];
  /** The answer to INVITE, MESSAGE and OPTIONS, by method. */
  answers: Record<string, number> = { INVITE: 200, MESSAGE: 202, OPTIONS: 200 };
  msrpAnswer = 200;
  password = "s3cret";
  reachable = true;
  challenges = 0;
  /** Called right behind the answer to REGISTER. */
  onRegistered = (): void => {};
  sipSocket: FakeSocket | undefined;
  #msrpSocket: FakeSocket | undefined;
  #contact = "";
  #paths = new Map<string, { client: string; peer: string }>();
  #nonce = "";
  #waiting = new Map<string, (head: string) => void>();
  #delivering = new Map<string, (status: number) => void>();

  constructor() {
    const operator = { name: "Example", theme: "joyn", country: "FR", terms_url: null, help_url: null };
    const session = { aor: OWN, number: "06 39 98 00 01", profile_name: "", device: "d1", operator };
    this.routes.set("GET /api/session", { status: 200, body: session });
    this.routes.set("GET /config", () => ({ status: 200, body: configuration(this.password) }));
    this.routes.set("GET /api/history", { status: 200, body: { items: [], more: false } });
    this.routes.set("GET /api/search", { status: 200, body: { items: [], more: false } });
    this.routes.set("GET /api/blocks", { status: 200, body: [] });
  }

  fetch = async (path: string, init?: RequestInit): Promise<Response> => {
    const method = init?.method ?? "GET";
    const body = typeof init?.body === "string" ? JSON.parse(init.body) : undefined;
    this.requests.push({ method, path, body });
    if (!this.reachable) throw new TypeError("no network");
    const found = this.routes.get(`${method} ${path.split("?", 1)[0]}`) ?? { status: 404, body: { error: "broken" } };
    const answer = typeof found === "function" ? found(init, path) : found;
    if (answer.status === 204) return new Response(null, { status: 204 });
    const text = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body ?? {});
    return new Response(text, { status: answer.status });
  };

  openSocket = (_url: string, protocol: string): FakeSocket => {
    const socket = new FakeSocket();
    if (!this.reachable) {
      queueMicrotask(() => socket.close());
      return socket;
    }
    if (protocol === "sip") {
      this.sipSocket = socket;
      socket.onData = (data) => this.#onSip(String(data));
    } else {
      this.#msrpSocket = socket;
      socket.onData = (data) => this.#onMsrp(data as Uint8Array);
    }
    socket.open();
    return socket;
  };

  /** The connection breaks, as in a tunnel. */
  cut(): void {
    this.sipSocket?.close();
    this.#msrpSocket?.close();
  }

  /** A MESSAGE to the client; resolves with the status of its answer. */
  async message(from: string, cpim: Uint8Array, to: string = OWN, headers = ""): Promise<number> {
    const text = new TextDecoder().decode(cpim);
    return this.#request(
      "MESSAGE",
      `From: <sip:${from.slice(4)}@${REALM}>;tag=${counted(6)}\r\nP-Asserted-Identity: <${from}>, <sip:${from.slice(4)}@${REALM}>\r\n` +
        `To: <${to}>\r\n${headers}Content-Type: message/cpim\r\n`,
      text,
    );
  }

  /** The network opens a session, with a first message if there is one. */
  async invite(from: string, headers = "", direction: "sendrecv" | "sendonly" = "sendrecv"): Promise<number> {
    const id = counted(10);
    const path = `msrps://node.example:443/${id};ws`;
    const sdp = emitSdp(
      buildMsrpSdp({
        address: "192.0.2.1",
        port: 443,
        path: [path],
        sessionId: 1,
        acceptTypes: ["message/cpim"],
        setup: "actpass",
        direction,
        protocol: "TCP/TLS/MSRP",
      }),
    );
    const status = await this.#request(
      "INVITE",
      `From: <sip:${from.slice(4)}@${REALM}>;tag=${counted(6)}\r\nP-Asserted-Identity: ${headers.includes("standfw") ? `<sip:rcse-standfw@${REALM}>` : `<${from}>`}\r\n` +
        `To: <${OWN}>\r\nContact: <sip:node.example;transport=ws>\r\n${headers}Content-Type: application/sdp\r\n`,
      new TextDecoder().decode(sdp),
      (answer) => {
        const media = msrpMedia(parseSdp(utf8(answer.slice(answer.indexOf("\r\n\r\n") + 4))));
        this.#paths.set(id, { client: media?.path[0] ?? "", peer: from });
      },
    );
    return status;
  }

  /** Sends in the session that is open with somebody; resolves with the status of the answer. */
  send(peer: string, contentType: string, body: Uint8Array): Promise<number> {
    const found = [...this.#paths].findLast(([, { peer: other }]) => other === peer);
    if (found === undefined) throw new Error("no session");
    const [id, { client }] = found;
    const transactionId = counted(12);
    const size = body.length;
    const frame = makeRequest({
      transactionId,
      method: "SEND",
      toPath: client,
      fromPath: `msrps://node.example:443/${id};ws`,
      messageId: counted(12),
      byteRange: [1, size, size],
      contentType,
      body,
    });
    return new Promise((resolve) => {
      this.#delivering.set(transactionId, resolve);
      this.#msrpSocket?.deliver(emitFrame(frame));
    });
  }

  /** Texts of the chat messages that came, in their order. */
  get texts(): string[] {
    return this.taken.filter(({ cpim }) => cpim.contentType === "text/plain").map(({ cpim }) => cpim.text);
  }

  /** Message-ID and status of the receipts that came. */
  get receipts(): string[] {
    return this.taken
      .filter(({ cpim }) => cpim.contentType === IMDN_CONTENT_TYPE)
      .map(({ cpim }) => parseImdn(cpim.body))
      .map(({ messageId, status }) => `${messageId} ${status}`);
  }

  async #request(method: string, headers: string, body: string, onOk?: (answer: string) => void): Promise<number> {
    const callId = counted(16);
    const head =
      `${method} ${this.#contact} SIP/2.0\r\nVia: SIP/2.0/WSS node.example;branch=z9hG4bK${callId}\r\n` +
      `Max-Forwards: 70\r\nCall-ID: ${callId}\r\nCSeq: 1 ${method}\r\n${headers}Content-Length: ${utf8(body).length}\r\n\r\n`;
    const answer = await new Promise<string>((resolve) => {
      this.#waiting.set(callId, resolve);
      this.sipSocket?.deliver(head + body);
    });
    const status = Number(answer.slice(8, 11));
    if (status < 300) onOk?.(answer);
    if (method === "INVITE" && status < 300) {
      const to = header(answer, "To");
      const ack = head
        .replace(/^INVITE/, "ACK")
        .replace("CSeq: 1 INVITE", "CSeq: 1 ACK")
        .replace(/To: .*\r\n/, `To: ${to}\r\n`)
        .replace(/branch=z9hG4bK/, "branch=z9hG4bKa");
      this.sipSocket?.deliver(ack.replace(/Content-Length: [0-9]+/, "Content-Length: 0"));
    }
    return status;
  }

  #onSip(text: string): void {
    if (text.trim() === "") {
      this.sipSocket?.deliver("\r\n");
      return;
    }
    if (text.startsWith("SIP/2.0")) {
      if (Number(text.slice(8, 11)) >= 200) this.#waiting.get(header(text, "Call-ID"))?.(text);
      return;
    }
    const method = text.slice(0, text.indexOf(" "));
    if (method === "ACK") return;
    if (!this.#proved(method, text)) {
      this.challenges += 1;
      this.#nonce = counted(10);
      const [status, name] =
        method === "REGISTER" ? ["401 Unauthorized", "WWW-Authenticate"] : ["407 Proxy", "Proxy-Authenticate"];
      const challenge = (algorithm: string): string =>
        `${name}: Digest realm="${REALM}", nonce="${this.#nonce}", algorithm=${algorithm}, qop="auth"\r\n`;
      this.#respond(text, status as string, challenge("SHA-256") + challenge("MD5"));
      return;
    }
    this.#serve(method, text);
  }

  #serve(method: string, text: string): void {
    const head = text.slice(0, text.indexOf("\r\n\r\n"));
    const body = text.slice(head.length + 4);
    if (method === "REGISTER") {
      this.registers.push(head);
      this.#contact = /<([^>]+)>/.exec(header(head, "Contact"))?.[1] ?? "";
      this.#respond(text, "200 OK", `Contact: ${header(head, "Contact")}\r\nFlow-Timer: 120\r\n`);
      this.onRegistered();
      return;
    }
    this.sip.push(head);
    const to = /<([^>]+)>/.exec(header(head, "To"))?.[1] ?? "";
    const status = this.answers[method] ?? 200;
    if (method === "MESSAGE" && status < 300) this.taken.push({ way: "pager", to, cpim: parseCpim(utf8(body)) });
    if (method !== "INVITE" || status >= 300) {
      this.#respond(text, `${status} Whatever`, "");
      return;
    }
    const id = counted(10);
    const path = `msrps://node.example:443/${id};ws`;
    this.#paths.set(id, { client: msrpMedia(parseSdp(utf8(body)))?.path[0] ?? "", peer: to });
    const parts = { address: "192.0.2.1", port: 443, path: [path], sessionId: 1, acceptTypes: ["message/cpim"] };
    const sdp = emitSdp(buildMsrpSdp({ ...parts, setup: "passive", protocol: "TCP/TLS/MSRP" }));
    const answer = new TextDecoder().decode(sdp);
    this.#respond(
      text,
      "200 OK",
      "Contact: <sip:node.example;transport=ws>\r\nContent-Type: application/sdp\r\n",
      answer,
    );
  }

  #respond(request: string, status: string, headers: string, body = ""): void {
    const copied = ["Via", "From", "Call-ID", "CSeq"].map((name) => `${name}: ${header(request, name)}\r\n`).join("");
    const to = header(request, "To");
    const tagged = to.includes("tag=") ? to : `${to};tag=node`;
    this.sipSocket?.deliver(
      `SIP/2.0 ${status}\r\n${copied}To: ${tagged}\r\n${headers}Content-Length: ${utf8(body).length}\r\n\r\n${body}`,
    );
  }

  /** Whether a request holds a SHA-256 proof of the password for the nonce we gave. */
  #proved(method: string, text: string): boolean {
    const given = header(text, method === "REGISTER" ? "Authorization" : "Proxy-Authorization");
    const field = (name: string): string => new RegExp(`[ ,]${name}="?([^",]+)`).exec(given)?.[1] ?? "";
    const uri = text.split(" ", 2)[1] ?? "";
    if (given === "" || field("uri") !== uri || field("nonce") !== this.#nonce || field("algorithm") !== "SHA-256") {
      return false;
    }
    const ha1 = digestHa1("u1", REALM, this.password, "SHA-256");
    const [nc, cnonce, nonce] = [field("nc"), field("cnonce"), field("nonce")];
    const expected = digestResponse({ algorithm: "SHA-256", ha1, nonce, method, uri, qop: "auth", nc, cnonce });
    return field("response") === expected;
  }

  #onMsrp(data: Uint8Array): void {
    for (const frame of parseWebSocketMessage(data)) {
      if (frame.kind === "response") {
        this.#delivering.get(frame.transactionId)?.(frame.status);
        continue;
      }
      const { contentType, body } = frame;
      const id = /443\/([^;]+);/.exec(frame.toPath)?.[1] ?? "";
      const to = this.#paths.get(id)?.peer ?? "";
      const status = contentType === "" ? 200 : this.msrpAnswer;
      if (status === 200 && contentType === "message/cpim" && body) {
        this.taken.push({ way: "session", to, cpim: parseCpim(body) });
      } else if (contentType.includes("composing") && body) {
        this.composing.push(new TextDecoder().decode(body));
      }
      this.#msrpSocket?.deliver(emitFrame(makeResponse(frame, status)));
    }
  }
}

export function header(text: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, "im").exec(text)?.[1]?.trim() ?? "";
}

/** A message of somebody's phone. */
export function chat(
  id: string,
  text: string,
  more: { ask?: string[]; at?: string; extra?: [string, string][]; namespaces?: [string, string][] } = {},
): Bytes {
  return buildCpim({
    from: ANONYMOUS,
    to: ANONYMOUS,
    dateTime: more.at ?? "2026-11-22T11:59:00Z",
    messageId: id,
    dispositionNotification: more.ask ?? ["positive-delivery", "display"],
    contentType: "text/plain;charset=UTF-8",
    body: utf8(text),
    ...(more.extra ? { extra: more.extra } : {}),
    ...(more.namespaces ? { namespaces: more.namespaces } : {}),
  });
}

/** Somebody's word about another message; the prefix is theirs to choose. */
export function refer(id: string, type: string, target: string, text: string, at?: string): Bytes {
  const extra: [string, string][] = [
    ["n1.Reference-ID", target],
    ["n1.Reference-Type", type],
  ];
  return chat(id, text, { ask: [], extra, namespaces: [["n1", "http://www.gsma.com"]], ...(at ? { at } : {}) });
}

export function receipt(
  about: string,
  status: string,
  kind: ImdnKind = "delivery",
  from = ANONYMOUS,
  cause = 0,
): Bytes {
  const dateTime = "2026-11-22T11:59:30Z";
  return buildCpim({
    from,
    to: ANONYMOUS,
    dateTime,
    messageId: counted(20),
    contentType: IMDN_CONTENT_TYPE,
    body: buildImdn({ messageId: about, kind, status, dateTime, cause }),
  });
}

export function configuration(password: string, extra = ""): string {
  return `<?xml version="1.0"?><wap-provisioningdoc version="1.1">
<characteristic type="VERS"><parm name="version" value="3"/><parm name="validity" value="86400"/></characteristic>${extra}
<characteristic type="APPLICATION"><parm name="AppID" value="ap2001"/><parm name="AppRef" value="IMS-Settings"/>
<parm name="Home_network_domain_name" value="${REALM}"/>
<characteristic type="Public_User_Identity_List"><parm name="Public_User_Identity" value="sip:+33639980001@${REALM}"/></characteristic>
<characteristic type="APPAUTH"><parm name="UserName" value="u1"/><parm name="UserPwd" value="${password}"/><parm name="Realm" value="${REALM}"/></characteristic>
<characteristic type="Ext"><characteristic type="joyn"><parm name="webSocketURI" value="wss://node.example/ws"/></characteristic></characteristic>
</characteristic></wap-provisioningdoc>`;
}
