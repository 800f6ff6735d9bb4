// The field that looks through the whole log: the server finds the lines, this shows the count and steps from match
// to match. What is within a row is the marker's.
import { number } from "./format.js";
import { Marker } from "./match_highlighter.js";
import { keepFlag, recallFlag } from "./preferences.js";
import { asked } from "./find_query.js";
import { Ranges } from "./line_set.js";
import { Search } from "./server_search.js";

const TYPING_MS = 200;
const MOST = 200_000; // runs of neighbouring matches that are kept

export class Finder {
  /**
   * `bar` is the element, `workerUrl` the address of match.worker.js. `log` is who shows the lines: total(), stream(),
   * here() (the first line in view), show(seq), redraw(), focus(), voice.
   */
  constructor(bar, source, workerUrl, log) {
    Object.assign(this, { bar, source, log });
    const part = (name) => bar.querySelector(`[data-find="${name}"]`);
    this.parts = Object.fromEntries(["input", "count", "error", "regex", "case", "previous", "next", "close"].map((name) => [name, part(name)]));
    this.marker = new Marker(workerUrl, () => { this.version++; log.redraw(); });
    this.version = 0; // of the matches within rows
    this.hits = null;
    this.now = null; // the line of the match that the reader is at
    this.regex = recallFlag("find-regex", false);
    this.matchCase = recallFlag("find-match-case", false);
    this.#bind();
    this.#toggles();
  }

  get isOpen() { return !this.bar.hidden; }
  get searching() { return Boolean(this.search) && !this.swept && !this.search.refused; }

  open() {
    const opens = !this.isOpen;
    this.bar.hidden = false;
    this.parts.input.focus();
    this.parts.input.select();
    if (opens && this.parts.input.value) this.look();
  }

  close() {
    if (!this.isOpen) return;
    this.bar.hidden = true;
    this.#forget();
    this.log.redraw();
    this.log.focus();
  }

  has(seq) { return this.hits?.has(seq) ?? false; }
  matches(seq, text) { return this.marker.matches(seq, text); }
  grow(total) { this.search?.grow(total); }

  /** Look for what the field says now, from here on; `still`: whatever is found, the reader stays where they are. */
  look(still = false) {
    const origin = still ? null : this.now ?? this.log.here();
    const text = this.parts.input.value;
    this.#forget();
    if (text && this.isOpen) {
      const query = { text, regex: this.regex, ignoreCase: !this.matchCase };
      const stream = this.log.stream();
      const parameters = { ...asked(query), ...(stream && { stream }) };
      this.origin = origin;
      this.marker.look(query);
      this.hits = new Ranges(MOST);
      this.search = new Search({
        ask: (after, signal) => this.source.find(parameters, after, signal),
        found: this.hits, total: this.log.total(), onChange: () => this.#came(),
      });
    }
    this.#tell();
    this.log.redraw();
  }

  /** To the next match (1) or the one before (-1). */
  step(by) {
    if (this.timer) return this.look();
    if (!this.hits?.count) return;
    const at = this.now === null ? this.hits.upTo(this.log.here() - 1) + (by < 0) : this.hits.upTo(this.now);
    if (at + by > this.hits.count && !this.swept && !this.hits.full) { this.wish = by; return; }
    this.#go(((at + by - 1 + this.hits.count) % this.hits.count) + 1);
  }

  #bind() {
    const { input, regex, case: matchCase, previous, next, close } = this.parts;
    input.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.look(), TYPING_MS); });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.step(event.shiftKey ? -1 : 1);
    });
    regex.addEventListener("click", () => this.#toggle("regex"));
    matchCase.addEventListener("click", () => this.#toggle("matchCase"));
    previous.addEventListener("click", () => this.step(-1));
    next.addEventListener("click", () => this.step(1));
    close.addEventListener("click", () => this.close());
  }

  #toggle(name) {
    this[name] = !this[name];
    keepFlag(name === "regex" ? "find-regex" : "find-match-case", this[name]);
    this.#toggles();
    this.look();
  }

  #toggles() {
    this.parts.regex.setAttribute("aria-pressed", this.regex);
    this.parts.case.setAttribute("aria-pressed", this.matchCase);
  }

  #forget() {
    clearTimeout(this.timer);
    this.timer = null;
    this.search?.stop();
    this.search = this.hits = this.now = this.wish = null;
    this.swept = false;
    this.version++;
    this.marker.look(null);
  }

  /** A part of the answer is here. */
  #came() {
    this.swept ||= this.search.done;
    if (this.now === null && this.origin !== null && this.hits.count) {
      const n = this.hits.upTo(this.origin - 1) + 1;
      if (n <= this.hits.count) this.#go(n);
      else if (this.swept) this.#go(1);
    } else if (this.wish) {
      const { wish } = this;
      this.wish = null;
      this.step(wish);
    }
    this.#tell();
    this.log.redraw();
  }

  #go(n) {
    this.now = this.hits.nth(n);
    this.#tell();
    this.log.show(this.now);
    this.log.redraw();
    this.log.voice.whisper(`Match ${number(n)} of ${this.#total()}, line ${number(this.now)}`);
  }

  #total() {
    return `${number(this.hits.count)}${this.searching || this.hits.full ? "+" : ""}`;
  }

  #count() {
    if (!this.hits || this.search.refused) return "";
    if (!this.hits.count) return this.searching ? "…" : "no match";
    const at = this.now === null ? "–" : number(this.hits.upTo(this.now));
    return `${at}/${this.#total()}`;
  }

  #tell() {
    const { input, count, error, previous, next } = this.parts;
    const refused = this.search?.refused.replace("(?m)", "") ?? ""; // which the server puts before every expression
    const note = this.hits?.full ? `Too many: only matches up to line ${number(this.hits.last)} are listed.` : "";
    const lost = this.search?.trouble ? "The server does not answer, trying again…" : "";
    const said = refused || lost || note;
    count.textContent = this.#count();
    if (error.textContent !== said) error.textContent = said;
    error.classList.toggle("bad", Boolean(refused));
    input.setAttribute("aria-invalid", Boolean(refused));
    for (const button of [previous, next]) button.disabled = !this.hits?.count;
    if (this.swept && this.hits && !this.hits.count && !refused && !this.told) this.log.voice.whisper("No match");
    this.told = this.swept && !this.hits?.count;
  }
}
