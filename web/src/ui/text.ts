/** What is read out of texts and names: links, lone emoji, initials, marks. Never HTML: all of it is shown as text. */

export type Piece = { text: string; href?: string; mark?: boolean };

const LINK = /https?:\/\/[^\s<>"«»]+/gi;
/** What ends a sentence is not the link's. */
const TAIL = /[.,;:!?)\]}'’]+$/;

/** Splits a text at its web links. Only http and https become links, and the reader sees the whole address. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const tail = TAIL.exec(match[0])?.[0].length ?? 0;
    const link = match[0].slice(0, match[0].length - tail);
    const url = URL.canParse(link) ? new URL(link) : undefined;
    if (!url) continue;
    // A name before the host makes another host look like this one.
    if (url.username !== "" || url.password !== "") continue;
    if (match.index > end) found.push({ text: text.slice(end, match.index) });
    found.push({ text: shown(link, url), href: url.href });
    end = match.index + link.length;
  }
  if (end < text.length) found.push({ text: text.slice(end) });
  return found;
}

/** The host as it really is: letters that only look Latin show as punycode. */
function shown(link: string, url: URL): string {
  const written = link.replace(/^https?:\/\//i, "").split(/[/?#:]/)[0] ?? "";
  return written.toLowerCase() === url.hostname ? link : url.href;
}

/** A grapheme that is shown as emoji. \p{RGI_Emoji} would be exact, and takes half a second to compile. */
const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Emoji}\ufe0f|\p{Regional_Indicator}{2})/u;
const graphemes = new Intl.Segmenter();

/** One to three emoji and nothing else (design §5). */
export function loneEmoji(text: string): boolean {
  if (text.length > 60 || !/^\P{ASCII}/u.test(text)) return false;
  const letters = [...graphemes.segment(text.replace(/\s+/g, ""))];
  return letters.length <= 3 && letters.every(({ segment }) => EMOJI.test(segment));
}

/** As names and numbers are compared while one is typed: without case, accents and spaces. */
export function plain(text: string): string {
  return text
    .normalize("NFD")
    .replace(/\p{M}|\s/gu, "")
    .toLowerCase();
}

/** One or two letters for the avatar; none for a bare number. */
export function initials(name: string): string {
  const words = name
    .trim()
    .split(/\s+/)
    .filter((word) => /^\p{L}/u.test(word));
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => word?.match(/^\p{L}/u)?.[0].toLocaleUpperCase() ?? "").join("");
}

/** One of the eight hues, the same for a number everywhere. */
export function hue(id: string): number {
  let hash = 0;
  for (let at = 0; at < id.length; at++) hash = (hash * 31 + id.charCodeAt(at)) >>> 0;
  return (hash % 8) + 1;
}

const fold = (text: string): string => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** Marks where a word of the text begins with a word of the query, accents and case aside. */
export function marked(text: string, query: string): Piece[] {
  const words = fold(query).split(/\s+/).filter(Boolean);
  const found: Piece[] = [];
  for (const part of text.split(/(?<=\P{L})(?=\p{L})|(?<=[^\p{L}\p{N}])(?=\p{N})/u)) {
    const word = words.find((wanted) => fold(part).startsWith(wanted));
    // Folding keeps the number of base letters; combining marks of the text stay with theirs.
    const length = word === undefined ? 0 : spanOf(part, word.length);
    if (length > 0) found.push({ text: part.slice(0, length), mark: true });
    if (length < part.length) found.push({ text: part.slice(length) });
  }
  return found;
}

function spanOf(part: string, letters: number): number {
  let end = 0;
  for (const letter of part) {
    if (fold(part.slice(0, end)).length >= letters && !/\p{M}/u.test(letter)) break;
    end += letter.length;
  }
  return end;
}

/** Cuts a long text so that its first match is seen. */
export function excerpt(text: string, query: string): string {
  const at = fold(text).search(
    fold(query)
      .split(/\s+/)[0]
      ?.replace(/[^\p{L}\p{N}]/gu, ".") || "$",
  );
  return at > 30 ? `…${text.slice(at - 20)}` : text;
}
