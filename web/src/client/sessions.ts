/**
 * Chat sessions: at most one open with each person, opened by us or by them.
 *
 * Spec: facts §4.1, §4.2, §4.8; RFC 4975 §8. A browser always connects, so it always says `active`.
 */

import type { Header } from "../protocol/bytes";
import { CPIM_CONTENT_TYPE, parseCpim } from "../protocol/cpim";
import { IS_COMPOSING_CONTENT_TYPE } from "../protocol/iscomposing";
import { decodedPart, flattenMultipart, partType } from "../protocol/multipart";
import {
  buildMsrpSdp,
  DISCARD_PORT,
  type Direction,
  emitSdp,
  type MsrpMedia,
  msrpMedia,
  parseSdp,
  SDP_CONTENT_TYPE,
  TCP_MSRP,
  TLS_MSRP,
} from "../protocol/sdp";
import { type Environment, uuid } from "./environment";
import type { Up } from "./line";
import type { Aor } from "./model";
import type { MsrpLeg } from "./msrp";
import type { Invitation, SipDialog } from "./sip";

/** Sessions at a time; one more that comes in is answered 486. */
export const MAX_SESSIONS = 200;
/** Milliseconds without a message after which we end a session of ours, when the network does not say (facts §4.1). */
export const IDLE = 300_000;

const CPM_SESSION = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session";
const LEFT = 'SIP;cause=200;text="Call completed"';

/** What came in a session. `stored` says that the network brings receipts, whose CPIM names who they are from. */
export interface Carried {
  peer: Aor;
  contentType: string;
  body: Uint8Array;
  stored: boolean;
}

interface Offer {
  media: MsrpMedia;
  first: Uint8Array | undefined;
}

interface Chat {
  peer: Aor;
  leg: MsrpLeg;
  dialog: SipDialog | undefined;
  stopIdle: () => void;
}

export class Sessions {
  /** A message came: the status to answer with, once it is kept. */
  onMessage: (carried: Carried) => Promise<number> = async () => 200;
  readonly #environment: Environment;
  readonly #up: () => Up | undefined;
  readonly #open = new Map<Aor, Chat>();
  readonly #opening = new Map<Aor, Promise<MsrpLeg | number>>();
  readonly #all = new Set<Chat>();
  readonly #conversations = new Map<Aor, string>();

  constructor(environment: Environment, up: () => Up | undefined) {
    this.#environment = environment;
    this.#up = up;
  }

  find(peer: Aor): MsrpLeg | undefined {
    const leg = this.#open.get(peer)?.leg;
    return leg?.open ? leg : undefined;
  }

  /** The Conversation-ID of the thread with somebody: the same as long as we live. */
  conversation(peer: Aor): string {
    const known = this.#conversations.get(peer) ?? uuid(this.#environment);
    this.#conversations.set(peer, known);
    return known;
  }

