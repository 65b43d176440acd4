/** Places as people write them and as they are drawn: to scale, and without asking anybody for a map. */

import type { Place } from "../client/model";
import type { Key, Values } from "../i18n/index";

type Say = (key: Key, values?: Values) => string;
type Point = Pick<Place, "latitude" | "longitude">;

/** Digits after the point: a metre. */
const DIGITS = 5;
/** Radius in pixels with which what is known so well is drawn; and metres of what is drawn no smaller. */
const DRAWN = 34;
const SMALLEST = 8;
/** Pixels between two lines, at least. */
const APART = 36;

/** 48.10350° N, 1.67250° W. */
export function placeText({ latitude, longitude }: Point, language: string, t: Say): string {
  const number = new Intl.NumberFormat(language, { minimumFractionDigits: DIGITS, maximumFractionDigits: DIGITS });
  const degrees = (value: number): Values => ({ degrees: number.format(Math.abs(value)) });
  const north = t(latitude < 0 ? "place.south" : "place.north", degrees(latitude));
  const east = t(longitude < 0 ? "place.west" : "place.east", degrees(longitude));
  // A comma between numbers with commas is none.
  return `${north} · ${east}`;
}

/** Metres up to a kilometre, then kilometres. */
export function distance(metres: number, language: string): string {
  const far = metres >= 1000;
  const options = { style: "unit", unit: far ? "kilometer" : "meter", maximumFractionDigits: far ? 1 : 0 } as const;
  return new Intl.NumberFormat(language, options).format(far ? Math.ceil(metres / 100) / 10 : Math.ceil(metres));
}

/** How a place is drawn: pixels of its circle, pixels from line to line, and the metres between them. */
export function scaleOf(radius: number): { circle: number; step: number; metres: number } {
  const perMetre = DRAWN / Math.max(radius, SMALLEST);
  const least = APART / perMetre;
  const power = 10 ** Math.floor(Math.log10(least));
  const metres = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= least) ?? 10 * power;
  return { circle: radius * perMetre, step: metres * perMetre, metres };
}

/** A map of the place, for whoever presses it. */
export function mapLink({ latitude, longitude, radius }: Place): string {
  const zoom = Math.max(4, Math.min(18, Math.round(25 - Math.log2(Math.max(radius, 100)))));
  const at = [latitude, longitude].map((value) => value.toFixed(DIGITS));
  return `https://www.openstreetmap.org/?mlat=${at[0]}&mlon=${at[1]}#map=${zoom}/${at.join("/")}`;
}
