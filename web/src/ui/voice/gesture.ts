/** Where a finger leads that holds the microphone: up, and recording goes on without it; aside, and there was nothing. */

/** Pixels. */
export const TO_LOCK = 64;
export const TO_CANCEL = 96;

/** `x` is towards the end of the line, so that leading back to its start is negative, and `y` downwards. */
export function ledTo(x: number, y: number): "lock" | "cancel" | undefined {
  // Of a slanting way, what most of it is counts.
  if (y <= -TO_LOCK && -y >= -x) return "lock";
  return x <= -TO_CANCEL ? "cancel" : undefined;
}
