/** What may be done with a message: one list for the menu, however it is opened. What can't be done is absent. */

import type { Conversation, Message } from "../../client/model";
import type { App, MenuItem } from "../context.svelte";

export const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"] as const;

export interface Hooks {
  reply(message: Message): void;
  edit(message: Message): void;
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
    message.kind === "text" && {
      label: t("msg.forward"),
      icon: "forward",
      run: () => {
        app.ask({ kind: "forward", message });
      },
    },
    message.kind === "text" && { label: t("msg.copy"), icon: "copy", run: () => copy(app, message.text) },
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
  return message.kind === "text" && !conversation.blocked && conversation.reach !== "not-on-joyn";
}

export function copy(app: App, text: string): void {
  app.run(navigator.clipboard.writeText(text).then(() => app.notice(app.t("common.copied"))));
}
