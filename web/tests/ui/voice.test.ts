/** Recording: the microphone is given back however it ends, and what a finger does is what it means. */

import { beforeEach, describe, expect, test } from "vitest";
import { clock, inShort } from "../../src/i18n/said";
import { ledTo, TO_CANCEL, TO_LOCK } from "../../src/ui/voice/gesture";
import {
  BARS,
  FORMATS,
  LOOK_EVERY,
  MAX_SECONDS,
  NoRecording,
  Recorder,
  type Surroundings,
  waveOf,
} from "../../src/ui/voice/recorder";
import { VoiceSession } from "../../src/ui/voice/session.svelte";

/** A microphone, and a browser that records it. */
class Studio implements Surroundings {
  /** Milliseconds. */
  time = 0;
  lent = 0;
  sound = new Blob(["sound"]);
  refusal: string | undefined;
  types = FORMATS.map(({ mime }) => mime);
  asked: MediaRecorderOptions | undefined;
  meters = 0;
  unplug = (): void => {};
  #looking = new Set<() => void>();

  open = async (): Promise<MediaStream> => {
    if (this.refusal !== undefined) throw new DOMException("no", this.refusal);
    this.lent += 1;
    let live = true;
    const stop = (): void => {
      if (live) this.lent -= 1;
      live = false;
    };
    return { getTracks: () => [{ stop }] } as unknown as MediaStream;
  };
  supports = (mime: string): boolean => this.types.includes(mime);
  record = (_stream: MediaStream, options: MediaRecorderOptions): MediaRecorder => {
    this.asked = options;
    const recorder = {
      state: "inactive",
      ondataavailable: undefined as ((event: { data: Blob }) => void) | undefined,
      onstop: undefined as (() => void) | undefined,
      start: () => {
        recorder.state = "recording";
      },
      stop: () => {
        recorder.state = "inactive";
        queueMicrotask(() => {
          recorder.ondataavailable?.({ data: this.sound });
          recorder.onstop?.();
        });
      },
    };
    this.unplug = recorder.stop;
    return recorder as unknown as MediaRecorder;
  };
  meter = () => {
    this.meters += 1;
    return { level: () => (this.time % 1000) / 1000, close: () => void (this.meters -= 1) };
  };
  now = (): number => this.time;
  every = (_milliseconds: number, run: () => void) => {
    this.#looking.add(run);
    return () => void this.#looking.delete(run);
  };

