// Caches windows of lines near the visible part, and fetches the missing ones. Uses no DOM.
//
// A line's position counts the lines that the buffer is for: all lines of a log, or the lines of one stream.

const WINDOW_SIZE = 500; // lines
const MAX_WINDOWS = 40;
const MAX_CHARS = 12_000_000; // in all windows

export class LineBuffer {
  /**
   * `fetchLines(after, limit, signal)` resolves to lines `{seq, ms, stream, text}`; `getPosition(line)` returns the
   * position from 1, or 0 for a line that does not belong here (default: the line's number). `onChange()` is called
   * after each window, `onError(error)` after each failed request.
   */
  constructor(fetchLines, total, { delay = 40, getPosition = (line) => line.seq, onChange = () => {}, onError = () => {} } = {}) {
    Object.assign(this, { fetchLines, total, delay, getPosition, onChange, onError });
    this.windows = new Map(); // window number -> {lines: Array, chars}, least recently used first
    this.loading = new Map(); // window number -> AbortController
    this.missing = []; // window numbers
    this.failures = 0;
  }

  /** The line, or undefined while it is not loaded. */
  getLine(position) {
    return this.windows.get(Math.floor((position - 1) / WINDOW_SIZE))?.lines[(position - 1) % WINDOW_SIZE];
  }

  storeLines(lines) {
    for (const line of lines) {
      const position = this.getPosition(line);
      if (!position) continue;
      const number = Math.floor((position - 1) / WINDOW_SIZE);
      let cached = this.windows.get(number);
      if (!cached) this.windows.set(number, (cached = { lines: [], chars: 0 }));
      const index = (position - 1) % WINDOW_SIZE;
      if (!cached.lines[index]) cached.chars += line.text.length;
      cached.lines[index] = line;
      if (position > this.total) this.total = position;
    }
    this.#evictWindows();
  }

  /** Fetch the missing lines of first..last, the visible part; requests for other windows are cancelled. */
  requestLines(first, last) {
    const missing = [];
    for (let number = Math.floor((first - 1) / WINDOW_SIZE); number <= Math.floor((Math.min(last, this.total) - 1) / WINDOW_SIZE); number++) {
      if (number >= 0 && this.#hasMissingLine(number, first, last)) missing.push(number);
      const cached = this.windows.get(number);
      if (cached) { this.windows.delete(number); this.windows.set(number, cached); }
    }
    this.missing = missing;
    for (const [number, controller] of this.loading) {
      if (!missing.includes(number)) { controller.abort(); this.loading.delete(number); }
    }
    clearTimeout(this.timer);
    if (missing.some((number) => !this.loading.has(number))) this.timer = setTimeout(() => this.#fetchMissing(), this.#computeDelay());
  }

  /** All lines first..last, for a copy: fetched in large windows, and not cached. */
  async readLines(first, last) {
    const result = [];
    for (let after = first - 1, to; after < last; after = to) {
      const lines = await this.fetchLines(after, Math.min(5000, last - after));
      to = this.#getLastPosition(lines);
      if (to <= after) break;
      result.push(...lines);
    }
    return result;
  }

  cancelRequests() {
    clearTimeout(this.timer);
    for (const controller of this.loading.values()) controller.abort();
    this.loading.clear();
    this.missing = [];
  }

  #computeDelay() {
    return this.failures ? Math.min(10_000, 400 * 2 ** this.failures) : this.delay;
  }

  #hasMissingLine(number, first, last) {
    const to = Math.min(last, this.total, (number + 1) * WINDOW_SIZE);
    for (let position = Math.max(first, number * WINDOW_SIZE + 1); position <= to; position++) if (!this.getLine(position)) return true;
    return false;
  }

  #fetchMissing() {
    for (const number of this.missing) {
      if (this.loading.has(number)) continue;
      const controller = new AbortController();
      this.loading.set(number, controller);
      this.#fetchWindow(number, controller.signal).then(
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
          this.onError(error);
          if (!error.isFinal) this.timer = setTimeout(() => this.#fetchMissing(), this.#computeDelay());
        },
      );
    }
  }

  /** The server may answer with fewer lines than asked for when they are very long, so a window can take several requests. */
  async #fetchWindow(number, signal) {
    const end = Math.min((number + 1) * WINDOW_SIZE, this.total);
    for (let after = number * WINDOW_SIZE, to; after < end; after = to) {
      const lines = await this.fetchLines(after, end - after, signal);
      to = this.#getLastPosition(lines);
      if (signal.aborted || to <= after) return;
      this.storeLines(lines);
      this.onChange();
    }
  }

  #getLastPosition(lines) {
    return lines.length ? this.getPosition(lines[lines.length - 1]) : 0;
  }

  #evictWindows() {
    let chars = 0;
    for (const cached of this.windows.values()) chars += cached.chars;
    for (const [number, cached] of this.windows) {
      if (this.windows.size <= 4 || (this.windows.size <= MAX_WINDOWS && chars <= MAX_CHARS)) break;
      chars -= cached.chars;
      this.windows.delete(number);
    }
  }
}
