/**
 * What the user interface sees of the client: plain values to show, and what a person may do.
 *
 * `src/client` implements `Client`; `src/ui` knows nothing else of it but `media-type.ts`, so that every screen can be
 * shown over a scripted client too. Times are milliseconds since 1970; an `Aor` is `tel:+33639980001` or a SIP URI.
 */

export type Aor = string;

/** The contract of a Svelte store: the value now, and again whenever it changes. */
export interface Readable<T> {
  subscribe(run: (value: T) => void): () => void;
}

/** Design §5: a state only advances, except failed → pending on Retry. */
export type DeliveryState = "pending" | "sent" | "stored" | "delivered" | "displayed" | "failed";

export type FailureReason =
  | "refused"
  | "expired"
  | "unknown-number"
  | "too-large"
  | "blocked"
  | "forbidden"
  | "file-too-large"
  | "file-type"
  | "infected"
  | "no-room";

export interface Reaction {
  emoji: string;
  by: Aor[];
  own: boolean;
}

export interface Message {
  /** The imdn.Message-ID: the same on all of a person's devices. */
  id: string;
  conversation: Aor;
  own: boolean;
  at: number;
  kind: "text" | "file" | "location" | "deleted" | "unsupported" | "note";
  /** Of a file its name, of a place its label. */
  text: string;
  /** It is of the kind `file`. */
  file?: SharedFile;
  /** It is of the kind `location`. */
  place?: Place;
  state: DeliveryState;
  failure?: FailureReason;
  /** The message this one answers: `found` is absent when it is not here any more. */
  reply?: { id: string; found?: { own: boolean } & Gist };
  reactions: Reaction[];
  editedAt?: number;
  /** Texts before the last edit, oldest first. */
  earlier?: string[];
  /** When each state was reached, for Info. */
  reached: Partial<Record<DeliveryState, number>>;
  /** What may be done with it now. */
  can: { edit: boolean; deleteForEveryone: boolean; cancelSending: boolean; retry: boolean };
}

/** What there is to say of a message where it cannot be shown. */
export interface Gist {
  kind: Message["kind"];
  text: string;
  /** It is a voice message of this length, as far as that is known. */
  seconds?: number;
}

/** Where somebody is, or was until `until`: then nobody may have it any more (RFC 4119 §2.2.2). */
export interface Place {
  /** Degrees of WGS 84. */
  latitude: number;
  longitude: number;
  /** Metres around it; 0 when that is not known. */
  radius: number;
  label: string;
  until: number;
}

/** A file in a conversation; sizes in bytes. */
export interface SharedFile {
  name: string;
  size: number;
  /** Its media type, in lower case. */
  type: string;
  /** It is shown as a picture. */
  picture: boolean;
  /** Every browser draws it; of a picture that is not, the content server has a form to show (`Client.showFile`). */
  drawn: boolean;
  /** Until when it can be fetched. */
  until: number;
  /** It is a voice message of this length; 0 when nobody says how long it is. */
  seconds?: number;
  /** How loud it is from its beginning to its end, 0 to 1; only of what was recorded on this device. */
  wave?: readonly number[];
  /**
   * Ours: waiting to be uploaded (or being so: see `Client.moving`), paused, failed. All of it on this device; to be
   * fetched; or not to be had any more.
   */
  state: "waiting" | "paused" | "failed" | "here" | "there" | "gone";
  /** How far a transfer came that does not move now, in bytes. */
  at?: number;
  /** It was to be fetched, and could not be: it can be tried again, from where it was. */
  broken?: true;
  /** Files that were sent in one go have the same; what came from elsewhere has none. */
  batch?: string;
}

/** A transfer that moves: so many bytes of so many are there, and so many come in a second. */
export interface Moving {
  bytes: number;
  of: number;
  rate: number;
  /** It does not just now: others are first, its other end is asked how far it came, or there is no network. */
  phase?: "queued" | "resuming" | "stopped";
}

/** A file to be sent, as it shall arrive. */
export interface Outgoing {
  blob: Blob;
  name: string;
  type: string;
  /** A small JPEG. */
  preview?: Blob;
  /** Of a voice message, as in `SharedFile`. */
  seconds?: number;
  wave?: readonly number[];
}

/** Largest file that the operator takes, and the size from which people are asked first, in bytes. */
export interface FileLimits {
  max: number;
  warnAbove: number;
}

/** Characters of the label of a place (facts §7). */
export const MAX_LABEL = 100;
/** Conversations that may be pinned (design §4). */
export const MAX_PINNED = 5;

