/** Made-up people and messages for the scripted client. The numbers are of France's range for fiction. */

import type {
  Contact,
  Conversation,
  Device,
  Message,
  Moving,
  Place,
  Settings,
  SharedFile,
  Stored,
} from "../client/model";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** An hour of today, or of some days ago. */
export function at(hours: number, minutes: number, daysAgo = 0): number {
  return new Date().setHours(hours, minutes, 0, 0) - daysAgo * DAY;
}

export const OWN = "tel:+33639980001";

export const people: Contact[] = [
  ["Camille Laurent", "02"],
  ["Sofia Ricci", "04"],
  ["Jonas Weber", "05"],
  ["Lucía Ortega", "06"],
  ["Ana Moreira", "07"],
  ["Léa Martin", "08"],
  ["Dr. Keller", "10"],
  ["Papa", "11"],
].map(([name = "", end = ""]) => ({ id: `tel:+336399800${end}`, name, number: `+33 6 39 98 00 ${end}` }));

export const settings: Settings = {
  theme: "system",
  textSize: "normal",
  language: "system",
  enterSends: true,
  readReceipts: true,
  typing: true,
  notifications: "full",
  singleKeys: true,
  autoDownload: "photos",
  quality: "hd",
};

export const devices: Device[] = [
  { id: "1", name: "Firefox on Linux", browser: "Firefox", system: "Linux", lastActive: Date.now(), here: true },
  {
    id: "2",
    name: "Chrome on Windows",
    browser: "Chrome",
    system: "Windows",
    lastActive: Date.now() - 2 * MINUTE,
    here: false,
  },
  { id: "3", name: "Phone", browser: "Chrome", system: "Android", lastActive: at(9, 12, 1), here: false },
];

export function conversation(name: string, more: Partial<Conversation> = {}): Conversation {
  const person = people.find((one) => one.name === name);
  return {
    id: person?.id ?? "tel:+33639980009",
    name,
    number: person?.number ?? "+33 6 39 98 00 09",
    at: more.last?.at ?? Date.now(),
    unread: 0,
    markedUnread: false,
    mutedUntil: 0,
    archived: false,
    blocked: false,
    draft: "",
    typing: false,
    reach: "unknown",
    stranger: false,
    ...more,
  };
}

function last(
  text: string,
  time: number,
  state: Message["state"] | "in" = "in",
): { last: NonNullable<Conversation["last"]> } {
  return { last: { own: state !== "in", text, at: time, state: state === "in" ? "delivered" : state, kind: "text" } };
}

export const conversations = (): Conversation[] => [
  conversation("Camille Laurent", {
    ...last("Here is the layout", at(14, 32), "delivered"),
    pinned: 0,
    typing: true,
    reach: "online",
  }),
  conversation("Jonas Weber", { ...last("Meet at the north car park?", at(14, 20)), pinned: 1, unread: 4 }),
  conversation("Sofia Ricci", { ...last("A dopo!", at(13, 58)), draft: "Ti chiamo dopo le sei, se per te va bene" }),
  conversation("Lucía Ortega", last("Perfect, see you on Thursday then", at(12, 7), "displayed")),
  conversation("Ana Moreira", last("Call me when you land", at(11, 30), "stored")),
  conversation("+33 6 39 98 00 09", {
    ...last("Hello, your A2 prints are ready", at(16, 40, 1)),
    unread: 1,
    stranger: true,
  }),
  conversation("Léa Martin", { ...last("Et un café si tu en trouves", at(18, 24, 1), "failed"), reach: "offline" }),
  conversation("Dr. Keller", {
    ...last("Thursday at 10:30 is free.", at(9, 15, 3)),
    mutedUntil: Number.POSITIVE_INFINITY,
    unread: 2,
    reach: "not-on-joyn",
  }),
  conversation("Papa", { ...last("Dimanche à midi ?", at(18, 40, 4)), archived: true }),
];

let made = 0;

export function message(conversation: string, text: string, time: number, more: Partial<Message> = {}): Message {
  made += 1;
  return {
    id: `m${made}`,
    conversation,
    own: false,
    at: time,
    kind: "text",
    text,
    state: "delivered",
    reactions: [],
    reached: more.own ? { pending: time, sent: time + 400, delivered: time + 2000 } : {},
    can: { edit: false, deleteForEveryone: false, cancelSending: false, retry: false },
    ...more,
  };
}

