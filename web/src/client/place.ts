/** What a location push says of a place, as it is kept and shown; and the document that says it. */

import type { Bytes } from "../protocol/bytes";
import { buildLocation, type Location, parseLocation } from "../protocol/geolocation";
import { MAX_LABEL, type Place } from "./model";

/** Milliseconds for which a place holds that is sent; joyn clients do the same (facts §7). */
export const VALID_FOR = 3_600_000;

/** The place of a message's body; undefined when it cannot be read. */
export function readPlace(body: Uint8Array): Place | undefined {
  let said: Location;
  try {
    said = parseLocation(body);
  } catch {
    return undefined;
  }
  const { latitude, longitude, radius, label, expires } = said;
  const until = Date.parse(expires);
  // One that does not say until when holds for as long as the message is kept.
  return { latitude, longitude, radius, label: cleanLabel(label), until: Number.isNaN(until) ? Infinity : until };
}

/** The document that says where somebody, `entity`, is. */
export function placeDocument(
  { latitude, longitude, radius, label }: Omit<Place, "until">,
  { id, entity, now }: { id: string; entity: string; now: number },
): Bytes {
  return buildLocation({
    id,
    latitude: degrees(latitude),
    longitude: degrees(longitude),
    radius: Math.ceil(radius),
    label: cleanLabel(label),
    entity,
    expires: dateTime(now + VALID_FOR),
    timestamp: dateTime(now),
  });
}

/** Without what breaks the line or turns the writing round. */
function cleanLabel(label: string): string {
  const clean = label.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, " ").trim();
  return [...clean].slice(0, MAX_LABEL).join("");
}

/** A tenth of a metre: no receiver knows more, and a double's last digits would only fill the line. */
function degrees(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

/** To the second, as phones write it. */
function dateTime(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+/, "");
}
