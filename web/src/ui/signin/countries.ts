/** Countries whose numbers are read without a prefix, with their calling codes (ITU-T E.164). */

// Packed, since one line for each would be forty lines of nothing to read.
// prettier-ignore
export const CALLING: Readonly<Record<string, number>> = {
  AT: 43, AU: 61, BE: 32, BG: 359, BR: 55, CA: 1, CH: 41, CY: 357, CZ: 420, DE: 49, DK: 45, DZ: 213, EE: 372, ES: 34,
  FI: 358, FR: 33, GB: 44, GP: 590, GF: 594, GR: 30, HR: 385, HU: 36, IE: 353, IN: 91, IS: 354, IT: 39, JP: 81, KR: 82,
  LI: 423, LT: 370, LU: 352, LV: 371, MA: 212, MC: 377, MQ: 596, MT: 356, MX: 52, NC: 687, NL: 31, NO: 47, PF: 689,
  PL: 48, PT: 351, RE: 262, RO: 40, SE: 46, SI: 386, SK: 421, SN: 221, TN: 216, TR: 90, UA: 380, US: 1, YT: 262,
};

/** The country a number names with its prefix; of several with the same code `preferred`, if it is one of them. */
export function countryOf(number: string, preferred: string): string | undefined {
  const digits = /^\s*(?:\+|00)([0-9\s]*)/.exec(number)?.[1]?.replace(/\s/g, "") ?? "";
  const found = Object.keys(CALLING).filter((country) => digits.startsWith(String(CALLING[country])));
  return found.includes(preferred) ? preferred : found[0];
}

/** The country of the browser's region, else of its language, else France. */
export function homeCountry(): string {
  for (const tag of navigator.languages) {
    const region = new Intl.Locale(tag).region;
    if (region && region in CALLING) return region;
  }
  for (const tag of navigator.languages) {
    const region = new Intl.Locale(tag).maximize().region;
    if (region && region in CALLING) return region;
  }
  return "FR";
}
