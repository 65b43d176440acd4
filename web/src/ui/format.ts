/** Times as people write them, by Intl; the formatters are kept, for making one is slow. */

import type { Moving } from "../client/model";
import type { Key, Values } from "../i18n/index";

type Say = (key: Key, values?: Values) => string;

const kept = new Map<string, Intl.DateTimeFormat>();

function format(language: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = language + JSON.stringify(options);
  let found = kept.get(key);
  if (!found) {
    // The words are of the interface's language, the order of day and hour of the browser's region.
    const locale = navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
    found = new Intl.DateTimeFormat(locale === "en" ? "en-GB" : locale, options);
    kept.set(key, found);
  }
  return found;
}

/** The calendar day in the person's own zone, as a number that sorts. */
export function day(at: number): number {
  const date = new Date(at);
  return date.getFullYear() * 10000 + date.getMonth() * 100 + date.getDate();
}

function daysAgo(at: number, now: number): number {
  const midnight = (time: number) => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(now) - midnight(at)) / 86_400_000);
}

export function hour(at: number, language: string): string {
  return format(language, { hour: "2-digit", minute: "2-digit" }).format(at);
}

export function dateAndHour(at: number, language: string): string {
  return format(language, { dateStyle: "medium", timeStyle: "short" }).format(at);
}

/** A short date for lists: the hour today, Yesterday, the weekday within a week, else the date. */
export function short(at: number, language: string, yesterday: string, now = Date.now()): string {
  const ago = daysAgo(at, now);
  if (ago <= 0) return hour(at, language);
  if (ago === 1) return yesterday;
  if (ago < 7) return format(language, { weekday: "short" }).format(at);
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return format(language, { day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) }).format(at);
}

/** A day as heading. */
export function longDay(
  at: number,
  language: string,
  names: { today: string; yesterday: string },
  now = Date.now(),
): string {
  const ago = daysAgo(at, now);
  if (ago === 0) return names.today;
  if (ago === 1) return names.yesterday;
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  const options: Intl.DateTimeFormatOptions = { weekday: "long", day: "numeric", month: "long" };
  const text = format(language, sameYear ? options : { ...options, year: "numeric" }).format(at);
  return text.charAt(0).toLocaleUpperCase(language) + text.slice(1);
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"];

/** The unit in which people say a size, and its bytes. */
function unitOf(bytes: number): [unit: string, bytes: number] {
  const step = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes * 1.024)) / 10)));
  return [UNITS[step] as string, 1024 ** step];
}

/** A size, as 82.4 MB. Of 1024 each, as operators say their limits. */
export function fileSize(bytes: number, language: string): string {
  const [unit, by] = unitOf(bytes);
  const value = bytes / by;
  const maximumFractionDigits = by === 1 || value >= 100 ? 0 : 1;
  const options = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits } as const;
  return new Intl.NumberFormat(language, options).format(value);
}

/** How far a transfer is, as 52 of 82.4 MB. */
export function moved({ bytes, of }: Moving, language: string, t: Say): string {
  const [, by] = unitOf(of);
  const value = bytes / by;
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: by === 1 || value >= 10 ? 0 : 1 });
  return t("file.moving", { moved: number.format(value), size: fileSize(of, language) });
}

/** How long it still takes; empty while that is not known. */
export function timeLeft({ bytes, of, rate }: Moving, t: Say): string {
  if (rate <= 0 || bytes >= of) return "";
  const seconds = Math.ceil((of - bytes) / rate);
  if (seconds < 60) return t("file.left.seconds", { count: seconds });
  if (seconds < 3600) return t("file.left.minutes", { count: Math.ceil(seconds / 60) });
  return t("file.left.hours", { count: Math.ceil(seconds / 3600) });
}

/** Minutes and seconds to wait, as 0:24. */
export function countdown(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
