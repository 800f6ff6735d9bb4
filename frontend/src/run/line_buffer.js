// Keeps the windows of a log that are near the reader, and fetches those that are missing. Knows no DOM.
//
// It counts lines by their place among those that it keeps: all of a log, or those of one stream.

const SIZE = 500; // lines a window
const KEEP = 40; // windows in memory
const KEEP_CHARS = 12_000_000; // and the text in them

export class LineStore {
  /**
   * `fetchLines(after, limit, signal)` resolves to lines `{seq, ms, stream, text}`; `place(line)` is a line's place
   * from 1, or 0 for one that is none of ours (without it, the line's number).
   */
  constructor(fetchLines, total, { delay = 40, place = (line) => line.seq, onChange = () => {}, onTrouble = () => {} } = {}) {
    Object.assign(this, { fetchLines, total, delay, place, onChange, onTrouble });
    this.windows = new Map(); // window number -> {lines: Array, chars}; the order is that of use
    this.loading = new Map(); // window number -> AbortController
    this.wanted = [];
    this.failures = 0;
  }

  get(place) {
    return this.windows.get(Math.floor((place - 1) / SIZE))?.lines[(place - 1) % SIZE];
  }

  put(lines) {
    for (const line of lines) {
      const place = this.place(line);
      if (!place) continue;
      const number = Math.floor((place - 1) / SIZE);
      let kept = this.windows.get(number);
      if (!kept) this.windows.set(number, (kept = { lines: [], chars: 0 }));
      const at = (place - 1) % SIZE;
      if (!kept.lines[at]) kept.chars += line.text.length;
      kept.lines[at] = line;
      if (place > this.total) this.total = place;
    }
    this.#evict();
  }

  /** Say which lines are on the screen: what is missing of them is fetched, what is loading elsewhere is dropped. */
  want(first, last) {
    const missing = [];
    for (let number = Math.floor((first - 1) / SIZE); number <= Math.floor((Math.min(last, this.total) - 1) / SIZE); number++) {
      if (number >= 0 && this.#lacks(number, first, last)) missing.push(number);
      const kept = this.windows.get(number);
      if (kept) { this.windows.delete(number); this.windows.set(number, kept); }
    }
    this.wanted = missing;
    for (const [number, controller] of this.loading) {
      if (!missing.includes(number)) { controller.abort(); this.loading.delete(number); }
    }
    clearTimeout(this.timer);
    if (missing.some((number) => !this.loading.has(number))) this.timer = setTimeout(() => this.#load(), this.#wait());
  }

  /** All lines first..last, for a copy; fetched past the cache, in large windows. */
  async read(first, last) {
    const found = [];
    for (let after = first - 1, to; after < last; after = to) {
      const lines = await this.fetchLines(after, Math.min(5000, last - after));
      to = this.#end(lines);
      if (to <= after) break;
      found.push(...lines);
    }
    return found;
  }

  /** Nobody looks any more. */
  stop() {
    clearTimeout(this.timer);
    for (const controller of this.loading.values()) controller.abort();
    this.loading.clear();
    this.wanted = [];
  }

  #wait() {
    return this.failures ? Math.min(10_000, 400 * 2 ** this.failures) : this.delay;
  }

  #lacks(number, first, last) {
    const to = Math.min(last, this.total, (number + 1) * SIZE);
    for (let place = Math.max(first, number * SIZE + 1); place <= to; place++) if (!this.get(place)) return true;
    return false;
  }

  #load() {
    for (const number of this.wanted) {
      if (this.loading.has(number)) continue;
      const controller = new AbortController();
      this.loading.set(number, controller);
      this.#window(number, controller.signal).then(
        () => {
          if (controller.signal.aborted) return;
          this.loading.delete(number);
          this.failures = 0;
          this.onChange();
        },
        (error) => {
          if (controller.signal.aborted) return;
          this.loading.delete(number);
          this.failures++;
          this.onTrouble(error);
          if (!error.final) this.timer = setTimeout(() => this.#load(), this.#wait());
        },
      );
    }
  }

  /** One window, in as many answers as the server cuts it into: very long lines come a few at a time. */
  async #window(number, signal) {
    const end = Math.min((number + 1) * SIZE, this.total);
    for (let after = number * SIZE, to; after < end; after = to) {
      const lines = await this.fetchLines(after, end - after, signal);
      to = this.#end(lines);
      if (signal.aborted || to <= after) return;
      this.put(lines);
      this.onChange();
    }
  }

  /** The place of the last line, 0 where there is none. */
  #end(lines) {
    return lines.length ? this.place(lines[lines.length - 1]) : 0;
  }

  #evict() {
    let chars = 0;
    for (const kept of this.windows.values()) chars += kept.chars;
    for (const [number, kept] of this.windows) {
      if (this.windows.size <= 4 || (this.windows.size <= KEEP && chars <= KEEP_CHARS)) break;
      chars -= kept.chars;
      this.windows.delete(number);
    }
  }
}