  pass(seconds: number): void {
    for (const end = this.time + seconds * 1000; this.time < end;) {
      this.time += LOOK_EVERY;
      for (const look of this.#looking) look();
    }
  }

  /** Nothing listens any more. */
  get silent(): boolean {
    return this.lent === 0 && this.meters === 0 && this.#looking.size === 0;
  }
}

let studio: Studio;

beforeEach(() => {
  studio = new Studio();
});

const settle = () => new Promise((resolve) => setTimeout(resolve));

describe("a recording", () => {
  test("has its length, its type and its wave, and gives the microphone back", async () => {
    const recorder = await Recorder.begin(studio);
    expect(studio.lent).toBe(1);
    studio.pass(7);
    const { blob, type, extension, seconds, wave } = await recorder.stop();
    expect(await blob.text()).toBe("sound");
    expect([blob.type, type, extension, seconds]).toEqual(["audio/mp4", "audio/mp4", "m4a", 7]);
    expect(wave).toHaveLength(BARS);
    expect(Math.max(...wave)).toBe(1);
    expect(studio.silent).toBe(true);
  });

  test("is AAC where the browser can, else Opus, and nothing where it can neither", async () => {
    const of = async (...types: string[]) => {
      studio.types = types;
      return (await (await Recorder.begin(studio)).stop()).type;
    };
    expect(await of("audio/webm;codecs=opus", "audio/mp4;codecs=mp4a.40.2")).toBe("audio/mp4");
    expect(studio.asked?.mimeType).toBe("audio/mp4;codecs=mp4a.40.2");
    expect(await of("audio/webm;codecs=opus", "audio/ogg;codecs=opus")).toBe("audio/webm");
    await expect(of("audio/mp4;codecs=opus")).rejects.toMatchObject({ problem: "broken" });
    expect(studio.silent).toBe(true);
  });

  test.each([
    ["NotAllowedError", "blocked"],
    ["SecurityError", "blocked"],
    ["NotFoundError", "none"],
    ["NotReadableError", "broken"],
  ])("that is refused as %s is %s", async (name, problem) => {
    studio.refusal = name;
    await expect(Recorder.begin(studio)).rejects.toEqual(new NoRecording(problem as "blocked"));
  });

  test("ends by itself at its longest", async () => {
    const recorder = await Recorder.begin(studio);
    let ends = 0;
    recorder.onEnd = () => {
      ends += 1;
    };
    studio.pass(MAX_SECONDS + 5);
    await settle();
    expect(ends).toBe(1);
    expect(studio.silent).toBe(true);
    expect((await recorder.stop()).seconds).toBe(MAX_SECONDS);
  });

  test("ends by itself when the microphone is gone, and keeps what there is", async () => {
    const recorder = await Recorder.begin(studio);
    let ends = 0;
    recorder.onEnd = () => {
      ends += 1;
    };
    studio.pass(3);
    studio.unplug();
    await settle();
    expect(ends).toBe(1);
    expect(studio.silent).toBe(true);
    studio.pass(3);
    expect((await recorder.stop()).seconds).toBe(3);
  });

  test("that is cancelled leaves nothing", async () => {
    const recorder = await Recorder.begin(studio);
    recorder.cancel();
    expect(studio.silent).toBe(true);
  });

  test("gives the microphone back when the browser cannot record it", async () => {
    studio.record = () => {
      throw new DOMException("no", "NotSupportedError");
    };
    await expect(Recorder.begin(studio)).rejects.toMatchObject({ problem: "broken" });
    expect(studio.silent).toBe(true);
  });
});

describe("a voice message", () => {
  let sent: number[];
  let over: (string | undefined)[];

  async function begun(held: boolean): Promise<VoiceSession> {
    [sent, over] = [[], []];
    const events = {
      send: ({ seconds }: { seconds: number }) => sent.push(seconds),
      over: (why?: string) => over.push(why),
    };
    const session = new VoiceSession(held, events);
    await session.begin(studio);
    return session;
  }

  test("that was held leaves when the finger does", async () => {
    const session = await begun(true);
    studio.pass(4);
    await session.release();
    expect([sent, over]).toEqual([[4], [undefined]]);
    expect(studio.silent).toBe(true);
  });

  test("that was only pressed goes on, and is listened to before it is sent", async () => {
    const session = await begun(true);
    await session.release();
    expect([session.held, session.phase]).toEqual([false, "recording"]);
    studio.pass(4);
    await session.stop();
    expect([session.phase, session.seconds, sent]).toEqual(["ready", 4, []]);
    expect(studio.silent).toBe(true);
    session.send();
    session.send();
    expect([sent, over]).toEqual([[4], [undefined]]);
  });

  test("let go while the browser asks for the microphone goes on when it is there", async () => {
    const asked = studio.open;
    let allow = (): void => {};
    studio.open = () => new Promise((resolve) => (allow = () => resolve(asked())));
    const session = new VoiceSession(true, { send: () => {}, over: () => {} });
    const begins = session.begin(studio);
    await session.release();
    expect(session.phase).toBe("opening");
    allow();
    await begins;
    expect([session.held, session.phase]).toEqual([false, "recording"]);
    session.cancel();
  });

  test("cancelled while the browser asks gives the microphone back as soon as it is there", async () => {
    const asked = studio.open;
    let allow = (): void => {};
    studio.open = () => new Promise((resolve) => (allow = () => resolve(asked())));
    const session = new VoiceSession(false, { send: () => {}, over: () => {} });
    const begins = session.begin(studio);
    session.cancel();
    allow();
    await begins;
    expect(studio.silent).toBe(true);
  });

  test("says why there is none", async () => {
    studio.refusal = "NotAllowedError";
    await begun(true);
    expect(over).toEqual(["blocked"]);
  });

  test("of no sound is none", async () => {
    studio.sound = new Blob([]);
    const session = await begun(false);
    studio.pass(1);
    await session.stop();
    expect([session.phase, sent, over]).toEqual(["recording", [], ["broken"]]);
  });

  test("at its longest waits to be sent, even when it is held", async () => {
    const session = await begun(true);
    studio.pass(MAX_SECONDS + 1);
    await settle();
    expect([session.phase, session.full, session.held, sent]).toEqual(["ready", true, false, []]);
    await session.release();
    expect(sent).toEqual([]);
  });

  test("that is cancelled is not sent, whatever comes after", async () => {
    const session = await begun(false);
    studio.pass(2);
    const stopping = session.stop();
    session.cancel();
    await stopping;
    session.send();
    expect([sent, over]).toEqual([[], [undefined]]);
    expect(studio.silent).toBe(true);
  });
});

describe("a finger", () => {
  test("locks upwards and cancels towards the start of the line", () => {
    expect(ledTo(0, 0)).toBeUndefined();
    expect(ledTo(0, -TO_LOCK)).toBe("lock");
    expect(ledTo(-TO_CANCEL, 0)).toBe("cancel");
    expect(ledTo(TO_CANCEL, TO_LOCK)).toBeUndefined();
    expect(ledTo(-TO_CANCEL - 20, -TO_LOCK)).toBe("cancel");
    expect(ledTo(-TO_LOCK, -TO_CANCEL)).toBe("lock");
  });
});

describe("a wave", () => {
  test("is of so many bars, whatever it is made of", () => {
    expect(waveOf([])).toEqual([]);
    expect(waveOf([0.2], 3)).toEqual([1, 1, 1]);
    expect(waveOf([0, 0.1, 0.2, 0.4], 2)).toEqual([0.25, 1]);
    expect(waveOf(Array.from({ length: 6000 }, () => 0))).toEqual(Array.from({ length: BARS }, () => 0));
  });
});

describe("words", () => {
  const t = (key: string, values?: object): string => [key, ...Object.values(values ?? {})].join(" ");

  test("say what is heard or on a map", () => {
    expect(inShort({ kind: "file", text: "v.webm", seconds: 42 }, t)).toBe("voice.length 0:42");
    expect(inShort({ kind: "file", text: "v.webm", seconds: 0 }, t)).toBe("voice.word");
    expect(inShort({ kind: "file", text: "a.pdf" }, t)).toBe("a.pdf");
    expect(inShort({ kind: "location", text: "" }, t)).toBe("place.word");
    expect(inShort({ kind: "location", text: "Quay" }, t)).toBe("place.named Quay");
  });

  test("say a length as clocks do", () => {
    expect([0, 9.9, 61, 600, 3723].map(clock)).toEqual(["0:00", "0:09", "1:01", "10:00", "1:02:03"]);
  });
});