  /** Sends in the session with somebody, opened if need be: the status of the INVITE if that fails, or of the message. */
  async send(peer: Aor, contentType: string, body: Uint8Array): Promise<{ status: number; invited: boolean }> {
    const leg = this.find(peer) ?? (await this.#invite(peer));
    if (typeof leg === "number") return { status: leg, invited: false };
    this.#used(peer);
    return { status: await leg.send(contentType, body), invited: true };
  }

  /** Somebody opens a session, or the network does to bring what it kept. */
  onInvite(invitation: Invitation): void {
    const up = this.#up();
    const offer = readInvitation(invitation);
    if (up === undefined) invitation.reject(480);
    // One that would have us wait for a connection cannot be served: nobody reaches a browser.
    else if (offer === null || !connectable(offer.media)) invitation.reject(488);
    else if (this.#all.size >= MAX_SESSIONS) invitation.reject(486);
    else void this.#answer(up, invitation, offer);
  }

  async #answer(up: Up, invitation: Invitation, { media, first }: Offer): Promise<void> {
    const stored = /rcse-standfw/.test(invitation.header("p-asserted-identity") ?? "");
    const deferred = stored || invitation.header("referred-by") !== undefined;
    const chat = this.#make(up, invitation.from, stored);
    if (first !== undefined) {
      // Facts §4.1: accepted is only what is kept.
      const carried = { peer: chat.peer, contentType: CPIM_CONTENT_TYPE, body: first, stored };
      const status = await this.onMessage(carried).catch(() => 500);
      if (status >= 300) {
        invitation.reject(480);
        this.#end(chat);
        return;
      }
    }
    chat.dialog = invitation.accept(describe(up, chat.leg, mirrored(media.direction)));
    chat.dialog.onEnded = () => this.#end(chat);
    const joined = await chat.leg.join(media.path.join(" "));
    if (joined && !deferred && media.direction === "sendrecv") this.#serve(chat);
  }

  /** Ends the session with somebody, as its user does. */
  leave(peer: Aor): void {
    const chat = this.#open.get(peer);
    if (chat !== undefined) this.#end(chat, LEFT);
  }

  /** Forgets every session: the connection is gone. */
  drop(): void {
    for (const chat of [...this.#all]) this.#end(chat);
  }

  async #invite(peer: Aor): Promise<MsrpLeg | number> {
    const under = this.#opening.get(peer);
    if (under !== undefined) return under;
    const opening = this.#openTo(peer).finally(() => this.#opening.delete(peer));
    this.#opening.set(peer, opening);
    return opening;
  }

  async #openTo(peer: Aor): Promise<MsrpLeg | number> {
    const up = this.#up();
    if (up === undefined) return 503;
    const chat = this.#make(up, peer, false);
    const headers: Header[] = [
      ["Accept-Contact", `*;+g.3gpp.icsi-ref="${encodeURIComponent(CPM_SESSION)}"`],
      ["P-Preferred-Service", CPM_SESSION],
      ["Conversation-ID", this.conversation(peer)],
      ["Contribution-ID", uuid(this.#environment)],
    ];
    const { answer, dialog } = await up.sip.invite(peer, headers, describe(up, chat.leg, "sendrecv"));
    if (dialog === undefined) {
      this.#end(chat);
      return answer.status;
    }
    chat.dialog = dialog;
    dialog.onEnded = () => this.#end(chat);
    const media = readSdp(answer.body);
    if (media === null || !(await chat.leg.join(media.path.join(" ")))) {
      this.#end(chat, "");
      return 480;
    }
    this.#serve(chat);
    return chat.leg;
  }

  #make(up: Up, peer: Aor, stored: boolean): Chat {
    const chat: Chat = {
      peer,
      dialog: undefined,
      stopIdle: () => {},
      leg: up.msrp.leg(
        ({ contentType, body }) => {
          this.#used(peer);
          const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
          return this.onMessage({ peer, contentType: type, body, stored });
        },
        () => this.#end(chat, ""),
      ),
    };
    this.#all.add(chat);
    return chat;
  }

  /** From now on this is the session with them; an older one is ended (facts §4.1, glare: the newest counts). */
  #serve(chat: Chat): void {
    const older = this.#open.get(chat.peer);
    this.#open.set(chat.peer, chat);
    if (older !== undefined) this.#end(older, LEFT);
    this.#used(chat.peer);
  }

  #used(peer: Aor): void {
    const chat = this.#open.get(peer);
    if (chat === undefined) return;
    const limit = this.#up()?.configuration.im.idleTimer;
    chat.stopIdle();
    // Facts §4.1: without a Reason when something else than the user ended it.
    chat.stopIdle = this.#environment.after(limit ? limit * 1000 : IDLE, () => this.#end(chat, ""));
  }

  /** `reason` is for the other side; undefined when they know. */
  #end(chat: Chat, reason?: string): void {
    if (!this.#all.delete(chat)) return;
    chat.stopIdle();
    if (this.#open.get(chat.peer) === chat) this.#open.delete(chat.peer);
    if (reason !== undefined && this.#up() !== undefined) chat.dialog?.bye(reason || undefined);
    chat.leg.close();
  }
}

function describe(up: Up, leg: MsrpLeg, direction: Direction): string {
  const { msrp } = up;
  const sdp = buildMsrpSdp({
    address: "0.0.0.0",
    port: DISCARD_PORT,
    path: [leg.path],
    sessionId: Number.parseInt(leg.name.slice(0, 7), 16),
    acceptTypes: [CPIM_CONTENT_TYPE, IS_COMPOSING_CONTENT_TYPE],
    acceptWrappedTypes: ["*"],
    setup: "active",
    direction,
    protocol: msrp.secure ? TLS_MSRP : TCP_MSRP,
  });
  return new TextDecoder().decode(emitSdp(sdp));
}

/** The medium that is offered, and a first message in its CPIM; null when no MSRP is. */
function readInvitation(invitation: Invitation): Offer | null {
  const { contentType, body } = invitation;
  try {
    if (!contentType.trim().toLowerCase().startsWith("multipart/")) {
      const media = readSdp(body);
      return media && { media, first: undefined };
    }
    const parts = flattenMultipart(contentType, body);
    const offer = parts.find((part) => partType(part) === SDP_CONTENT_TYPE);
    const message = parts.find((part) => partType(part) === CPIM_CONTENT_TYPE);
    const media = offer === undefined ? null : readSdp(decodedPart(offer));
    const first = message && decodedPart(message);
    if (first !== undefined) parseCpim(first);
    return media && { media, first };
  } catch {
    return null;
  }
}

function readSdp(body: Uint8Array): MsrpMedia | null {
  try {
    const media = msrpMedia(parseSdp(body));
    return media?.path.length && media.port !== 0 ? media : null;
  } catch {
    return null;
  }
}

function connectable({ setup }: MsrpMedia): boolean {
  return setup !== "active" && setup !== "holdconn";
}

/** The answer to a direction (RFC 3264 §6.1). */
function mirrored(direction: Direction): Direction {
  return direction === "sendonly" ? "recvonly" : direction === "recvonly" ? "sendonly" : direction;
}
