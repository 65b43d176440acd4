// What bench/web_open.py does and measures inside the page.
globalThis.bench = {
  /** Puts a conversation of `count` messages where the client keeps its own (web/src/client/database.ts). */
  async fill(id, count) {
    const name = (await indexedDB.databases()).find((one) => one.name.startsWith("joyn")).name;
    const database = await new Promise((resolve, reject) => {
      const opening = indexedDB.open(name);
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    const words = "the coast the tide a long walk over the dunes and back along the old railway before the rain".split(" ");
    const minute = 60_000;
    const start = Date.now() - count * 11 * minute;
    const writing = database.transaction(["messages", "conversations"], "readwrite");
    let last;
    for (let index = 0; index < count; index++) {
      const own = index % 3 === 0;
      const text = `${index + 1}. ${words.slice(0, 1 + ((index * 7) % words.length)).join(" ")}`;
      const at = start + index * 11 * minute;
      last = { own, text, at, state: own ? "displayed" : "delivered", kind: "text" };
      writing.objectStore("messages").put({
        ...last, conversation: id, id: `bench-${index}`, by: own ? "tel:+33639980003" : id, arrived: at, original: text,
        reached: {}, reactions: [], unseen: 0, wantsDisplay: false, touched: at,
      });
    }
    writing.objectStore("conversations").put({
      id, at: last.at, last, unread: 0, markedUnread: false, mutedUntil: 0, archived: false, draft: "", answered: true, noted: true,
    });
    await new Promise((resolve, reject) => {
      writing.oncomplete = resolve;
      writing.onerror = () => reject(writing.error);
    });
    database.close();
  },

  /** Milliseconds from the next click to the painting in which a message that begins with `text` is in view. */
  opening(text) {
    this.opened = new Promise((resolve) => {
      addEventListener("click", (click) => {
        const look = () => {
          const found = this.rows().some((row) => inView(row) && row.innerText.includes(text));
          if (!found) return requestAnimationFrame(look);
          // A task that is asked for in a frame runs when that frame has been painted.
          const painted = new MessageChannel();
          painted.port1.onmessage = () => resolve(performance.now() - click.timeStamp);
          painted.port2.postMessage(null);
        };
        look();
      }, { capture: true, once: true });
    });
  },

  /** The number of the topmost message that is mounted. */
  topmost() {
    const numbers = this.rows().map((row) => Number(/(^|\n)(\d+)\. /.exec(row.innerText)?.[2])).filter((one) => one > 0);
    return Math.min(...numbers);
  },

  scroller: () => document.querySelector("main ol").parentElement,
  rows: () => [...document.querySelectorAll("main ol > li")],

  /**
   * From now on `seen` counts frames, and those of them in which a part of the list in view held no row; with the tallest
   * such part, the most rows at once, and the longest time from one frame to the next.
   */
  watch() {
    const seen = (this.seen = { frames: 0, blank: 0, tallest: 0, rows: 0, longest: 0 });
    const list = this.scroller();
    const painted = new MessageChannel();
    let before = performance.now();
    painted.port1.onmessage = () => {
      const rows = this.rows();
      const tallest = gap(list, rows);
      seen.frames++;
      if (tallest > 1) seen.blank++;
      seen.tallest = Math.max(seen.tallest, tallest);
      seen.rows = Math.max(seen.rows, rows.length);
    };
    const frame = () => {
      const now = performance.now();
      seen.longest = Math.max(seen.longest, now - before);
      before = now;
      painted.port2.postMessage(null);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  },
};

const inView = (row) => {
  const [box, room] = [row.getBoundingClientRect(), bench.scroller().getBoundingClientRect()];
  return getComputedStyle(row).visibility !== "hidden" && box.height > 0 && box.top < room.bottom && box.bottom > room.top;
};

/** The tallest part of what is in view, in pixels, that belongs to the list and holds no row. */
function gap(scroller, rows) {
  const room = scroller.getBoundingClientRect();
  const list = scroller.querySelector("ol").getBoundingClientRect();
  const [top, bottom] = [Math.max(room.top, list.top), Math.min(room.bottom, list.bottom)];
  const boxes = rows.filter((row) => getComputedStyle(row).visibility !== "hidden").map((row) => row.getBoundingClientRect());
  let [to, tallest] = [top, 0];
  for (const box of boxes.sort((one, other) => one.top - other.top)) {
    tallest = Math.max(tallest, Math.min(box.top, bottom) - to);
    to = Math.max(to, Math.min(box.bottom, bottom));
  }
  return Math.max(tallest, bottom - to);
}
