/** The stage of `make demo`: two clients side by side, each on a host of its own, and the operator's SMS outbox. */

interface Phone {
  name: string;
  number: string;
  url: string;
}

interface Text {
  id: number;
  to: string;
  text: string;
  at: number;
}

interface Stage {
  phones: Phone[];
  friends: { name: string; number: string; what: string }[];
  texts: Text[];
}

/** Milliseconds between two looks at the outbox. */
const LOOK = 1000;

function element<T extends Element>(selector: string, root: ParentNode = document): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`no ${selector} on the page`);
  return found;
}

function frame(phone: Phone): Node {
  const copy = element<HTMLTemplateElement>("#phone").content.cloneNode(true) as DocumentFragment;
  element("strong", copy).textContent = phone.name;
  const number = element<HTMLButtonElement>(".number", copy);
  number.textContent = phone.number;
  number.title = "Copy the number";
  number.addEventListener("click", () => void navigator.clipboard?.writeText(phone.number));
  element<HTMLAnchorElement>("a", copy).href = phone.url;
  const inside = element<HTMLIFrameElement>("iframe", copy);
  inside.title = phone.name;
  inside.src = phone.url;
  return copy;
}

function row(text: Text): HTMLLIElement {
  const item = document.createElement("li");
  const to = document.createElement("span");
  to.textContent = `To ${text.to} · ${new Date(text.at * 1000).toLocaleTimeString()}`;
  const body = document.createElement("p");
  // The code is what the reader looks for.
  for (const part of text.text.split(/\b(\d{6})\b/)) {
    const piece = /^\d{6}$/.test(part) ? document.createElement("strong") : document.createElement("span");
    piece.textContent = part;
    body.append(piece);
  }
  item.append(to, body);
  return item;
}

let newest = -1;

async function look(first: boolean): Promise<void> {
  const answer = await fetch("/demo/stage.json", { cache: "no-store" });
  if (!answer.ok) return;
  const stage = (await answer.json()) as Stage;
  if (first) {
    element("#phones").append(...stage.phones.map(frame));
    element("#friends").append(
      ...stage.friends.map((friend) => {
        const item = document.createElement("li");
        item.textContent = `${friend.name}, ${friend.number}: ${friend.what}`;
        return item;
      }),
    );
  }
  const texts = element("#texts");
  for (const text of stage.texts.filter((one) => one.id > newest)) {
    newest = text.id;
    texts.prepend(row(text));
  }
  element<HTMLElement>("#texts-none").hidden = texts.childElementCount > 0;
}

async function watch(): Promise<void> {
  for (let first = true; ; first = false) {
    // While the node restarts there is nothing to see; the next look may find it again.
    await look(first).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

void watch();