export interface Conversation {
  id: Aor;
  /** The name the person gave, or the number as it is written in this country. */
  name: string;
  number: string;
  last?: {
    own: boolean;
    text: string;
    at: number;
    state: DeliveryState;
    kind: Message["kind"];
    /** The media type of a file. */
    file?: string;
    /** Of a voice message, as in `SharedFile`. */
    seconds?: number;
  };
  at: number;
  unread: number;
  markedUnread: boolean;
  /** Place among the pinned ones, from 0; undefined when it is not pinned. */
  pinned?: number;
  /** Infinity: always. */
  mutedUntil: number;
  archived: boolean;
  blocked: boolean;
  draft: string;
  typing: boolean;
  /** What is known of the other side: being asked, online, reachable later, or not on joyn. */
  reach: "unknown" | "checking" | "online" | "offline" | "not-on-joyn";
  /** The id of the first message that was unread when the conversation was opened. */
  unreadFrom?: string;
  /** Nobody has answered this sender yet, and they are not in the contacts. */
  stranger: boolean;
}

export interface Terms {
  title: string;
  text: string;
  accept: boolean;
  reject: boolean;
}

/** Design §3. `until` and `again` are times. */
export type Session =
  | { phase: "starting" }
  | { phase: "number"; problem?: "bad-number" | "too-many" | "service-down"; until?: number }
  | { phase: "code"; number: string; again: number; triesLeft?: number; problem?: "wrong" | "expired" | "service-down" }
  | { phase: "locked"; number: string; until: number }
  | { phase: "terms"; number: string; terms: Terms }
  | {
      phase: "provisioning";
      number: string;
      operator: string;
      step: "number" | "settings" | "connecting" | "conversations";
      slow: "no" | "longer" | "retry";
    }
  | { phase: "not-eligible"; number: string; title?: string; text?: string }
  | { phase: "operator-unknown"; number: string }
  | { phase: "signed-out-elsewhere" }
  | { phase: "in"; aor: Aor; number: string; profileName: string; operator: Operator };

export interface Operator {
  name: string;
  /** Selects the brand block of the tokens. */
  theme: string;
  country: string;
  termsUrl?: string;
  helpUrl?: string;
}

/** Design §10, connection banner. */
export interface Connection {
  state: "online" | "connecting" | "offline";
  /** Since when it has not been online. */
  since: number;
}

export interface Settings {
  theme: "system" | "light" | "dark";
  textSize: "small" | "normal" | "large";
  language: string;
  enterSends: boolean;
  readReceipts: boolean;
  typing: boolean;
  notifications: "full" | "name" | "none";
  singleKeys: boolean;
  /** Which files come by themselves: photos under 10 MB, all, or none. */
  autoDownload: "photos" | "all" | "never";
  /** In which quality photos are sent unless another one is chosen. */
  quality: "light" | "hd" | "original";
}

/** What this device keeps of a conversation's files, in bytes; of those `free` can be fetched again. */
export interface Stored {
  id: Aor;
  bytes: number;
  free: number;
}

export interface StorageUse {
  /** The conversations with files, the largest first. */
  conversations: Stored[];
  /** What the browser keeps for this page in all, and how much it would, in bytes; undefined when it does not say. */
  usage?: number;
  quota?: number;
  /** The browser does not throw it away when room gets short; undefined when it does not say. */
  persisted?: boolean;
}

/** What is kept on this device. */
export interface Storage {
  use(): Promise<StorageUse>;
  /** Forgets the files of a conversation that can be fetched again; the messages and their thumbnails stay. */
  free(id: Aor): Promise<void>;
  /** Asks the browser to keep everything for good; false when it does not. */
  persist(): Promise<boolean>;
}

/** Whether this browser can notify, may still be asked, does, or must not. */
export type NotificationState = "unsupported" | "ask" | "on" | "off";

export interface Device {
  id: string;
  name: string;
  browser: string;
  system: string;
  lastActive: number;
  here: boolean;
}

export interface Found {
  people: { id: Aor; name: string; number: string }[];
  conversations: Conversation[];
  messages: { conversation: Aor; id: string; name: string; at: number; text: string; own: boolean }[];
  /** A number that was typed and can be written to. */
  number?: { id: Aor; number: string };
}

export interface Contact {
  id: Aor;
  name: string;
  number: string;
}

/** Takes a step back; design §4: for six seconds. */
export type Undo = () => Promise<void>;

export interface SignIn {
  /** The operator's own country; undefined when it cannot be asked. */
  country(): Promise<string | undefined>;
  /** The country whose numbers are read without a prefix, as ISO 3166. */
  requestCode(number: string, country: string): Promise<void>;
  enterCode(code: string): Promise<void>;
  changeNumber(): Promise<void>;
  acceptTerms(): Promise<void>;
  refuseTerms(): Promise<void>;
  retry(): Promise<void>;
  signOut(): Promise<void>;
}

