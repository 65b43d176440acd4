/** Messages in words, where they cannot be shown: in a list, in a notification, or aloud. */

import type { Gist } from "../client/model";
import type { Key, Values } from "./index";

type Say = (key: Key, values?: Values) => string;

/** What a message says, in short: a text as it is, a file's name, and what has no words by what it is. */
export function inShort({ kind, text, seconds }: Gist, t: Say): string {
  if (kind === "location") return text === "" ? t("place.word") : t("place.named", { label: text });
  if (seconds === undefined) return text;
  return seconds > 0 ? t("voice.length", { length: clock(seconds) }) : t("voice.word");
}

/** A length of time, as 0:42 or 1:02:03. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
