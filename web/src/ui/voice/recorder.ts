/**
 * Records a voice message: from asking for the microphone to giving it back, which happens however it ends.
 *
 * Spec: facts §6.2 (audio message: AAC in MP4 is what phones play; MaxTimeAudioMessage).
 */

/** Seconds of the longest recording. */
export const MAX_SECONDS = 600;
/** Bits of a second: clear speech, 2.4 MB in ten minutes. */
const BITS = 32_000;
/** Milliseconds from one look at the level to the next. */
export const LOOK_EVERY = 100;
/** Bars of a drawn wave. */
export const BARS = 36;

export interface Format {
  /** As the browser is asked for it. */
  mime: string;
  /** As it is sent. */
  type: string;
  extension: string;
}

/** The best first: what phones play, then what browsers do. */
export const FORMATS: readonly Format[] = [
  { mime: "audio/mp4;codecs=mp4a.40.2", type: "audio/mp4", extension: "m4a" },
  { mime: "audio/webm;codecs=opus", type: "audio/webm", extension: "webm" },
  { mime: "audio/ogg;codecs=opus", type: "audio/ogg", extension: "ogg" },
];

/** The person or the browser said no; there is no microphone; it cannot be used. */
export type Problem = "blocked" | "none" | "broken";

export class NoRecording extends Error {
  override readonly name = "NoRecording";

  constructor(readonly problem: Problem) {
    super(problem);
  }
}

export interface Recorded {
  blob: Blob;
  type: string;
  extension: string;
  seconds: number;
  /** How loud it is, 0 to 1, in BARS parts. */
  wave: number[];
}

/** The parts of the browser that are used. */
export interface Surroundings {
  /** Asks for the microphone; undefined where there is nothing to ask. */
  open: (() => Promise<MediaStream>) | undefined;
  supports(mime: string): boolean;
  record(stream: MediaStream, options: MediaRecorderOptions): MediaRecorder;
  /** Listens beside it. */
  meter(stream: MediaStream): { level(): number; close(): void };
  /** Milliseconds of a clock that nobody sets. */
  now(): number;
  every(milliseconds: number, run: () => void): () => void;
}

export class Recorder {
  /** Every LOOK_EVERY: seconds so far, and how loud it is, 0 to 1. */
  onLevel: (seconds: number, level: number) => void = () => {};
  /** It has ended by itself: the longest it may be has passed, or the microphone is gone. */
  onEnd: () => void = () => {};
  readonly #format: Format;
  readonly #stream: MediaStream;
  readonly #recorder: MediaRecorder;
  readonly #now: () => number;
  readonly #begun: number;
  readonly #levels: number[] = [];
  readonly #parts: Blob[] = [];
  readonly #stopped: Promise<void>;
  readonly #closeMeter: () => void;
  #ended: number | undefined;

  /** Asks for the microphone, and begins as soon as it is there. Rejects with NoRecording. */
  static async begin(surroundings: Surroundings): Promise<Recorder> {
    const format = FORMATS.find(({ mime }) => surroundings.supports(mime));
    if (surroundings.open === undefined || format === undefined) throw new NoRecording("broken");
    let stream: MediaStream;
    try {
      stream = await surroundings.open();
    } catch (error) {
      throw new NoRecording(problemOf(error));
    }
    try {
      return new Recorder(surroundings, stream, format);
    } catch {
      release(stream);
      throw new NoRecording("broken");
    }
  }

  private constructor(surroundings: Surroundings, stream: MediaStream, format: Format) {
    const { now, every, record, meter } = surroundings;
    this.#format = format;
    this.#stream = stream;
    this.#now = now;
    this.#recorder = record(stream, { mimeType: format.mime, audioBitsPerSecond: BITS });
    this.#recorder.ondataavailable = ({ data }) => void this.#parts.push(data);
    this.#stopped = new Promise((resolve) => {
      this.#recorder.onstop = () => {
        const byItself = this.#ended === undefined;
        this.#end();
        resolve();
        if (byItself) this.onEnd();
      };
    });
    this.#recorder.start();
    this.#begun = now();
    const listening = meter(stream);
    const stopLooking = every(LOOK_EVERY, () => this.#look(listening.level()));
    this.#closeMeter = () => {
      stopLooking();
      listening.close();
    };
  }

  /** How long it is. */
  get seconds(): number {
    return Math.min(MAX_SECONDS, ((this.#ended ?? this.#now()) - this.#begun) / 1000);
  }

  /** Ends it; the microphone is free at once. What was recorded is empty when the browser has kept nothing. */
  async stop(): Promise<Recorded> {
    this.#finish();
    await this.#stopped;
    const { type, extension } = this.#format;
    return {
      blob: new Blob(this.#parts, { type }),
      type,
      extension,
      seconds: this.seconds,
      wave: waveOf(this.#levels),
    };
  }

  /** Ends it; nothing is kept. */
  cancel(): void {
    this.onEnd = this.onLevel = () => {};
    this.#finish();
    this.#parts.length = 0;
  }

  #look(level: number): void {
    this.#levels.push(level);
    this.onLevel(this.seconds, level);
    if (this.seconds < MAX_SECONDS) return;
    this.#finish();
    this.onEnd();
  }

  #finish(): void {
    this.#end();
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    release(this.#stream);
  }

  #end(): void {
    if (this.#ended !== undefined) return;
    this.#ended = this.#now();
    this.#closeMeter();
    if (this.#recorder.state === "inactive") release(this.#stream);
  }
}

function release(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** What getUserMedia says: no from the person, the browser or a policy; nothing there; or something else. */
function problemOf(error: unknown): Problem {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "blocked";
  return name === "NotFoundError" ? "none" : "broken";
}

/** Levels in so many bars, the loudest of them whole. */
export function waveOf(levels: readonly number[], bars = BARS): number[] {
  if (levels.length === 0) return [];
  const loudest = Math.max(...levels, 0.01);
  return Array.from({ length: bars }, (_, bar) => {
    const from = Math.floor((bar * levels.length) / bars);
    const some = levels.slice(from, Math.max(from + 1, Math.floor(((bar + 1) * levels.length) / bars)));
    return Math.round((100 * Math.max(...some)) / loudest) / 100;
  });
}

/** The browser's own. */
export function browserRecording(): Surroundings {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  return {
    open: devices && (() => devices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true } })),
    supports: (mime) => typeof MediaRecorder !== "undefined" && MediaRecorder.isTypeSupported(mime),
    record: (stream, options) => new MediaRecorder(stream, options),
    meter,
    now: () => performance.now(),
    every: (milliseconds, run) => {
      const timer = setInterval(run, milliseconds);
      return () => clearInterval(timer);
    },
  };
}

function meter(stream: MediaStream): { level(): number; close(): void } {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    level: () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // Speech is at a tenth of what a microphone can take.
      return Math.min(1, Math.sqrt(power) * 4);
    },
    close: () => void context.close().catch(() => {}),
  };
}
