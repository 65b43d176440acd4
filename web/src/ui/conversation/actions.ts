/** What may be done with a message: one list for the menu, however it is opened. What can't be done is absent. */

import type { Conversation, Message } from "../../client/model";
import { createContext } from "svelte";
import { inShort } from "../../i18n/said";
import type { App, MenuItem } from "../context.svelte";
import { save } from "../files";
import { placeText } from "../places";

export const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"] as const;

export interface Hooks {
  reply(message: Message): void;
  edit(message: Message): void;
}

/** The hooks of the conversation that a component stands in. */
export const [useHooks, setHooks] = createContext<Hooks>();

/** Opens the menu of a message, at an element or a point. */
export function openMenu(
  app: App,
  conversation: Conversation,
  message: Message,
  hooks: Hooks,
  at: Element | { x: number; y: number },
): void {
  app.menu = {
    label: app.t("msg.actions"),
    at,
    items: messageActions(app, conversation, message, hooks),
    ...(canAnswer(conversation, message) ? { reactTo: message } : {}),
  };
}

/** The keys of a message that has the focus (design §12). `letters`: single letters do something. */
export function messageKeys(
  event: KeyboardEvent,
  app: App,
  conversation: Conversation,
  message: Message,
  hooks: Hooks,
  letters: boolean,
): void {
  const element = event.currentTarget as Element;
  if (event.target !== element || event.ctrlKey || event.metaKey || event.altKey) return;
  const answer = letters && canAnswer(conversation, message);
  if (event.key === "Enter") openMenu(app, conversation, message, hooks, element);
  else if (event.key === "r" && answer) hooks.reply(message);
  else if (event.key === "e" && answer) openReactions(app, message, element);
  else return;
  event.preventDefault();
}

export function openReactions(app: App, message: Message, at: Element): void {
  app.menu = { label: app.t("msg.react"), at, items: [], reactTo: message };
}

export function messageActions(app: App, conversation: Conversation, message: Message, hooks: Hooks): MenuItem[] {
  const { client, t } = app;
  const { id } = conversation;
  const items: (MenuItem | false)[] = [
    message.can.retry && {
      label: t("msg.retry"),
      icon: "retry",
      run: () => app.run(client.retry(id, message.id)),
    },
    message.can.cancelSending && {
      label: t("msg.cancel"),
      icon: "close",
      run: () => app.run(client.cancelSending(id, message.id)),
    },
    canAnswer(conversation, message) && { label: t("msg.reply"), icon: "reply", run: () => hooks.reply(message) },
    (message.file?.state === "here" || message.file?.state === "there") && {
      label: t("common.save"),
      icon: "download",
      run: () => save(app, message),
    },
    (message.kind === "text" || canBeForwarded(message)) && {
      label: t("msg.forward"),
      icon: "forward",
      run: () => {
        app.ask({ kind: "forward", message });
      },
    },
    copied(app, message) !== "" && {
      label: t("msg.copy"),
      icon: "copy",
      run: () => copy(app, copied(app, message)),
    },
    {
      label: t("msg.info"),
      icon: "info",
      run: () => {
        app.ask({ kind: "info", message, name: conversation.name });
      },
    },
    message.can.edit && { label: t("msg.edit"), icon: "edit", run: () => hooks.edit(message) },
    {
      label: t("msg.delete"),
      icon: "trash",
      danger: true,
      apart: true,
      run: () => app.undoable(t("undo.message"), client.deleteForMe(id, message.id)),
    },
    message.can.deleteForEveryone && {
      label: t("msg.delete.all"),
      icon: "trash",
      danger: true,
      run: () => {
        app.ask({
          kind: "confirm",
          title: t("confirm.delete.all"),
          text: t("confirm.delete.all.text"),
          verb: t("msg.delete.all"),
          icon: "trash",
          run: () => app.run(client.deleteForEveryone(id, message.id)),
        });
      },
    },
  ];
  return items.filter((item) => item !== false);
}

/** To reply or react there must be a message, and somebody to send it to. */
export function canAnswer(conversation: Conversation, message: Message): boolean {
  return (
    ["text", "file", "location"].includes(message.kind) && !conversation.blocked && conversation.reach !== "not-on-joyn"
  );
}

/** A file goes on by its link: it has one once it has been uploaded, for as long as it is kept. */
export function canBeForwarded({ own, file, place, state }: Message): boolean {
  // RFC 4119 §2.2.2: where somebody else is is not ours to tell.
  if (place !== undefined) return own && place.until > Date.now();
  return file !== undefined && file.until > Date.now() && !["pending", "failed"].includes(state);
}

/** A message in words, where it cannot be shown: for a list, or aloud. */
export function wordsFor(
  message: Pick<Message, "kind" | "text"> & { file?: { picture: boolean; seconds?: number } },
  t: App["t"],
): string {
  const { kind, text, file } = message;
  const seconds = file?.seconds;
  if (kind === "text") return text;
  if (kind === "location" || seconds !== undefined) {
    return inShort({ kind, text, ...(seconds === undefined ? {} : { seconds }) }, t);
  }
  if (kind === "file") return t(file?.picture ? "file.photo" : "file.file", { name: text });
  return t(kind === "deleted" ? "conv.deleted" : "conv.unsupported");
}

/** What Copy takes; a place only for as long as it holds. */
function copied({ language, t }: App, { kind, text, place }: Message): string {
  if (kind === "text") return text;
  if (place === undefined || place.until <= Date.now()) return "";
  return [place.label, placeText(place, language, t)].filter(Boolean).join("\n");
}

export function copy(app: App, text: string): void {
  app.run(navigator.clipboard.writeText(text).then(() => app.notice(app.t("common.copied"))));
}
