// The log viewer: binds store, feed and scroller to the panel of the run page.
import { Feed } from "./feed.js";
import { clock, formatHash, lines as countLines, parseHash, sinceStart, statusLine } from "./format.js";
import { plain } from "./ansi.js";
import { drawRow } from "./row.js";
import { Scroller } from "./scroller.js";
import { LineStore } from "./store.js";

const FLUSH_MS = 100;
const SAY_MS = 10_000;
const TAIL = 1000; // lines the socket sends of a log that is already long
const COPY_LIMIT = 100_000; // lines
const TIMES = ["off", "start", "clock"];

export class Viewer {
  constructor(panel, { onStatus, onEnd }) {
    this.panel = panel;
    this.data = panel.dataset;
    this.onStatus = onStatus;
    this.onEnd = onEnd;
    this.live = this.data.live === "true";
    this.startMs = Number(this.data.start) || 0;
    this.expected = this.live ? null : Number(this.data.expected);
    this.state = this.live ? "connecting" : "done";
    this.partial = [];
    this.whole = new Set();
    this.fresh = 0; // lines that came while the reader looked elsewhere
    this.buffer = [];
    this.time = this.#stored("time", TIMES, "off");
    this.wrapped = this.#stored("wrap", ["on", "off"], "off") === "on";
    const total = Number(this.data.lines);
    const find = (name) => panel.querySelector(`[data-log="${name}"]`);
    this.parts = Object.fromEntries(["scroll", "spacer", "block", "empty", "status", "say", "pill", "follow", "wrap", "full", "copy"].map((name) => [name, find(name)]));
    this.store = new LineStore((...request) => this.#fetch(...request).then((page) => page.lines), total, {
      onChange: () => { this.trouble = false; this.scroller.refresh(); this.#status(); },
      onTrouble: () => { this.trouble = true; this.#status(); },
    });
    this.follow = this.live || this.data.failed === "true";
    this.scroller = new Scroller({
      ...this.parts,
      draw: (n, old) => this.#draw(n, old),
      need: (first, last) => this.store.want(first, last),
      moved: (byHand) => this.#moved(byHand),
    });
    this.#bind();
    this.#begin(total);
  }

  #begin(total) {
    this.scroller.wrapped = this.wrapped;
    this.#looks();
    this.#grow();
    this.marked = parseHash(location.hash);
    if (this.marked) this.#showMarked();
    else if (this.follow) this.scroller.toEnd();
    if (!this.live) return this.#status();
    const base = location.origin.replace(/^http/, "ws");
    this.feed = new Feed({
      url: (after) => `${base}${this.data.socket}?after=${after}`,
      fetchPage: (after) => this.#fetch(after, 5000),
      last: Math.max(0, total - TAIL),
      on: {
        lines: (lines) => this.#take(lines),
        partial: (lines) => { this.nextPartial = lines; this.#soon(); },
        status: (message) => this.onStatus(message),
        end: (message) => this.#ended(message),
        state: (word) => { if (word !== this.state) { this.state = word; this.#status(true); } },
      },
    });
    this.feed.open();
    addEventListener("online", () => this.feed.wake());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.feed.wake(); });
    // A page that the browser kept for "back" comes with a dead socket.
    addEventListener("pageshow", (event) => { if (event.persisted) this.feed.wake(); });
  }

  async #fetch(after, limit, signal) {
    const answer = await fetch(`${this.data.api}?after=${after}&limit=${limit}`, { signal, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the log answered ${answer.status}`);
    const page = await answer.json();
    return { ended: page.ended, lines: page.lines.map((line) => ({ seq: line.seq, ms: Date.parse(line.time), stream: line.stream, text: line.text })) };
  }

  // ---- what comes in

  #take(lines) {
    this.buffer.push(...lines);
    this.#soon();
  }

  /** Draw now when it was quiet, else at most ten times a second. */
  #soon() {
    if (this.timer) return;
    const wait = Math.max(0, FLUSH_MS - (performance.now() - (this.flushed ?? -FLUSH_MS)));
    this.timer = setTimeout(() => { this.timer = null; this.#flush(); }, wait);
  }

  #flush() {
    this.flushed = performance.now();
    this.#yields();
    const before = this.store.total;
    const had = this.partial.length + this.buffer.length; // lines the page counted at its start have rows already, empty ones
    this.store.put(this.buffer);
    this.buffer = [];
    if (this.nextPartial) { this.partial = this.nextPartial; this.nextPartial = null; }
    if (!this.follow) this.fresh += this.store.total - before;
    this.#grow();
    if (had || this.partial.length) this.scroller.refresh();
    if (this.follow) this.scroller.toEnd();
    this.#status();
    this.#pill();
  }

  #ended(message) {
    this.#flush();
    this.live = false;
    this.expected = typeof message.lines === "number" ? message.lines : this.store.total;
    this.onEnd(message);
  }

  #grow() {
    const count = this.store.total + this.partial.length;
    const digits = Math.max(4, String(this.store.total).length);
    if (digits !== this.digits) this.parts.block.style.setProperty("--log-no", (this.digits = digits));
    this.scroller.grow(count);
    this.parts.empty.hidden = count > 0;
    if (!count) this.parts.empty.textContent = this.live ? "Nothing written yet. Lines show here the moment they arrive." : "This run wrote nothing.";
  }

  // ---- what the reader does

  #bind() {
    const { scroll, pill, follow, wrap, full, copy } = this.parts;
    pill.addEventListener("click", () => this.#followOn());
    follow.addEventListener("click", () => (this.follow ? this.#setFollow(false) : this.#followOn()));
    wrap.addEventListener("click", () => this.#setWrap(!this.wrapped));
    full.addEventListener("click", () => this.#fullScreen(!this.panel.classList.contains("full")));
    copy.addEventListener("click", () => this.#copyLines());
    for (const button of this.panel.querySelectorAll("[data-time]")) button.addEventListener("click", () => this.#setTime(button.dataset.time));
    for (const kind of ["wheel", "touchmove"]) scroll.addEventListener(kind, () => this.#yields(), { passive: true });
    scroll.addEventListener("click", (event) => this.#clicked(event));
    scroll.addEventListener("keydown", (event) => this.#key(event));
    scroll.addEventListener("copy", (event) => this.#copySelection(event));
    addEventListener("hashchange", () => { this.marked = parseHash(location.hash); if (this.marked) this.#showMarked(); });
    this.panel.addEventListener("keydown", (event) => { if (event.key === "Escape") this.#fullScreen(false); });
    document.addEventListener("cronium:theme", () => this.scroller.refresh());
  }

  #clicked(event) {
    const link = event.target.closest("a.log-no");
    if (!link?.dataset.n || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const n = Number(link.dataset.n);
    const from = event.shiftKey && this.marked ? this.marked[0] : n;
    this.marked = [Math.min(from, n), Math.max(from, n)];
    history.replaceState(null, "", formatHash(this.marked));
    this.#setFollow(false);
    this.scroller.refresh();
    this.#looks();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button")) return;
    const { scroller } = this;
    const page = this.parts.scroll.clientHeight - 2 * scroller.line;
    const acts = {
      j: () => scroller.by(scroller.line), k: () => { this.#setFollow(false); scroller.by(-scroller.line); },
      ArrowDown: () => scroller.by(scroller.line), ArrowUp: () => { this.#setFollow(false); scroller.by(-scroller.line); },
      PageDown: () => scroller.by(page), PageUp: () => { this.#setFollow(false); scroller.by(-page); },
      Home: () => { this.#setFollow(false); scroller.goTo(1); }, End: () => this.#followOn(),
      g: () => { this.#setFollow(false); scroller.goTo(1); }, G: () => this.#followOn(),
      f: () => (this.follow ? this.#setFollow(false) : this.#followOn()),
      w: () => this.#setWrap(!this.wrapped), t: () => this.#setTime(TIMES[(TIMES.indexOf(this.time) + 1) % 3]),
      " ": () => (event.shiftKey ? (this.#setFollow(false), scroller.by(-page)) : scroller.by(page)),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  /** The reader has scrolled away from the end since we last put it there: let go. */
  #yields() {
    if (this.follow && this.parts.scroll.scrollTop < this.scroller.top - 1) this.#setFollow(false);
  }

  #moved(byHand) {
    if (!byHand) { if (this.follow) this.scroller.toEnd(); return; }
    if (this.scroller.atEnd) { this.fresh = 0; if (!this.follow) this.#setFollow(true); }
    else if (this.follow) this.#setFollow(false);
    this.#pill();
  }

  #setFollow(on) {
    this.follow = on;
    if (on) this.fresh = 0;
    this.#looks();
    this.#pill();
  }

  #followOn() { this.#setFollow(true); this.scroller.toEnd(); }

  #setWrap(on) {
    this.wrapped = on;
    this.#store("wrap", on ? "on" : "off");
    this.#looks();
    this.scroller.wrap(on);
    if (this.follow) this.scroller.toEnd();
  }

  #setTime(kind) {
    this.time = kind;
    this.#store("time", kind);
    this.#looks();
    this.scroller.refresh();
  }

  #fullScreen(on) {
    this.panel.classList.toggle("full", on);
    document.body.classList.toggle("log-full", on);
    this.#looks();
    this.scroller.resized();
  }

  #showMarked() {
    const [first] = this.marked;
    this.#setFollow(false);
    if (first <= this.store.total) this.scroller.goTo(first, 0.3);
    this.scroller.refresh();
    this.#looks();
  }

  // ---- copies

  async #copyLines() {
    const [first, last] = this.marked || [1, this.store.total];
    if (last - first >= COPY_LIMIT) return this.#say(`That is ${countLines(last - first + 1)}: use Download.`, true);
    try {
      const lines = await this.store.read(first, Math.min(last, this.store.total));
      await navigator.clipboard.writeText(lines.map((line) => plain(line.text)).join("\n") + "\n");
      this.#say(`${countLines(lines.length)} copied.`, true);
    } catch {
      this.#say("Nothing was copied: the browser or the server refused. Use Download.", true);
    }
  }

  /** A selection by hand: the text of its rows, a line each, without numbers, times and marks. */
  #copySelection(event) {
    const range = getSelection()?.rangeCount ? getSelection().getRangeAt(0) : null;
    if (!range || range.collapsed) return;
    const texts = [...this.scroller.rows].sort((a, b) => a[0] - b[0]).map(([, row]) => row.querySelector(".log-text"))
      .filter((text) => range.intersectsNode(text)).map((text) => {
        const part = document.createRange();
        part.selectNodeContents(text);
        if (text.contains(range.startContainer)) part.setStart(range.startContainer, range.startOffset);
        if (text.contains(range.endContainer)) part.setEnd(range.endContainer, range.endOffset);
        return part.toString();
      });
    event.clipboardData.setData("text/plain", texts.join("\n"));
    event.preventDefault();
  }

  // ---- what it shows

  #draw(n, old) {
    const partial = n > this.store.total;
    const line = partial ? this.partial[n - this.store.total - 1] : this.store.get(n);
    const time = !line || partial || this.time === "off" ? "" : this.time === "clock" ? clock(line.ms) : sinceStart(line.ms - (this.startMs || line.ms));
    const marked = !partial && Boolean(this.marked) && n >= this.marked[0] && n <= this.marked[1];
    return drawRow(n, line, {
      old, partial, time, marked, whole: this.whole.has(n),
      onWhole: () => { this.whole.add(n); this.scroller.refresh(); },
    });
  }

  #looks() {
    const { follow, wrap, full, copy, block } = this.parts;
    follow.setAttribute("aria-pressed", this.follow);
    wrap.setAttribute("aria-pressed", this.wrapped);
    const isFull = this.panel.classList.contains("full");
    full.setAttribute("aria-pressed", isFull);
    this.panel.classList.toggle("wrap", this.wrapped);
    for (const button of this.panel.querySelectorAll("[data-time]")) button.setAttribute("aria-pressed", button.dataset.time === this.time);
    block.style.setProperty("--log-time", this.time === "off" ? "0ch" : this.time === "clock" ? "14ch" : "12ch");
    const [first, last] = this.marked || [];
    copy.title = !this.marked ? "Copy the whole log" : first === last ? `Copy line ${first}` : `Copy lines ${first} to ${last}`;
    copy.setAttribute("aria-label", copy.title);
  }

  #pill() {
    const { pill } = this.parts;
    pill.hidden = this.follow || this.fresh === 0;
    pill.querySelector("span").textContent = `${this.fresh.toLocaleString("en")} new line${this.fresh === 1 ? "" : "s"}`;
  }

  #status(aloud = false) {
    const { kind, text } = statusLine({ state: this.state, total: this.store.total, expected: this.expected, trouble: this.trouble });
    const { status } = this.parts;
    if (status.dataset.kind !== kind) {
      status.dataset.kind = kind;
      const icon = { good: "circle-check", live: "circle-check", wait: "wifi-off", gap: "alert-triangle" }[kind];
      status.querySelector("use").setAttribute("href", `${this.data.sprite}#${icon}`);
    }
    status.querySelector("span").textContent = text;
    this.#say(text, aloud || kind === "gap");
  }

  /** To screen readers: at once when it matters, else every ten seconds at most. */
  #say(text, now = false) {
    this.toSay = text;
    const wait = now ? 0 : SAY_MS - (performance.now() - (this.said ?? 0));
    clearTimeout(this.sayTimer);
    this.sayTimer = setTimeout(() => {
      this.said = performance.now();
      if (this.parts.say.textContent !== this.toSay) this.parts.say.textContent = this.toSay;
    }, Math.max(0, wait));
    if (now) {
      const toast = this.panel.querySelector('[data-log="toast"]');
      if (toast && text.endsWith(".")) {
        toast.textContent = text;
        clearTimeout(this.toastTimer);
        this.toastTimer = setTimeout(() => { toast.textContent = ""; }, 4000);
      }
    }
  }

  #stored(name, allowed, otherwise) {
    try {
      const value = localStorage.getItem(`cronium-log-${name}`);
      return allowed.includes(value) ? value : otherwise;
    } catch {
      return otherwise;
    }
  }

  #store(name, value) {
    try {
      localStorage.setItem(`cronium-log-${name}`, value);
    } catch {
      // only a preference
    }
  }
}

