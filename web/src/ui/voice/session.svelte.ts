/** One voice message from the first press to its sending, as the composer shows it. */

import { browserRecording, NoRecording, type Problem, type Recorded, Recorder, type Surroundings } from "./recorder";

/** Seconds before which letting go is no end: it was a press, and recording goes on without the finger. */
const HELD_FROM = 0.5;
/** Levels that are drawn while it is recorded. */
export const SHOWN_LEVELS = 40;

export interface SessionEvents {
  send(recorded: Recorded): void;
  /** It is over, with a problem if there was one. */
  over(problem?: Problem): void;
}

export class VoiceSession {
  /** Waiting for the microphone; recording; or recorded, to be listened to. */
  phase = $state<"opening" | "recording" | "ready">("opening");
  /** A finger holds it. */
  held = $state(false);
  seconds = $state(0);
  levels = $state.raw<readonly number[]>([]);
  recorded = $state.raw<Recorded>();
  /** It ended by itself, at the longest that it may be. */
  full = $state(false);
  readonly #events: SessionEvents;
  #recorder: Recorder | undefined;
  #over = false;

  constructor(held: boolean, events: SessionEvents) {
    this.held = held;
    this.#events = events;
  }

  /** Asks for the microphone, and records as soon as it is there. */
  async begin(surroundings: Surroundings = browserRecording()): Promise<void> {
    let recorder: Recorder;
    try {
      recorder = await Recorder.begin(surroundings);
    } catch (error) {
      if (!this.#over) this.#end(error instanceof NoRecording ? error.problem : "broken");
      return;
    }
    if (this.#over) {
      recorder.cancel();
      return;
    }
    this.#recorder = recorder;
    recorder.onLevel = (seconds, level) => {
      this.seconds = seconds;
      this.levels = [...this.levels.slice(1 - SHOWN_LEVELS), level];
    };
    recorder.onEnd = () => {
      this.full = true;
      void this.stop();
    };
    this.phase = "recording";
  }

  /** It goes on without being held. */
  lock(): void {
    this.held = false;
  }

  /** The finger is gone: what it held leaves, and what it only pressed goes on. */
  async release(): Promise<void> {
    if (!this.held) return;
    if (this.phase !== "recording" || (this.#recorder?.seconds ?? 0) < HELD_FROM) this.lock();
    else if (await this.stop()) this.send();
  }

  /** Recorded, and not sent yet. False when nothing was, and it is over. */
  async stop(): Promise<boolean> {
    const recorder = this.#recorder;
    if (recorder === undefined || this.phase !== "recording") return false;
    this.held = false;
    const recorded = await recorder.stop();
    if (this.#over) return false;
    if (recorded.blob.size === 0) {
      this.#end("broken");
      return false;
    }
    this.recorded = recorded;
    this.seconds = recorded.seconds;
    this.phase = "ready";
    return true;
  }

  send(): void {
    if (this.recorded === undefined || this.#over) return;
    this.#events.send(this.recorded);
    this.#end();
  }

  /** Nothing is kept, and the microphone is free. */
  cancel(): void {
    if (!this.#over) this.#end();
  }

  #end(problem?: Problem): void {
    this.#over = true;
    this.#recorder?.cancel();
    this.#events.over(problem);
  }
}
