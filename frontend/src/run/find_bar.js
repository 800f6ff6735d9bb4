// The find bar: searches the whole log on the server, shows the number of matches and goes from match to match. The
// matches within a row come from match_highlighter.js.
import { buildServerQuery } from "./find_query.js";
import { formatNumber } from "./format.js";
import { LineSet } from "./line_set.js";
import { MatchHighlighter } from "./match_highlighter.js";
import { loadFlag, saveFlag } from "./preferences.js";
import { ServerSearch } from "./server_search.js";

const TYPING_MS = 200;
const MAX_RANGES = 200_000; // of adjacent matching lines

export class FindBar {
  /**
   * `bar` is the element, `workerUrl` the address of match.worker.js. `log`: getTotal(), getStream(),
   * getFirstVisible(), showLine(seq), redraw(), focus(), announcer.
   */
  constructor(bar, source, workerUrl, log) {
    Object.assign(this, { bar, source, log });
    const getPart = (name) => bar.querySelector(`[data-find="${name}"]`);
    this.parts = Object.fromEntries(["input", "count", "error", "regex", "case", "previous", "next", "close"].map((name) => [name, getPart(name)]));
    this.highlighter = new MatchHighlighter(workerUrl, () => { this.version++; log.redraw(); });
    this.version = 0; // of the matches within rows
    this.matches = null; // LineSet of the matching lines
    this.currentLine = null; // the line of the current match
    this.isRegex = loadFlag("find-regex", false);
    this.isCaseMatched = loadFlag("find-match-case", false);
    this.#addListeners();
    this.#showOptions();
  }

  get isOpen() { return !this.bar.hidden; }
  get isSearching() { return Boolean(this.search) && !this.isComplete && !this.search.rejection; }

  open() {
    const wasClosed = !this.isOpen;
    this.bar.hidden = false;
    this.parts.input.focus();
    this.parts.input.select();
    if (wasClosed && this.parts.input.value) this.startSearch();
  }

  close() {
    if (!this.isOpen) return;
    this.bar.hidden = true;
    this.#resetSearch();
    this.log.redraw();
    this.log.focus();
  }

  hasMatch(seq) { return this.matches?.has(seq) ?? false; }
  findMatches(seq, text) { return this.highlighter.findMatches(seq, text); }
  setTotal(total) { this.search?.setTotal(total); }

  /** Search for the field's text, from the current position on; `isPositionKept`: do not scroll to the first match. */
  startSearch(isPositionKept = false) {
    const origin = isPositionKept ? null : this.currentLine ?? this.log.getFirstVisible();
    const text = this.parts.input.value;
    this.#resetSearch();
    if (text && this.isOpen) {
      const query = { text, isRegex: this.isRegex, ignoreCase: !this.isCaseMatched };
      const stream = this.log.getStream();
      const parameters = { ...buildServerQuery(query), ...(stream && { stream }) };
      this.origin = origin;
      this.highlighter.setQuery(query);
      this.matches = new LineSet(MAX_RANGES);
      this.search = new ServerSearch({
        fetchMatches: (after, signal) => this.source.fetchMatches(parameters, after, signal),
        matches: this.matches, total: this.log.getTotal(), onChange: () => this.#onPart(),
      });
    }
    this.#updateBar();
    this.log.redraw();
  }

  /** `direction`: 1 for the next match, -1 for the previous one. */
  goToNextMatch(direction) {
    if (this.timer) return this.startSearch();
    if (!this.matches?.count) return;
    const n = this.currentLine === null ? this.matches.countTo(this.log.getFirstVisible() - 1) + (direction < 0) : this.matches.countTo(this.currentLine);
    if (n + direction > this.matches.count && !this.isComplete && !this.matches.isFull) { this.pendingDirection = direction; return; }
    this.#goToMatch(((n + direction - 1 + this.matches.count) % this.matches.count) + 1);
  }

  #addListeners() {
    const { input, regex, case: matchCase, previous, next, close } = this.parts;
    input.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.startSearch(), TYPING_MS); });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.goToNextMatch(event.shiftKey ? -1 : 1);
    });
    regex.addEventListener("click", () => this.#toggleOption("isRegex"));
    matchCase.addEventListener("click", () => this.#toggleOption("isCaseMatched"));
    previous.addEventListener("click", () => this.goToNextMatch(-1));
    next.addEventListener("click", () => this.goToNextMatch(1));
    close.addEventListener("click", () => this.close());
  }

  #toggleOption(name) {
    this[name] = !this[name];
    saveFlag(name === "isRegex" ? "find-regex" : "find-match-case", this[name]);
    this.#showOptions();
    this.startSearch();
  }

  #showOptions() {
    this.parts.regex.setAttribute("aria-pressed", this.isRegex);
    this.parts.case.setAttribute("aria-pressed", this.isCaseMatched);
  }

  #resetSearch() {
    clearTimeout(this.timer);
    this.timer = null;
    this.search?.stop();
    this.search = this.matches = this.currentLine = this.pendingDirection = null;
    this.isComplete = false;
    this.version++;
    this.highlighter.setQuery(null);
  }

  #onPart() {
    this.isComplete ||= this.search.isDone;
    if (this.currentLine === null && this.origin !== null && this.matches.count) {
      const n = this.matches.countTo(this.origin - 1) + 1;
      if (n <= this.matches.count) this.#goToMatch(n);
      else if (this.isComplete) this.#goToMatch(1);
    } else if (this.pendingDirection) {
      const { pendingDirection } = this;
      this.pendingDirection = null;
      this.goToNextMatch(pendingDirection);
    }
    this.#updateBar();
    this.log.redraw();
  }

  #goToMatch(n) {
    this.currentLine = this.matches.getNth(n);
    this.#updateBar();
    this.log.showLine(this.currentLine);
    this.log.redraw();
    this.log.announcer.announceNow(`Match ${formatNumber(n)} of ${this.#formatTotal()}, line ${formatNumber(this.currentLine)}`);
  }

  #formatTotal() {
    return `${formatNumber(this.matches.count)}${this.isSearching || this.matches.isFull ? "+" : ""}`;
  }

  #formatCount() {
    if (!this.matches || this.search.rejection) return "";
    if (!this.matches.count) return this.isSearching ? "…" : "no match";
    const n = this.currentLine === null ? "–" : formatNumber(this.matches.countTo(this.currentLine));
    return `${n}/${this.#formatTotal()}`;
  }

  #updateBar() {
    const { input, count, error, previous, next } = this.parts;
    const rejection = this.search?.rejection.replace("(?m)", "") ?? ""; // the server puts it before every expression
    const limitNote = this.matches?.isFull ? `Too many matches. Only those up to line ${formatNumber(this.matches.last)} are listed.` : "";
    const failure = this.search?.isFailing ? "The server does not answer, trying again…" : "";
    const message = rejection || failure || limitNote;
    count.textContent = this.#formatCount();
    if (error.textContent !== message) error.textContent = message;
    error.classList.toggle("bad", Boolean(rejection));
    input.setAttribute("aria-invalid", Boolean(rejection));
    for (const button of [previous, next]) button.disabled = !this.matches?.count;
    if (this.isComplete && this.matches && !this.matches.count && !rejection && !this.isNoMatchAnnounced) this.log.announcer.announceNow("No match");
    this.isNoMatchAnnounced = this.isComplete && !this.matches?.count;
  }
}