export function file(
  conversation: string,
  { name, size, type, state, ...rest }: Pick<SharedFile, "name" | "size" | "type" | "state"> & Partial<SharedFile>,
  time: number,
  more: Partial<Message> = {},
): Message {
  const drawn = /^image\/(jpeg|png)$/.test(type);
  const picture = drawn || type === "image/heic";
  const shared = { name, size, type, state, picture, drawn, until: Number.POSITIVE_INFINITY, ...rest };
  return message(conversation, name, time, { kind: "file", file: shared, ...more });
}

const own = (state: Message["state"], more: Partial<Message> = {}): Partial<Message> => ({
  own: true,
  state,
  can: {
    edit: state !== "failed",
    deleteForEveryone: state !== "failed" && state !== "pending",
    cancelSending: state === "stored",
    retry: state === "failed",
  },
  ...more,
});

export function messages(): Map<string, Message[]> {
  const [camille, sofia, jonas, lucia, ana, lea, keller, papa] = people.map(({ id }) => id) as string[];
  const say = (id: string | undefined, ...lines: [string, number, Partial<Message>?][]): [string, Message[]] => [
    id ?? "",
    lines.map(([text, time, more]) => message(id ?? "", text, time, more)),
  ];
  return new Map([
    say(
      camille,
      ["The photos from the coast are on the shared drive.", at(19, 2, 1)],
      [
        "Two of them will surprise you",
        at(19, 4, 1),
        {
          reactions: [
            { emoji: "😍", by: [OWN, camille ?? ""], own: true },
            { emoji: "👏", by: [camille ?? ""], own: false },
          ],
        },
      ],
      [
        "These are gorgeous. Could I print this one?",
        at(14, 26),
        own("displayed", {
          reply: { id: "m2", found: { own: false, kind: "text", text: "Two of them will surprise you" } },
        }),
      ],
      ["Of course! I'm sending you the original, the print shop will want every pixel", at(14, 27)],
      ["It is at https://photos.example/cap-frehel?size=full.", at(14, 28)],
      ["🎉", at(14, 29), own("displayed")],
      [
        "The crop is on the left",
        at(14, 31),
        own("delivered", { editedAt: at(14, 31), earlier: ["The crop is on teh left"] }),
      ],
      ["Here is the layout", at(14, 32), own("delivered")],
    ),
    say(
      jonas,
      ["Sunday looks dry", at(13, 40)],
      ["I'm in", at(13, 50), own("displayed")],
      ["The 8:10 train, then the ridge?", at(14, 14)],
      ["Bring the thermos", at(14, 15)],
      ["", at(14, 16), { kind: "deleted" }],
      ["Meet at the north car park?", at(14, 20)],
    ),
    say(sofia, ["Ci sentiamo stasera?", at(13, 50)], ["A dopo!", at(13, 58)]),
    say(lucia, ["Thursday, eight?", at(12, 1)], ["Perfect, see you on Thursday then", at(12, 7), own("displayed")]),
    say(
      ana,
      ["Boarding now", at(11, 2)],
      ["Call me when you land", at(11, 30), own("stored")],
      ["stored", at(11, 30) + 1, { kind: "note" }],
    ),
    say(
      "tel:+33639980009",
      ["Hi, it's Paolo from the print shop", at(16, 38, 1)],
      ["Hello, your A2 prints are ready", at(16, 40, 1)],
    ),
    say(
      lea,
      ["Je monte dans le train, j'arrive à 19 h 10", at(18, 5, 1), own("displayed")],
      ["Rendez-vous sous la grande horloge", at(18, 21, 1), { reactions: [{ emoji: "👍", by: [OWN], own: true }] }],
      ["Parfait ! Garde-moi une place au chaud", at(18, 23, 1), own("stored")],
      ["stored", at(18, 23, 1) + 1, { kind: "note" }],
      ["Un message en attente", at(18, 23, 1) + 2, own("pending")],
      ["Un message parti", at(18, 23, 1) + 3, own("sent")],
      ["Et un café si tu en trouves", at(18, 24, 1), own("failed", { failure: "refused" })],
      ["", at(18, 25, 1), { kind: "unsupported" }],
      ["On verra", at(18, 26, 1), own("delivered", { reply: { id: "gone" } })],
    ),
    say(
      keller,
      ["Good morning, could we move Thursday to 10:30?", at(9, 2, 3), own("delivered")],
      ["Thursday at 10:30 is free.", at(9, 15, 3)],
    ),
    say(papa, ["Dimanche à midi ?", at(18, 40, 4)]),
  ]);
}

