/** What is done with files of a conversation, wherever their buttons stand. */

import type { Client, Message, Moving, SharedFile } from "../client/model";
import type { Key } from "../i18n/index";
import type { App } from "./context.svelte";
import { fileSize, moved, timeLeft } from "./format";

/** Names that computers run or render with the rights of whoever opens them (design §7: they warn). */
const DANGEROUS =
  /\.(?:apk|app|appimage|bat|cmd|com|cpl|deb|dmg|exe|hta|html?|iso|jar|js|jse|lnk|msi|pif|pkg|ps1|rpm|scr|sh|svg|vbe?|vbs|wsf|xhtml|xll)$/i;

export function dangerous(name: string): boolean {
  return DANGEROUS.test(name.trim());
}

/** What stands on a file's tile: PDF. */
export function extensionOf({ name, type }: Pick<SharedFile, "name" | "type">): string {
  const found = /\.([\p{L}\p{N}]{1,4})$/u.exec(name)?.[1] ?? /\/([a-z0-9]{1,4})$/.exec(type)?.[1] ?? "";
  return found.toUpperCase();
}

/** A name in two parts, of which the first may be cut: the extension and a little before it stay. */
export function halves(name: string): [string, string] {
  const letters = [...name];
  const keep = Math.min(letters.length, Math.max(8, (/\.[^.]{1,5}$/.exec(name)?.[0].length ?? 0) + 4));
  return [letters.slice(0, -keep).join(""), letters.slice(-keep).join("")];
}

/** What is said of a file's transfer, and what its one button does. */
export interface Transfer {
  line: string;
  /** How much comes in a second, where there is room for it. */
  rate: string;
  action?: { word: Key; icon: string; run: () => void };
}

/** Design §7, the states of a card, in words. */
export function transferOf(app: App, message: Message, file: SharedFile, now: Moving | undefined): Transfer {
  const action = actionOf(app, message, file, now);
  const rate = now && !now.phase && now.rate > 0 ? app.t("file.rate", { size: fileSize(now.rate, app.language) }) : "";
  return { line: lineOf(app, message, file, now), rate, ...(action === undefined ? {} : { action }) };
}

function lineOf({ t, language }: App, { own }: Message, file: SharedFile, now: Moving | undefined): string {
  const size = fileSize(file.size, language);
  const { state, at = 0 } = file;
  if (now) return movingLine(now, t, language);
  if (state === "waiting") {
    return at > 0 ? t("file.stopped", { at: fileSize(at, language) }) : t("file.waiting", { size });
  }
  if (state === "paused" || (state === "there" && at > 0)) {
    const far = at > 0 ? moved({ bytes: at, of: file.size, rate: 0 }, language, t) : size;
    return t(file.broken ? "file.broken.at" : "file.paused", { size: far });
  }
  if (state === "there" && file.broken) return t("file.broken");
  if (state === "gone") return t("file.gone");
  return state === "here" && !own ? t("file.here", { size }) : size;
}

function movingLine(now: Moving, t: App["t"], language: App["language"]): string {
  if (now.phase === "queued") return t("file.waiting", { size: fileSize(now.of, language) });
  if (now.phase === "stopped") return t("file.stopped", { at: fileSize(now.bytes, language) });
  if (now.phase === "resuming") return t("file.resuming");
  return [moved(now, language, t), timeLeft(now, t)].filter(Boolean).join(" · ");
}

function actionOf(app: App, message: Message, file: SharedFile, now: Moving | undefined): Transfer["action"] {
  const { client } = app;
  const { conversation, id } = message;
  const pause = (paused: boolean) => () => app.run(client.pauseFile(conversation, id, paused));
  const fetch = () => app.run(client.fetchFile(conversation, id));
  if (now || file.state === "waiting") return { word: "file.pause", icon: "pause", run: pause(true) };
  if (file.state === "paused") return { word: "file.resume", icon: "play", run: pause(false) };
  if (file.state === "there") {
    if (file.broken) return { word: "file.retry", icon: "retry", run: fetch };
    return (file.at ?? 0) > 0
      ? { word: "file.resume", icon: "play", run: fetch }
      : { word: "file.fetch", icon: "download", run: fetch };
  }
  if (file.state === "here") return { word: "file.save", icon: "download", run: () => save(app, message) };
  return undefined;
}

/** All of a file, once it is on this device. */
export function wholeOf(client: Client, message: Message): Promise<Blob> {
  return new Promise((resolve) => {
    let stop: (() => void) | undefined;
    let found = false;
    stop = client.content(message.conversation, message.id).subscribe(({ whole }) => {
      if (whole === undefined || found) return;
      found = true;
      stop?.();
      resolve(whole);
    });
    if (found) stop();
  });
}

/** Puts it where the browser puts downloads; what may do harm only when the person still wants it. */
export function save(app: App, message: Message): void {
  const { t } = app;
  const name = message.file?.name || "file";
  if (message.own || !dangerous(name)) {
    app.run(write(app, message, name));
    return;
  }
  app.ask({
    kind: "confirm",
    title: t("file.danger.title", { name }),
    text: t("file.danger.text"),
    verb: t("common.save"),
    icon: "warn",
    run: () => app.run(write(app, message, name)),
  });
}

async function write({ client }: App, message: Message, name: string): Promise<void> {
  if (message.file?.state === "there") await client.fetchFile(message.conversation, message.id);
  const blob = await wholeOf(client, message);
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after the click has returned.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
