// Finds the matches within the visible lines. A plain text is matched at once. A regular expression runs in a worker
// that is terminated when it takes too long; then only whole rows are highlighted.
import { buildPattern, findSpans } from "./find_query.js";

const TIMEOUT_MS = 1000;
const MAX_CACHED_LINES = 2000;
const NO_MATCHES = [];

export class MatchHighlighter {
  /** `workerUrl` is the address of match.worker.js; `onFound()` is called when lines have new matches. */
  constructor(workerUrl, onFound, WorkerClass = globalThis.Worker) {
    Object.assign(this, { workerUrl, onFound, WorkerClass });
    this.cache = new Map(); // line -> its matches
    this.pending = new Map(); // line -> text, for the next message to the worker
  }

  /** `query` null: no matches. */
  setQuery(query) {
    this.cache.clear();
    this.pending.clear();
    this.#terminateWorker();
    this.query = query;
    this.pattern = query && buildPattern(query);
    this.textRegExp = this.pattern && !query.isRegex ? new RegExp(this.pattern.source, this.pattern.flags) : null;
  }

  /** The matches in line `seq` as {from, to}. Those of a regular expression come later: onFound() is called then. */
  findMatches(seq, text) {
    if (!this.pattern) return NO_MATCHES;
    const cached = this.cache.get(seq);
    if (cached) return cached;
    if (this.textRegExp) return this.#cacheMatches(seq, findSpans(this.textRegExp, text));
    this.pending.set(seq, text);
    this.sendTimer ??= setTimeout(() => { this.sendTimer = null; this.#sendPending(); }, 0);
    return NO_MATCHES;
  }

  #cacheMatches(seq, spans) {
    if (this.cache.size >= MAX_CACHED_LINES) this.cache.clear();
    const matches = spans.length ? spans.map(([from, to]) => ({ from, to })) : NO_MATCHES;
    this.cache.set(seq, matches);
    return matches;
  }

  #sendPending() {
    if (!this.pattern || !this.pending.size || this.timeoutTimer) return;
    if (!this.worker) {
      this.worker = new this.WorkerClass(this.workerUrl);
      this.worker.onmessage = ({ data }) => this.#onResult(data);
      this.worker.onerror = (event) => { event.preventDefault?.(); this.#disable(); };
    }
    this.worker.postMessage({ ...this.pattern, texts: [...this.pending] });
    this.pending.clear();
    this.timeoutTimer = setTimeout(() => this.#disable(), TIMEOUT_MS);
  }

  #onResult(results) {
    clearTimeout(this.timeoutTimer);
    this.timeoutTimer = null;
    for (const [seq, spans] of results) this.#cacheMatches(seq, spans);
    this.onFound();
    this.#sendPending();
  }

  #disable() {
    this.pattern = null;
    this.#terminateWorker();
    this.onFound();
  }

  #terminateWorker() {
    clearTimeout(this.timeoutTimer);
    this.timeoutTimer = null;
    this.worker?.terminate();
    this.worker = null;
  }
}
