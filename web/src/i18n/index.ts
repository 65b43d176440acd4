/** The words of the interface: ICU messages in catalogues, compiled by the build (vite.config.ts), shown by Lingui. */

import { type Messages, setupI18n } from "@lingui/core";
import type en from "./en";

export type Key = keyof typeof en;
export type Values = Record<string, string | number>;

/** What there is a catalogue for, each in its own words. */
export const LANGUAGES = { en: "English", fr: "Français" } as const;
export type Language = keyof typeof LANGUAGES;

const load: Record<Language, () => Promise<{ default: Record<Key, unknown> }>> = {
  en: () => import("./en"),
  fr: () => import("./fr"),
};

const i18n = setupI18n();

/** The catalogue for what the person or their browser asks for: the first there is, else English. */
export function choose(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const base = tag.toLowerCase().split("-")[0] ?? "";
    if (base in LANGUAGES) return base as Language;
  }
  return "en";
}

/** Fetches a catalogue and shows it from now on. */
export async function speak(language: Language): Promise<void> {
  const { default: messages } = await load[language]();
  i18n.loadAndActivate({ locale: language, messages: messages as Messages });
}

export function say(key: Key, values?: Values): string {
  return i18n._(key, values);
}
