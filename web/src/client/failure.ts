/** What an answer of the network says of why a message is not taken. Spec: RFC 3261 §21. */

import type { Imdn } from "../protocol/imdn";
import type { FailureReason } from "./model";

const REASONS: Readonly<Record<number, FailureReason>> = {
  403: "forbidden",
  404: "unknown-number",
  413: "too-large",
  484: "unknown-number",
  513: "too-large",
  604: "unknown-number",
};

/** Why, by the status of a request of ours; undefined for one that says nothing a person understands. */
export function failureOf(status: number): FailureReason | undefined {
  return REASONS[status];
}

/** Why, by a receipt that says it has failed: what is said there was said to our operator, not by it. */
export function failureOfReceipt({ status, cause }: Pick<Imdn, "status" | "cause">): FailureReason {
  if (status === "forbidden") return "forbidden";
  if (cause === 408) return "expired";
  return cause === 403 ? "refused" : (REASONS[cause] ?? "refused");
}
