// Asks the server which lines match, part by part, to the end of the log and on while it grows. Uses no DOM.

const LIVE_INTERVAL_MS = 500; // between two requests about new lines
const NO_PROGRESS_MS = 1000; // before the next request, when a part brought no further line

export class ServerSearch {
  /**
   * `fetchMatches(after, signal)` resolves to `{ranges, next, lines}`; it rejects with an error that has `rejection`,
   * a sentence, when the expression is invalid. `matches` is a LineSet; `onChange()` is called after every part.
   */
  constructor({ fetchMatches, matches, total, onChange }) {
    Object.assign(this, { fetchMatches, matches, total, onChange });
    this.searchedTo = 0; // the last line that was searched
    this.rejection = "";
    this.isFailing = false; // the last request failed
    this.failures = 0;
    this.waiters = []; // {seq, resolve, reject} of waitUntilSearched
    this.controller = new AbortController();
    this.#scheduleRequest(0);
  }

  /** All lines were searched, or the set of matches is full, or the expression was rejected. */
  get isDone() { return this.matches.isFull || Boolean(this.rejection) || this.searchedTo >= this.total; }

  setTotal(total) {
    if (total <= this.total) return;
    this.total = total;
    this.#scheduleRequest(LIVE_INTERVAL_MS);
  }

  /** Add new lines for which `isMatch(line)` decides, without a request. */
  addLines(lines, isMatch) {
    if (!lines.length || lines[0].seq > this.searchedTo + 1) return;
    for (const line of lines) {
      if (line.seq <= this.searchedTo) continue;
      if (isMatch(line) && !this.matches.addRange(line.seq, line.seq)) return;
      this.searchedTo = line.seq;
    }
    this.total = Math.max(this.total, this.searchedTo);
    this.#settleWaiters();
  }

  /** Resolves once all existing lines up to `seq` were searched, or the set is full; rejects if the search fails or stops. */
  waitUntilSearched(seq) {
    return new Promise((resolve, reject) => {
      this.waiters.push({ seq: Math.min(seq, this.total), resolve, reject });
      this.#settleWaiters();
    });
  }

  stop() {
    this.controller.abort();
    clearTimeout(this.timer);
    this.#settleWaiters();
  }

  #settleWaiters() {
    const { waiters } = this;
    const hasStopped = this.controller.signal.aborted || this.isFailing;
    this.waiters = waiters.filter(({ seq }) => !this.isDone && seq > this.searchedTo && !hasStopped);
    for (const waiter of waiters) {
      if (this.isDone || waiter.seq <= this.searchedTo) waiter.resolve();
      else if (hasStopped) waiter.reject(new Error("not all lines were searched"));
    }
  }

  #scheduleRequest(wait) {
    if (this.timer || this.isRequesting || this.isDone || this.controller.signal.aborted) return;
    this.timer = setTimeout(() => { this.timer = null; this.#requestNextPart(); }, wait);
  }

  async #requestNextPart() {
    const { signal } = this.controller;
    if (signal.aborted || this.isDone) return;
    const from = this.searchedTo;
    let wait = 0;
    this.isRequesting = true;
    try {
      this.#addPart(await this.fetchMatches(from, signal));
      this.failures = 0;
      this.isFailing = false;
      if (this.searchedTo === from) wait = NO_PROGRESS_MS;
    } catch (error) {
      if (error.rejection) this.rejection = error.rejection;
      else this.isFailing = true;
      wait = Math.min(10_000, 400 * 2 ** this.failures++);
    }
    this.isRequesting = false;
    if (signal.aborted) return;
    this.onChange();
    this.#settleWaiters();
    this.#scheduleRequest(wait);
  }

  #addPart({ ranges, next, lines }) {
    if (this.controller.signal.aborted) return;
    for (const [first, last] of ranges) {
      const from = Math.max(first, this.searchedTo + 1); // new lines may have been added during the request
      if (from <= last && !this.matches.addRange(from, last)) return;
    }
    this.searchedTo = Math.max(this.searchedTo, next);
    this.total = Math.max(this.total, lines);
  }
}
