/** Numbers as people of the operator's country write them. The metadata is large, so it is loaded when it is needed. */

import type { CountryCode } from "libphonenumber-js/min";
import { once } from "./environment";
import type { Aor } from "./model";

type Library = Pick<typeof import("libphonenumber-js/min"), "parsePhoneNumberFromString">;

export class Numbers {
  /** It can write numbers better now than before. */
  onReady: () => void = () => {};
  country: string;
  /** Fetches what it needs. Rejects when that cannot be had now. */
  readonly load = once(async () => {
    this.#library = await import("libphonenumber-js/min");
    this.onReady();
  });
  #library: Library | undefined;

  constructor(country: string) {
    this.country = country;
  }

  /** Reads a number; undefined when it is none. Before the library is there only international ones are. */
  read(text: string): { id: Aor; number: string } | undefined {
    if (text.length > 40 || !/^[+0-9\s().\-/\u202f\u00a0]+$/.test(text.trim())) return undefined;
    const found = this.#library?.parsePhoneNumberFromString(text, this.country as CountryCode);
    if (this.#library !== undefined) {
      if (!found?.isPossible()) return undefined;
      const id = `tel:${found.number}`;
      return { id, number: this.write(id) };
    }
    const digits = text.replace(/[^+0-9]/g, "").replace(/^00/, "+");
    return /^\+[1-9][0-9]{6,14}$/.test(digits) ? { id: `tel:${digits}`, number: digits } : undefined;
  }

  /** An address as it is shown: national at home, international abroad. */
  write(id: Aor): string {
    const bare = id.replace(/^(?:tel|sips?):/, "");
    if (!id.startsWith("tel:+")) return bare;
    const found = this.#library?.parsePhoneNumberFromString(bare);
    if (found === undefined) return bare;
    return found.country === this.country ? found.formatNational() : found.formatInternational();
  }
}
