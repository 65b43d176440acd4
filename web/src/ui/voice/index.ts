/** Recording, in a part of its own that is fetched when somebody wants to: most visits record nothing. */

export { VoiceSession } from "./session.svelte";
export { default as VoiceBar } from "./VoiceBar.svelte";
