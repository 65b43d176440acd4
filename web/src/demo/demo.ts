/** The stage of `make demo`: two clients side by side, each on a host of its own, and the operator's SMS outbox. */

/** Whose somebody is: both are empty when there is one operator alone. */
interface Belonging {
  operator: string;
  theme: string;
}

interface Phone extends Belonging {
  name: string;
  number: string;
  url: string;
}

interface Friend extends Belonging {
  name: string;
  number: string;
}

interface Text {
  id: string;
  to: string;
  text: string;
  at: number;
}

interface Stage {
  phones: Phone[];
  friends: Friend[];
  texts: Text[];
}

/** Milliseconds between two looks at the outbox. */
const LOOK = 1000;
const TWO =
  "Two operators on this machine, interconnected by the files they exchanged. Sign in on both phones with the codes in the text messages, and write across the border.";
const ONE =
  "Two phones of one operator, on this machine. Sign in on each with its number, read the code in the text messages, and write to yourself.";

function element<T extends Element>(selector: string, root: ParentNode = document): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`no ${selector} on the page`);
  return found;
}

/** The operator's name in its own colours. */
function wear(chip: HTMLElement, { operator, theme }: Belonging): void {
  chip.textContent = operator;
  chip.dataset.operator = theme;
}

function frame(phone: Phone): Node {
  const copy = element<HTMLTemplateElement>("#phone").content.cloneNode(true) as DocumentFragment;
  wear(element(".operator", copy), phone);
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

function person(friend: Friend): HTMLLIElement {
  const item = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = `${friend.name}, ${friend.number}`;
  const chip = document.createElement("span");
  chip.className = "operator";
  wear(chip, friend);
  item.append(name, " ", chip, document.createElement("br"), "A scripted phone that answers whoever writes.");
  return item;
}

const shown = new Set<string>();

async function look(first: boolean): Promise<void> {
  const answer = await fetch("/demo/stage.json", { cache: "no-store" });
  if (!answer.ok) return;
  const stage = (await answer.json()) as Stage;
  if (first) {
    element("#about").textContent = stage.phones.some((phone) => phone.operator) ? TWO : ONE;
    element("#phones").append(...stage.phones.map(frame));
    element("#friends").append(...stage.friends.map(person));
  }
  const texts = element("#texts");
  for (const text of stage.texts.filter((one) => !shown.has(one.id))) {
    shown.add(text.id);
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
