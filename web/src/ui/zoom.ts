/** A picture under fingers: how large it is and where it lies. In pixels, from the middle of its room. */

import type { Attachment } from "svelte/attachments";

export interface Zoom {
  scale: number;
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
/** How much larger than it fits it can become. */
export const MAX_SCALE = 8;
/** A press twice, and a step of the keyboard. */
export const PRESSED_SCALE = 2.5;
const STEP = 1.5;
const TWICE_MS = 300;
/** How far a finger goes until it leads to the next photo, and until it is no press. */
const SWIPE = 60;
const SLACK = 10;

/** Larger or smaller by a factor, with the point staying where it is. */
export function zoomed(zoom: Zoom, factor: number, at: { x: number; y: number }): Zoom {
  const scale = Math.min(MAX_SCALE, Math.max(1, zoom.scale * factor));
  const by = scale / zoom.scale;
  return { scale, x: at.x - (at.x - zoom.x) * by, y: at.y - (at.y - zoom.y) * by };
}

/** So that no edge of the picture, which fits its room at scale 1, comes further in than it has to. */
export function within({ scale, x, y }: Zoom, room: Size, picture: Size): Zoom {
  const fit = Math.min(room.width / picture.width, room.height / picture.height) * scale;
  const far = (of: number, size: number, inside: number): number => {
    const most = Math.max(0, (size * fit - inside) / 2);
    return Math.min(most, Math.max(-most, of)) || 0;
  };
  return { scale, x: far(x, picture.width, room.width), y: far(y, picture.height, room.height) };
}

interface Hands {
  zoom: () => Zoom;
  set: (zoom: Zoom) => void;
  /** The picture's own size; undefined while there is none. */
  picture: () => Size | undefined;
  /** Drawn aside: 1 to what lies on the right. */
  swipe: (by: 1 | -1) => void;
}

/** Pinch, drag, press twice, wheel with Ctrl (as trackpads tell a pinch), and a swipe when nothing is zoomed. */
export function hands({ zoom, set, picture, swipe }: Hands): Attachment<HTMLElement> {
  return (element) => {
    const fingers = new Map<number, { x: number; y: number }>();
    let start: { x: number; y: number; at: number } | undefined;
    let pressed = 0;
    const off = new AbortController();
    const { signal } = off;

    const point = ({ clientX, clientY }: MouseEvent): { x: number; y: number } => {
      const { left, top, width, height } = element.getBoundingClientRect();
      return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
    };
    const put = (to: Zoom): void => {
      const size = picture();
      if (size) set(within(to, { width: element.clientWidth, height: element.clientHeight }, size));
    };

    const down = (event: PointerEvent): void => {
      if ((event.target as Element).closest("button")) return;
      element.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, point(event));
      start = fingers.size === 1 ? { ...point(event), at: event.timeStamp } : undefined;
    };
    const move = (event: PointerEvent): void => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = point(event);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      fingers.set(event.pointerId, now);
      const { scale, x, y } = zoom();
      if (other) {
        const apart = (one: { x: number; y: number }): number => Math.hypot(one.x - other.x, one.y - other.y) || 1;
        const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
        put(zoomed(zoom(), apart(now) / apart(before), middle));
      } else if (scale > 1) put({ scale, x: x + now.x - before.x, y: y + now.y - before.y });
    };
    const up = (event: PointerEvent): void => {
      if (!fingers.delete(event.pointerId) || !start || event.type === "pointercancel") return;
      const now = point(event);
      const [x, y] = [now.x - start.x, now.y - start.y];
      const whole = zoom().scale === 1;
      if (whole && Math.abs(x) > SWIPE && Math.abs(x) > 2 * Math.abs(y)) swipe(x < 0 ? 1 : -1);
      if (Math.hypot(x, y) < SLACK) {
        if (event.timeStamp - pressed < TWICE_MS) put(whole ? zoomed(WHOLE, PRESSED_SCALE, now) : WHOLE);
        pressed = event.timeStamp - pressed < TWICE_MS ? 0 : event.timeStamp;
      }
      start = undefined;
    };
    const wheel = (event: WheelEvent): void => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      put(zoomed(zoom(), Math.exp(-event.deltaY / 100), point(event)));
    };

    element.addEventListener("pointerdown", down, { signal });
    element.addEventListener("pointermove", move, { signal });
    element.addEventListener("pointerup", up, { signal });
    element.addEventListener("pointercancel", up, { signal });
    element.addEventListener("wheel", wheel, { signal, passive: false });
    return () => off.abort();
  };
}

/** What a key makes of it: plus, minus, and 0 for the whole; undefined when it is another key. */
export function zoomKey(key: string, zoom: Zoom): Zoom | undefined {
  if (key === "+" || key === "=") return zoomed(zoom, STEP, { x: 0, y: 0 });
  if (key === "-") return zoomed(zoom, 1 / STEP, { x: 0, y: 0 });
  return key === "0" ? WHOLE : undefined;
}
