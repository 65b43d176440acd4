/** What may be done with a conversation: the menu of a row, and of the conversation's own header. */

import { type Conversation, MAX_PINNED } from "../../client/model";
import type { App, MenuItem } from "../context.svelte";

const HOUR = 3_600_000;

export function conversationActions(app: App, conversation: Conversation, inside = false): MenuItem[] {
  const { id, archived } = conversation;
  const { client, t } = app;
  const unread = conversation.unread > 0 || conversation.markedUnread;
  return [
    ...pinActions(app, conversation),
    ...muteActions(app, conversation),
    ...(inside
      ? []
      : [
          {
            label: t(unread ? "menu.read" : "menu.unread"),
            icon: "chats",
            run: () => app.run(unread ? client.markRead(id) : client.markUnread(id)),
          },
        ]),
    {
      label: t(archived ? "menu.unarchive" : "menu.archive"),
      icon: "download",
      run: () => {
        leave(app, conversation);
        app.undoable(t(archived ? "undo.unarchived" : "undo.archived"), client.archive(id, !archived));
      },
    },
    {
      label: t(conversation.blocked ? "menu.unblock" : "menu.block"),
      icon: "block",
      apart: true,
      danger: !conversation.blocked,
      run: () => (conversation.blocked ? app.run(client.block(id, false)) : block(app, conversation)),
    },
    {
      label: t("menu.delete"),
      icon: "trash",
      danger: true,
      run: () => {
        leave(app, conversation);
        app.undoable(t("undo.deleted"), client.deleteConversation(id));
      },
    },
  ];
}

function leave(app: App, { id }: Conversation): void {
  if (app.route.at === "conversation" && app.route.id === id) app.go("/", true);
}

function pinActions(app: App, { id, pinned }: Conversation): MenuItem[] {
  const { client, t } = app;
  if (pinned === undefined) {
    return [{ label: t("menu.pin"), icon: "pin", run: () => app.run(pin(app, id)) }];
  }
  const moves: MenuItem[] = [
    { label: t("menu.pin.down"), icon: "down", run: () => app.run(client.movePin(id, pinned + 1)) },
  ];
  if (pinned > 0)
    moves.unshift({ label: t("menu.pin.up"), icon: "back", run: () => app.run(client.movePin(id, pinned - 1)) });
  return [{ label: t("menu.unpin"), icon: "pin", run: () => app.run(client.pin(id, false)) }, ...moves];
}

async function pin(app: App, id: string): Promise<void> {
  let full = false;
  // A store tells its value at once.
  app.client.conversations.subscribe((all) => {
    full = all.filter(({ pinned }) => pinned !== undefined).length >= MAX_PINNED;
  })();
  if (full) app.notice(app.t("menu.pin.full"));
  else await app.client.pin(id, true);
}

function muteActions(app: App, { id, mutedUntil }: Conversation): MenuItem[] {
  const { client, t } = app;
  const mute = (until: number) => () => app.run(client.mute(id, until));
  if (mutedUntil > Date.now()) return [{ label: t("menu.unmute"), icon: "bell", run: mute(0) }];
  return [
    { label: t("menu.mute.8h"), icon: "muted", run: mute(Date.now() + 8 * HOUR) },
    { label: t("menu.mute.week"), icon: "muted", run: mute(Date.now() + 7 * 24 * HOUR) },
    { label: t("menu.mute.always"), icon: "muted", run: mute(Number.POSITIVE_INFINITY) },
  ];
}

export function block(app: App, { id, name }: Conversation): void {
  const { client, t } = app;
  app.ask({
    kind: "confirm",
    title: t("confirm.block", { name }),
    text: t("confirm.block.text"),
    verb: t("menu.block"),
    icon: "block",
    run: () =>
      app.undoable(
        t("undo.blocked", { name }),
        client.block(id, true).then(() => () => client.block(id, false)),
      ),
  });
}

export function report(app: App, { id }: Conversation): void {
  app.run(app.client.report(id).then(() => app.notice(app.t("report.done"))));
}