export interface Client {
  session: Readable<Session>;
  connection: Readable<Connection>;
  settings: Readable<Settings>;
  /** All of them, archived too, in the order of the list. */
  conversations: Readable<Conversation[]>;
  contacts: Readable<Contact[]>;
  /** Unread conversations that are not muted, for the title and the badge. */
  unread: Readable<number>;
  blocked: Readable<Aor[]>;
  signIn: SignIn;
  storage: Storage;

  conversation(id: Aor): Readable<Conversation | undefined>;
  /** Oldest first; the newest page at once, older ones after `loadEarlier`. */
  messages(id: Aor): Readable<Message[]>;
  loadEarlier(id: Aor): Promise<boolean>;
  /** The person is looking at the conversation, or at none. */
  look(id: Aor | undefined): Promise<void>;
  /** Up to here it has been seen: read receipts go out if the person allows it. */
  markRead(id: Aor): Promise<void>;
  leave(id: Aor): void;

  /** Pending at once and kept; it leaves when it can. Resolves when it is in the local store. */
  send(id: Aor, text: string, reply?: string): Promise<void>;
  /** What may be sent; undefined when the operator takes no files. */
  files: Readable<FileLimits | undefined>;
  /** Transfers that move now, by message, in whatever tab. */
  moving: Readable<ReadonlyMap<string, Moving>>;
  /** Each becomes a message, which leaves when its file has been uploaded; what is written meanwhile overtakes it. */
  sendFiles(id: Aor, files: readonly Outgoing[]): Promise<void>;
  /** Tells where the person is, for an hour. */
  sendLocation(id: Aor, place: Omit<Place, "until">): Promise<void>;
  /** What is on this device of a file: all of it, a small picture, and a form to show. */
  content(id: Aor, message: string): Readable<{ whole?: Blob; preview?: Blob; shown?: Blob }>;
  /** The photos of a conversation, oldest first. */
  photos(id: Aor): Readable<Message[]>;
  /** The message is on the screen: its thumbnail comes by itself, and what the settings say. */
  lookAtFile(id: Aor, message: string): Promise<void>;
  /** Fetches the form of a picture that browsers draw. Rejects when there is none. */
  showFile(id: Aor, message: string): Promise<void>;
  /** Fetches a file. Rejects when it is not to be had. */
  fetchFile(id: Aor, message: string): Promise<void>;
  /** An upload waits until it goes on; a download stops, and `fetchFile` goes on with it. */
  pauseFile(id: Aor, message: string, paused: boolean): Promise<void>;

  retry(id: Aor, message: string): Promise<void>;
  cancelSending(id: Aor, message: string): Promise<void>;
  edit(id: Aor, message: string, text: string): Promise<void>;
  /** Puts the reaction, or takes it back when it is there. */
  react(id: Aor, message: string, emoji: string): Promise<void>;
  deleteForMe(id: Aor, message: string): Promise<Undo>;
  deleteForEveryone(id: Aor, message: string): Promise<void>;
  forward(message: { conversation: Aor; id: string }, to: Aor[]): Promise<void>;
  /** The composer's content changed: kept as draft, and told as typing if the person allows it. */
  draft(id: Aor, text: string): void;

  pin(id: Aor, pinned: boolean): Promise<void>;
  /** Moves a pinned conversation to this place. */
  movePin(id: Aor, place: number): Promise<void>;
  mute(id: Aor, until: number): Promise<void>;
  markUnread(id: Aor): Promise<void>;
  archive(id: Aor, archived: boolean): Promise<Undo>;
  deleteConversation(id: Aor): Promise<Undo>;
  block(id: Aor, blocked: boolean): Promise<void>;
  report(id: Aor): Promise<void>;
  /** Names somebody in the local contacts; an empty name forgets them. */
  name(id: Aor, name: string): Promise<void>;

  /** Reads a number as people of the operator's country write it; undefined when it is none. */
  readNumber(text: string): { id: Aor; number: string } | undefined;
  /** Local results within 50 ms, then `more` once with those of the server. */
  search(text: string, more: (found: Found) => void): Promise<Found>;

  devices(): Promise<Device[]>;
  signOutDevice(id: string): Promise<void>;
  signOutOthers(): Promise<void>;
  setProfileName(name: string): Promise<void>;
  update(settings: Partial<Settings>): Promise<void>;
  /** Asks the browser's permission and subscribes; false when the person or the browser says no. */
  enableNotifications(): Promise<boolean>;
  notifications: Readable<NotificationState>;
  /** Try to connect at once. */
  reconnect(): void;
}
