/** Puts the interface over a client on the page, with the words there before anything is shown. */

import "./tokens.css";
import "./base.css";
import { mount } from "svelte";
import type { Client } from "../client/model";
import AppView from "./App.svelte";
import { App } from "./context.svelte";

export async function start(client: Client): Promise<App> {
  const app = new App(client);
  let language = "";
  client.settings.subscribe((settings) => {
    language = settings.language;
  })();
  await app.speak(language);
  const target = document.getElementById("app");
  if (!target) throw new Error("the page has no #app");
  mount(AppView, { target, props: { app } });
  return app;
}
