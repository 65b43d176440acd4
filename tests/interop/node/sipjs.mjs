// sip.js: registers, sends what it is told to send, tells what comes.
import { account, load, obey, tell } from "./program.mjs";

const { Messager, Registerer, RegistererState, UserAgent } = await load("sip.js");
const agent = new UserAgent({
  uri: UserAgent.makeURI(account.uri),
  transportOptions: { server: account.url },
  authorizationUsername: account.username,
  authorizationPassword: account.password,
  logBuiltinEnabled: false,
  delegate: {
    onMessage: async (message) => {
      await message.accept();
      const { from, body } = message.request;
      tell("message", { from: from.uri.user, type: message.request.getHeader("content-type"), body });
    },
  },
});
const registerer = new Registerer(agent, { expires: 600 });
registerer.stateChange.addListener((state) => {
  if (state === RegistererState.Registered) tell("registered");
  if (state === RegistererState.Unregistered) tell("unregistered");
});

obey({
  send: ({ to, type, body }) =>
    new Messager(agent, UserAgent.makeURI(to), body, type).message({
      requestDelegate: {
        onAccept: ({ message }) => tell("answer", message.statusCode),
        onReject: ({ message }) => tell("answer", message.statusCode),
      },
    }),
  unregister: () => registerer.unregister(),
});
await agent.start();
await registerer.register({ requestDelegate: { onReject: ({ message }) => tell("refused", message.statusCode) } });
