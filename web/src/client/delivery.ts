/**
 * Delivery: one thing out of the outbox, by the best way there is.
 *
 * Spec: facts §4.1, §4.5, §4.7: chat goes in the session with them, opened if need be, else as one SIP MESSAGE; a
 * receipt goes in a session that is open, else as MESSAGE.
 */

import type { Header } from "../protocol/bytes";
import { CPIM_CONTENT_TYPE } from "../protocol/cpim";
import type { OutboxRow } from "./database";
import type { Environment } from "./environment";
import { failureOf } from "./failure";
import type { Up } from "./line";
import type { Outcome } from "./outbox";
import type { Sessions } from "./sessions";
import type { SipAnswer } from "./sip";

/** Bytes up to which a message goes as SIP MESSAGE when the operator does not say (facts §4.7). */
export const PAGER_LIMIT = 1300;

const CPM = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.";
/** Statuses that pass by themselves; a wrong password too, since the next connection has a new one. */
const PASSING = new Set([401, 407, 408, 480, 481, 486, 487, 491, 500, 502, 503, 504]);

export class Delivery {
  readonly #environment: Pick<Environment, "random">;
  readonly #up: () => Up | undefined;
  readonly #sessions: Sessions;

  constructor(environment: Pick<Environment, "random">, up: () => Up | undefined, sessions: Sessions) {
    this.#environment = environment;
    this.#up = up;
    this.#sessions = sessions;
  }

  async send(row: OutboxRow): Promise<Outcome> {
    if (this.#up() === undefined) return { is: "later" };
    if (row.kind === "receipt") return this.#receipt(row);
    if (row.kind === "revocation") return this.#message(row, service("systemmsg"));
    const { conversation, cpim } = row;
    const { status, invited } = await this.#sessions.send(conversation, CPIM_CONTENT_TYPE, cpim);
    if (invited && status === 200) return { is: "sent" };
    const im = this.#up()?.configuration.im;
    if (invited) return outcomeOfMsrp(status, cpim.length > (im?.maxSize ?? PAGER_LIMIT));
    const why = failureOf(status);
    if (why !== undefined) return { is: "failed", why };
    if (cpim.length > (im?.switchoverSize ?? PAGER_LIMIT)) return outcomeOf(status);
    return this.#message(row, [
      ...service("msg"),
      ["Conversation-ID", this.#sessions.conversation(conversation)],
      ["Contribution-ID", this.#environment.random(32)],
    ]);
  }

  async #receipt(row: OutboxRow): Promise<Outcome> {
    const leg = this.#sessions.find(row.conversation);
    if (leg !== undefined && (await leg.send(CPIM_CONTENT_TYPE, row.cpim)) === 200) return { is: "sent" };
    // Facts §4.5: handsets know a notification by this tag.
    return this.#message(row, [["Accept-Contact", "*;+g.oma.sip-im"]]);
  }

  async #message(row: OutboxRow, headers: readonly Header[]): Promise<Outcome> {
    const up = this.#up();
    if (up === undefined) return { is: "later" };
    const answer = await up.sip.message(row.conversation, headers, CPIM_CONTENT_TYPE, row.cpim);
    return answer.status < 300 ? { is: "sent" } : outcomeOf(answer.status, answer);
  }
}

/** The headers that ask for a CPM service. */
export function service(name: string): Header[] {
  return [
    ["Accept-Contact", `*;+g.3gpp.icsi-ref="${encodeURIComponent(CPM + name)}"`],
    ["P-Preferred-Service", CPM + name],
  ];
}

function outcomeOf(status: number, answer?: SipAnswer): Outcome {
  if (answer?.local || PASSING.has(status)) return { is: "later" };
  return { is: "failed", why: failureOf(status) ?? "refused" };
}

/**
 * RFC 4975 §10: what is said of the message is final; the rest is the session's trouble, and another one may do. So is
 * 413 about a message that is not too large: it says that the other side wants no more of it now.
 */
function outcomeOfMsrp(status: number, large: boolean): Outcome {
  const final = status === 400 || status === 403 || status === 415 || (status === 413 && large);
  return final ? { is: "failed", why: failureOf(status) ?? "refused" } : { is: "later" };
}
