/** Gestures and focus, as Svelte attachments. */

import type { Attachment } from "svelte/attachments";

const LONG_PRESS_MS = 450;
/** How far a finger may move and still be pressing. */
const SLACK = 10;
const SWIPE = 56;

/** Right-click with a mouse, long press with a finger. */
export function longPress(run: (at: { x: number; y: number }) => void): Attachment<HTMLElement> {
  return (element) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let start = { x: 0, y: 0 };
    let fired = false;
    const stop = () => clearTimeout(timer);
    const down = (event: PointerEvent) => {
      fired = false;
      if (event.pointerType === "mouse") return;
      start = { x: event.clientX, y: event.clientY };
      timer = setTimeout(() => {
        fired = true;
        run(start);
      }, LONG_PRESS_MS);
    };
    const move = (event: PointerEvent) => {
      if (Math.hypot(event.clientX - start.x, event.clientY - start.y) > SLACK) stop();
    };
    const menu = (event: MouseEvent) => {
      // A selection or a link keeps the browser's own menu.
      if ((event.target as Element).closest("a[href^=http]") || String(getSelection()) !== "") return;
      event.preventDefault();
      stop();
      if (!fired) run({ x: event.clientX, y: event.clientY });
    };
    const click = (event: MouseEvent) => {
      if (fired) {
        event.preventDefault();
        event.stopPropagation();
        fired = false;
      }
    };
    const off = new AbortController();
    const { signal } = off;
    element.addEventListener("pointerdown", down, { signal });
    element.addEventListener("pointermove", move, { signal });
    element.addEventListener("pointerup", stop, { signal });
    element.addEventListener("pointercancel", stop, { signal });
    element.addEventListener("contextmenu", menu, { signal });
    element.addEventListener("click", click, { signal, capture: true });
    return () => {
      stop();
      off.abort();
    };
  };
}

/** A bubble drawn inward by a finger: reply. */
export function swipe(run: () => void): Attachment<HTMLElement> {
  return (element) => {
    let start: { x: number; y: number } | undefined;
    let far = 0;
    const off = new AbortController();
    const { signal } = off;
    const inward = () => (getComputedStyle(element).direction === "rtl" ? -1 : 1);
    element.addEventListener(
      "pointerdown",
      (event) => {
        if (event.pointerType === "touch") start = { x: event.clientX, y: event.clientY };
        far = 0;
      },
      { signal },
    );
    element.addEventListener(
      "pointermove",
      (event) => {
        if (!start) return;
        far = Math.max(0, Math.min(SWIPE + 16, (event.clientX - start.x) * inward()));
        if (Math.abs(event.clientY - start.y) > 24) far = 0;
        element.style.translate = far > SLACK ? `${far * inward()}px` : "";
      },
      { signal },
    );
    const end = () => {
      if (start && far >= SWIPE) run();
      start = undefined;
      element.style.translate = "";
    };
    element.addEventListener("pointerup", end, { signal });
    element.addEventListener("pointercancel", end, { signal });
    return () => off.abort();
  };
}

/** Takes the focus as it appears. */
export const focused: Attachment<HTMLElement> = (element) => element.focus({ preventScroll: true });
