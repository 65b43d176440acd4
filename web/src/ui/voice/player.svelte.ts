/** Playing voice messages, one at a time; what plays goes on while its bubble is out of sight. */

const SPEEDS = [1, 1.5, 2] as const;
/** Milliseconds in which a browser says how long a recording is that does not say it itself. */
const MEASURED_WITHIN = 2_000;

/** As fast as the last one was wanted. */
const wanted = $state<{ speed: number }>({ speed: 1 });
/** The one that plays, or did last. */
let current: Player | undefined;

export class Player {
  playing = $state(false);
  /** Seconds. */
  at = $state(0);
  length = $state(0);
  /** The browser cannot play it after all. */
  broken = $state(false);
  readonly id: string;
  #audio: HTMLAudioElement | undefined;
  #url = "";
  #frame = 0;

  /** `seconds` is how long it is said to be. */
  constructor(id: string, seconds: number) {
    this.id = id;
    this.length = seconds;
  }

  get speed(): number {
    return wanted.speed;
  }

  /** The next speed, for this and whatever follows. */
  faster(): void {
    const next = SPEEDS.indexOf(wanted.speed as (typeof SPEEDS)[number]) + 1;
    wanted.speed = SPEEDS[next % SPEEDS.length] as number;
    if (this.#audio) this.#audio.playbackRate = wanted.speed;
  }

  async toggle(sound: Blob): Promise<void> {
    if (this.playing) {
      this.pause();
      return;
    }
    if (current !== this) current?.close();
    current = this;
    this.playing = true;
    try {
      const audio = await this.#open(sound);
      if (!this.playing) return; // stopped meanwhile
      audio.playbackRate = wanted.speed;
      await audio.play();
      this.#follow();
    } catch (error) {
      // Another press, or leaving, has come between: that is no fault of the sound.
      if (this.playing && !(error instanceof DOMException && error.name === "AbortError")) this.broken = true;
      this.playing = false;
    }
  }

  pause(): void {
    this.playing = false;
    this.#audio?.pause();
    cancelAnimationFrame(this.#frame);
  }

  seek(to: number): void {
    this.at = Math.max(0, Math.min(to, this.length));
    if (this.#audio) this.#audio.currentTime = this.at;
  }

  /** Stops, and lets go of the sound. */
  close(): void {
    this.pause();
    this.#audio?.removeAttribute("src");
    this.#audio = undefined;
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
    if (current === this) current = undefined;
  }

  async #open(sound: Blob): Promise<HTMLAudioElement> {
    if (this.#audio) return this.#audio;
    const audio = new Audio();
    this.#audio = audio;
    this.#url = URL.createObjectURL(sound);
    audio.preload = "auto";
    audio.src = this.#url;
    audio.onended = () => {
      this.pause();
      this.length = audio.duration;
      this.seek(0);
    };
    await heard(audio, ["loadedmetadata"]);
    if (!Number.isFinite(audio.duration)) await measured(audio);
    if (Number.isFinite(audio.duration)) this.length = audio.duration;
    if (this.at > 0) audio.currentTime = Math.min(this.at, this.length);
    return audio;
  }

  #follow(): void {
    if (!this.playing || !this.#audio) return;
    this.at = this.#audio.currentTime;
    this.#frame = requestAnimationFrame(() => this.#follow());
  }
}

/** The player of a message: the one that plays it already, or a new one. */
export function playerOf(id: string, seconds: number): Player {
  return current?.id === id ? current : new Player(id, seconds);
}

/** Nothing plays any more. */
export function silence(): void {
  current?.close();
}

/** A recording that was written as it came says nothing of its length: looking for its end brings it out. */
async function measured(audio: HTMLAudioElement): Promise<void> {
  audio.currentTime = Number.MAX_SAFE_INTEGER;
  await heard(audio, ["durationchange"], MEASURED_WITHIN);
  audio.currentTime = 0;
  await heard(audio, ["seeked"], MEASURED_WITHIN);
}

/** Waits for one of these events, for no longer than that; rejects when the sound cannot be read. */
function heard(audio: HTMLAudioElement, names: string[], within = 0): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const { signal } = done;
    const end = (then: () => void) => () => {
      done.abort();
      then();
    };
    for (const name of names) audio.addEventListener(name, end(resolve), { signal });
    audio.addEventListener(
      "error",
      end(() => reject(new Error("not to be played"))),
      { signal },
    );
    if (within > 0) setTimeout(end(resolve), within);
  });
}