const SVG = (sky: string, sea: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 30"><path fill="${sky}" d="M0 0h40v30H0z"/>` +
  `<circle cx="28" cy="13" r="5" fill="#fbd58a"/><path fill="${sea}" d="M0 18h40v12H0z"/></svg>`;

/** Files in every state, with what is on this device of them and what moves. */
export function files(id: string): { message: Message; content?: Blob; moving?: Moving }[] {
  const at = (minutes: number) => Date.now() - minutes * MINUTE;
  const photo = (sky: string, sea: string) => new Blob([SVG(sky, sea)], { type: "image/svg+xml" });
  const mega = (size: number) => Math.round(size * 1024 * 1024);
  const jpeg = (name: string, size: number, state: SharedFile["state"]) => ({ name, size, type: "image/jpeg", state });
  const pdf = (name: string, size: number, state: SharedFile["state"]) => ({ ...jpeg(name, size, state), type: "a/b" });
  return [
    { message: file(id, jpeg("coast.jpg", mega(2.4), "here"), at(40)), content: photo("#8ec3e6", "#3d8fa5") },
    {
      message: file(id, jpeg("evening.jpg", mega(3.1), "here"), at(30), own("displayed")),
      content: photo("#5b4a7a", "#2c2f55"),
    },
    { message: file(id, jpeg("panorama.jpg", mega(24), "there"), at(29)) },
    { message: file(id, pdf("cap-frehel-original.tif", mega(24.6), "here"), at(28)) },
    {
      message: file(
        id,
        pdf("a-very-long-name-of-minutes-that-nobody-will-read-2026-11.pdf", mega(1.2), "there"),
        at(27),
      ),
    },
    { message: file(id, pdf("last-year.zip", mega(5), "gone"), at(26)) },
    {
      message: file(id, pdf("print-layout-A2.pdf", mega(82.4), "waiting"), at(10), own("pending")),
      moving: { bytes: mega(52), of: mega(82.4), rate: mega(3.4) },
    },
    { message: file(id, pdf("waiting.pdf", mega(3), "waiting"), at(9), own("pending")) },
    { message: file(id, pdf("paused.pdf", mega(30), "paused"), at(8), own("pending")) },
    {
      message: file(id, pdf("too-large.iso", mega(143), "failed"), at(7), own("failed", { failure: "file-too-large" })),
    },
    {
      message: file(id, jpeg("going.jpg", mega(6), "waiting"), at(1), own("pending")),
      content: photo("#e9c9a3", "#b07a4a"),
      moving: { bytes: mega(1.5), of: mega(6), rate: mega(1) },
    },
  ];
}

export function place(conversation: string, where: Place, time: number, more: Partial<Message> = {}): Message {
  return message(conversation, where.label, time, { kind: "location", place: where, ...more });
}

/** A sound, so many seconds of a deep tone. */
function tone(seconds: number): Blob {
  const rate = 8000;
  const size = seconds * rate;
  const samples = Uint8Array.from({ length: size }, (_, at) => 128 + 60 * Math.sin((at * 2 * Math.PI * 220) / rate));
  const head = new DataView(new ArrayBuffer(44));
  const text = (at: number, said: string): void => {
    for (const [place, letter] of [...said].entries()) head.setUint8(at + place, letter.charCodeAt(0));
  };
  text(0, "RIFF");
  head.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, rate, true);
  head.setUint16(32, 1, true);
  head.setUint16(34, 8, true);
  text(36, "data");
  head.setUint32(40, size, true);
  return new Blob([head.buffer, samples], { type: "audio/wav" });
}

/** Voice messages in the states that they have of their own. */
export function voices(id: string): { message: Message; content?: Blob; moving?: Moving }[] {
  const at = (minutes: number) => Date.now() - minutes * MINUTE;
  const voice = (
    name: string,
    { seconds, ...facts }: { seconds: number; type?: string; state?: SharedFile["state"]; wave?: number[] },
    minutes: number,
    more: Partial<Message> = {},
  ): Message => {
    const shared = { name, size: seconds * 4000, type: "audio/wav", state: "here", ...facts } as const;
    const made = file(id, shared, at(minutes), more);
    return { ...made, ...(made.file ? { file: { ...made.file, ...facts, seconds } } : {}) };
  };
  const wave = Array.from({ length: 36 }, (_, bar) => Math.abs(Math.sin(bar * 1.7) * Math.cos(bar / 5)));
  return [
    { message: voice("theirs.wav", { seconds: 12 }, 40), content: tone(12) },
    { message: voice("ours.wav", { seconds: 42, wave }, 38, own("displayed")), content: tone(42) },
    { message: voice("later.wav", { seconds: 600, state: "there" }, 34) },
    { message: voice("phone.amr", { seconds: 7, type: "audio/amr" }, 33), content: new Blob(["#!AMR\n"]) },
    { message: voice("old.wav", { seconds: 9, state: "gone" }, 32) },
    {
      message: voice("going.wav", { seconds: 90, wave, state: "waiting" }, 1, own("pending")),
      content: tone(90),
      moving: { bytes: 90_000, of: 360_000, rate: 40_000 },
    },
  ];
}

