// JsSIP: registers, sends what it is told to send, tells what comes.
import { account, load, obey, tell } from "./program.mjs";

const { default: JsSIP } = await load("jssip");
const ua = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(account.url)],
  uri: account.uri,
  authorization_user: account.username,
  password: account.password,
  register_expires: 600,
});

ua.on("registered", () => tell("registered"));
ua.on("unregistered", () => tell("unregistered"));
ua.on("registrationFailed", ({ response, cause }) => tell("refused", response?.status_code ?? cause));
ua.on("newMessage", ({ originator, request }) => {
  if (originator === "remote") {
    tell("message", { from: request.from.uri.user, type: request.getHeader("content-type"), body: request.body });
  }
});

obey({
  send: ({ to, type, body }) =>
    ua.sendMessage(to, body, {
      contentType: type,
      eventHandlers: {
        succeeded: ({ response }) => tell("answer", response.status_code),
        failed: ({ response, cause }) => tell("answer", response?.status_code ?? cause),
      },
    }),
  unregister: () => ua.unregister(),
});
ua.start();
