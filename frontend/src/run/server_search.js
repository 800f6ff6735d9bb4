// Asks the server which lines match, part by part, to the end of the log and on while it grows. Knows no DOM.

const LIVE_MS = 500; // between two questions about lines that have just come
const STUCK_MS = 1000;

export class Search {
  /**
   * `ask(after, signal)` resolves to `{ranges, next, lines}`; it rejects with an error that has `refused`, a
   * sentence, when what is looked for is no expression. `found` is a Ranges; `onChange()` hears of every part.
   */
  constructor({ ask, found, total, onChange }) {
    Object.assign(this, { ask, found, total, onChange });
    this.looked = 0; // the last line that was looked at
    this.refused = "";
    this.trouble = false;
    this.failures = 0;
    this.waiting = []; // who wants to know that all up to a line was looked at: {seq, resolve, reject}
    this.controller = new AbortController();
    this.#soon(0);
  }

  /** Every line that there is was looked at, or no more can be kept. */
  get done() { return this.found.full || Boolean(this.refused) || this.looked >= this.total; }

  /** The log has `total` lines now. */
  grow(total) {
    if (total <= this.total) return;
    this.total = total;
    this.#soon(LIVE_MS);
  }

  /** Lines that have just come, of which those count that are `wanted`: nothing has to be asked for them. */
  take(lines, wanted) {
    if (!lines.length || lines[0].seq > this.looked + 1) return;
    for (const line of lines) {
      if (line.seq <= this.looked) continue;
      if (wanted(line) && !this.found.push(line.seq, line.seq)) return;
      this.looked = line.seq;
    }
    this.total = Math.max(this.total, this.looked);
    this.#heard();
  }

  /**
   * Resolves once every line up to `seq` that there is was looked at, or no more can be kept; rejects where the server
   * does not answer, and when nobody looks any more.
   */
  until(seq) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ seq: Math.min(seq, this.total), resolve, reject });
      this.#heard();
    });
  }

  stop() {
    this.controller.abort();
    clearTimeout(this.timer);
    this.#heard();
  }

  #heard() {
    const { waiting } = this;
    const over = this.controller.signal.aborted || this.trouble;
    this.waiting = waiting.filter(({ seq }) => !this.done && seq > this.looked && !over);
    for (const one of waiting) {
      if (this.done || one.seq <= this.looked) one.resolve();
      else if (over) one.reject(new Error("not all lines were looked at"));
    }
  }

  #soon(wait) {
    if (this.timer || this.asking || this.done || this.controller.signal.aborted) return;
    this.timer = setTimeout(() => { this.timer = null; this.#look(); }, wait);
  }

  async #look() {
    const { signal } = this.controller;
    if (signal.aborted || this.done) return;
    const from = this.looked;
    let wait = 0;
    this.asking = true;
    try {
      this.#add(await this.ask(from, signal));
      this.failures = 0;
      this.trouble = false;
      if (this.looked === from) wait = STUCK_MS;
    } catch (error) {
      if (error.refused) this.refused = error.refused;
      else this.trouble = true;
      wait = Math.min(10_000, 400 * 2 ** this.failures++);
    }
    this.asking = false;
    if (signal.aborted) return;
    this.onChange();
    this.#heard();
    this.#soon(wait);
  }

  #add({ ranges, next, lines }) {
    if (this.controller.signal.aborted) return;
    for (const [first, last] of ranges) {
      const from = Math.max(first, this.looked + 1); // lines that came meanwhile are here already
      if (from <= last && !this.found.push(from, last)) return;
    }
    this.looked = Math.max(this.looked, next);
    this.total = Math.max(this.total, lines);
  }
}