/** Places: near and far, with and without a label, and one that is over. */
export function places(id: string): Message[] {
  const now = Date.now();
  const [rennes, until] = [{ latitude: 48.1035, longitude: -1.6725 }, now + 50 * MINUTE];
  return [
    place(id, { ...rennes, radius: 12, label: "Gare de Rennes, under the great clock", until }, now - 9 * MINUTE),
    place(id, { ...rennes, radius: 1800, label: "", until }, now - 5 * MINUTE, own("displayed")),
    place(id, { ...rennes, radius: 0, label: "North car park", until: now - MINUTE }, now - 4 * MINUTE),
    place(
      id,
      { latitude: -33.8568, longitude: 151.2153, radius: 60, label: "Sydney", until },
      now - MINUTE,
      own("sent"),
    ),
  ];
}

/** Photos as they are sent: two albums, one of them on its way with one that failed, two side by side, and a HEIC. */
export function albums(id: string): ReturnType<typeof files> {
  const mega = (size: number) => Math.round(size * 1024 * 1024);
  const colours = ["#8ec3e6 #3d8fa5", "#5b4a7a #2c2f55", "#e9c9a3 #b07a4a", "#b9d8a8 #5f8f5a", "#f0b7a4 #a5505a"];
  const one = (name: string, minutes: number, more: Partial<Message> = {}, file: Partial<SharedFile> = {}) => {
    const [sky = "", sea = ""] = (colours[name.length % colours.length] ?? "").split(" ");
    const said = { name, size: mega(2 + (name.length % 3)), type: "image/jpeg", state: "here" as const, ...file };
    const content = new Blob([SVG(sky, sea)], { type: "image/svg+xml" });
    return { message: fileAt(said, Date.now() - minutes * MINUTE, more), content };
  };
  const fileAt = (said: Parameters<typeof file>[1], time: number, more: Partial<Message>) => file(id, said, time, more);
  const mine = (state: Message["state"], more: Partial<Message> = {}) => own(state, more);
  const names = ["coast", "lighthouse", "dunes", "cliff-path", "at-the-harbour", "tide", "gulls", "evening-sky"];
  const going = (state: SharedFile["state"]) => ({ batch: "b", state });
  const moving = { bytes: mega(1.3), of: mega(4), rate: mega(1) };
  return [
    ...names.map((name, at) =>
      one(`${name}.jpg`, 60, at === 1 ? { reactions: [{ emoji: "😍", by: [OWN, id], own: true }] } : {}),
    ),
    ...["ferry.jpg", "ferry-too.jpg"].map((name) => one(name, 50, mine("displayed"))),
    one("IMG_0412.HEIC", 40, {}, { type: "image/heic", drawn: false, state: "there" }),
    {
      message: fileAt(
        { name: "IMG_0413.HEIC", size: mega(3), type: "image/heic", state: "here" },
        Date.now(),
        mine("pending"),
      ),
    },
    one("sent.jpg", 2, mine("delivered"), going("here")),
    { ...one("going.jpg", 2, mine("pending"), going("waiting")), moving },
    one("failed-one.jpg", 2, mine("failed", { failure: "no-room" }), going("failed")),
    one("waiting-long.jpg", 2, mine("pending"), going("waiting")),
    one("waiting-last.jpg", 2, mine("pending"), going("waiting")),
  ].map((each, at) => ({ ...each, message: { ...each.message, at: each.message.at + at } }));
}

/** What is kept on this device. */
export const stored: Stored[] = people.slice(0, 4).map(({ id }, at) => ({
  id,
  bytes: Math.round((181 / (at + 1)) * 1024 * 1024),
  free: Math.round((170 / (at + 1)) * 1024 * 1024) * Number(at < 3),
}));

/** A long conversation: messages over many days, of several lengths. */
export function many(id: string, count: number): Message[] {
  const words =
    "the coast the tide a long walk over the dunes and then back along the old railway before the rain".split(" ");
  return Array.from({ length: count }, (_, index) => {
    const text = `${index + 1}. ${words.slice(0, 1 + ((index * 7) % words.length)).join(" ")}`;
    const time = at(12, 0) - (count - index) * 11 * MINUTE;
    return message(id, text, time, index % 3 === 0 ? own("displayed") : {});
  });
}
