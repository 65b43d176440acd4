/** What is done with files of a conversation, wherever their buttons stand. */

import type { Client, Message, SharedFile } from "../client/model";
import type { App } from "./context.svelte";

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
  const blob = await wholeOf(client, message);
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after the click has returned.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
