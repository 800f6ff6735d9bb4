// Where the match lies within the lines on the screen. Texts are looked for at once; an expression in a worker that
// is ended when it takes too long, and then only whole rows are marked.
import { pattern, spans } from "./find_query.js";

const PATIENCE_MS = 1000;
const KEEP = 2000; // lines
const NONE = [];

export class Marker {
  /** `workerUrl` is that of match.worker.js; `onFound()` hears when lines have matches that had none before. */
  constructor(workerUrl, onFound, Work = globalThis.Worker) {
    Object.assign(this, { workerUrl, onFound, Work });
    this.known = new Map(); // line -> its matches
    this.waiting = new Map(); // line -> text, for the next question
  }

  /** Look for `query` from now on, or for nothing (null). */
  look(query) {
    this.known.clear();
    this.waiting.clear();
    this.#end();
    this.query = query;
    this.given = query && pattern(query);
    this.direct = this.given && !query.regex ? new RegExp(this.given.source, this.given.flags) : null;
  }

  /** The matches in line `seq`, {from, to} each; those of an expression come later. */
  matches(seq, text) {
    if (!this.given) return NONE;
    const known = this.known.get(seq);
    if (known) return known;
    if (this.direct) return this.#keep(seq, spans(this.direct, text));
    this.waiting.set(seq, text);
    this.soon ??= setTimeout(() => { this.soon = null; this.#ask(); }, 0);
    return NONE;
  }

  #keep(seq, found) {
    if (this.known.size >= KEEP) this.known.clear();
    const matches = found.length ? found.map(([from, to]) => ({ from, to })) : NONE;
    this.known.set(seq, matches);
    return matches;
  }

  #ask() {
    if (!this.given || !this.waiting.size || this.late) return;
    if (!this.worker) {
      this.worker = new this.Work(this.workerUrl);
      this.worker.onmessage = ({ data }) => this.#answered(data);
      this.worker.onerror = (event) => { event.preventDefault?.(); this.#giveUp(); };
    }
    this.worker.postMessage({ ...this.given, texts: [...this.waiting] });
    this.waiting.clear();
    this.late = setTimeout(() => this.#giveUp(), PATIENCE_MS);
  }

  #answered(found) {
    clearTimeout(this.late);
    this.late = null;
    for (const [seq, one] of found) this.#keep(seq, one);
    this.onFound();
    this.#ask();
  }

  #giveUp() {
    this.given = null;
    this.#end();
    this.onFound();
  }

  #end() {
    clearTimeout(this.late);
    this.late = null;
    this.worker?.terminate();
    this.worker = null;
  }
}
