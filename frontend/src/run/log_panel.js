// The log viewer: binds what comes in, what is shown and what the reader does to the panel of the run page.
import { Finder } from "./find_bar.js";
import { readGaps, same, tally } from "./gaps.js";
import { Incoming } from "./live_batcher.js";
import { Marks } from "./line_anchor.js";
import { Reader } from "./controls.js";
import { drawGap, drawLine, stamp } from "./row_renderer.js";
import { Source } from "./http_source.js";
import { Stage } from "./log_view.js";
import { SILENCE_MS, SILENT, statusLine } from "./status_line.js";
import { StreamCounts } from "./stream_counts.js";
import { Voice } from "./announcer.js";

const NONE = () => [];
const NARROW = matchMedia("(max-width: 991.98px)");

export class Viewer {
  /** `onStatus(message)` and `onEnd(message)` hear what the socket says of the run. */
  constructor(panel, { onStatus, onEnd }) {
    Object.assign(this, { panel, data: panel.dataset, onStatus, onEnd });
    const part = (name) => panel.querySelector(`[data-log="${name}"]`);
    this.parts = Object.fromEntries(["scroll", "spacer", "block", "empty", "status", "toast", "say", "order", "errors"].map((name) => [name, part(name)]));
    this.live = this.data.live === "true";
    this.startMs = Number(this.data.start) || 0;
    // What the status line tells; an ended log is whole only once the server has said that it has no gap.
    this.log = { state: this.live ? "connecting" : "done", expected: this.live ? null : Number(this.data.expected), trouble: "", gone: "", checked: this.live, sealed: this.data.sealed === "true", hostGone: this.data.status === "lost" };
    this.droppedBytes = 0;
    this.whole = new Set(); // lines that are shown to their end
    this.voice = new Voice({ ...this.parts, sprite: this.data.sprite });
    const { lines, stdoutLines, stderrLines, streams } = this.data;
    this.counts = new StreamCounts({ lines: Number(lines), stdout: Number(stdoutLines), stderr: Number(stderrLines), merged: streams === "merged" });
    this.source = new Source(this.data.api, (gaps) => this.#answered(gaps));
    this.stage = this.#stage(Number(this.data.lines));
    this.finder = this.#finder(part("find-bar"));
    this.marks = new Marks(() => this.#linked());
    this.reader = new Reader(this);
    this.#begin();
  }

  /** The script began at `ms`: times since then follow. */
  began(ms) {
    if (ms === this.startMs) return;
    this.startMs = ms;
    this.redraw();
  }

  /** Put right the times of the lines that are drawn: they pass, and nothing else has changed. */
  retime() {
    const { scroller } = this.stage;
    for (const [n, row] of scroller.rows) {
      const { seq, line } = this.stage.item(n);
      if (seq && line) stamp(row, this.reader.times.stamp(line.ms, this.startMs), line.ms);
    }
  }

  /** Draw what is in view anew: something but its text has changed. */
  redraw() {
    this.stage.scroller.refresh();
    this.stage.reveal();
    this.#fit();
    this.status();
  }

  #stage(total) {
    return new Stage({
      parts: this.parts, source: this.source, total, live: () => this.live,
      on: {
        draw: (item, old) => this.#draw(item, old),
        changed: (error) => { this.#troubled(error); this.redraw(); },
        grown: () => this.#grown(),
        lift: () => this.reader.setStream("", true),
        moved: (byHand) => this.reader.moved(byHand),
        arrived: () => this.reader.setFollow(false),
        whole: (seq) => { this.whole.add(seq); this.redraw(); },
        absent: (words) => { this.voice.tell(words); this.reader.looks(); },
      },
    });
  }

  #finder(bar) {
    return new Finder(bar, this.source, this.data.matchWorker, {
      total: () => this.stage.total, stream: () => this.stage.stream, here: () => this.stage.here(),
      show: (seq) => { this.reader.setFollow(false); this.stage.point(seq); },
      redraw: () => { this.redraw(); this.reader.looks(); },
      focus: () => this.parts.scroll.focus({ preventScroll: true }), voice: this.voice,
    });
  }

  #begin() {
    this.stage.scroller.wrapped = this.reader.wrapped;
    this.stage.grow();
    if (this.marks.range) this.#linked();
    if (this.reader.follow) this.stage.scroller.toEnd();
    // Where no line has to be read, the gaps have to be asked for.
    if (!this.stage.total && !this.live) this.source.lines({ after: 0, limit: 1 }).catch(() => {});
    this.#fit();
    this.#looks();
    if (this.live) this.#listen();
  }

  #listen() {
    const incoming = new Incoming({
      address: location.origin.replace(/^http/, "ws") + this.data.socket,
      source: this.source, total: this.stage.total,
      on: {
        flush: (lines, partials) => this.#take(lines, partials),
        gaps: (gaps) => this.#gaps(readGaps(gaps)),
        status: (message) => this.onStatus(message),
        end: (message) => this.#ended(message),
        error: (words) => { this.#troubled({ words }); this.status(true); },
        state: (word) => this.#stands(word),
      },
    });
    incoming.open();
    this.incoming = incoming;
    this.ticking = setInterval(() => this.#listenFor(), 1000);
    addEventListener("online", () => incoming.wake());
    addEventListener("offline", () => { this.offlineAt = Date.now(); this.#listenFor(); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) incoming.wake(); });
    // A page that the browser kept for "back" comes with a dead socket.
    addEventListener("pageshow", (event) => { if (event.persisted) incoming.wake(); });
  }

  // ---- what comes in

  /** How the connection stands, in a word of live_socket.js. */
  #stands(word) {
    if (word === this.log.state) return;
    if (word === "live") this.log.trouble = "";
    this.log.state = word;
    this.status(true);
  }

  /** Whether the server still speaks: a socket may be open, and nobody at its other end. */
  #listenFor() {
    if (!this.live || this.log.state === "refused") return;
    const { silence } = this.incoming;
    const offline = !navigator.onLine && this.offlineAt > Date.now() - silence;
    const before = this.log.offline || this.log.silence >= SILENCE_MS;
    Object.assign(this.log, { silence, offline });
    const isSilent = offline || silence >= SILENCE_MS;
    document.documentElement.toggleAttribute("data-silent-log", isSilent);
    if (isSilent || before) this.status(isSilent !== before, isSilent);
  }

  /** What keeps lines from coming, or nothing any more. */
  #troubled(error) {
    this.log.trouble = error ? error.words || SILENT : "";
    if (error?.final) this.log.gone = this.log.trouble;
  }

  #take(lines, partials) {
    this.reader.yields();
    const fresh = this.stage.take(lines, partials);
    if (this.counts.take(lines)) this.#counted();
    this.finder.grow(this.stage.total);
    this.#grown();
    this.reader.came(fresh);
  }

  /** More lines are known of each stream. */
  #counted() {
    const { counts: { stderr, isOrderInexact }, parts: { errors, order } } = this;
    const words = stderr ? `(${stderr.toLocaleString("en")})` : "";
    if (errors.textContent !== words) {
      errors.textContent = words;
      errors.parentElement.setAttribute("aria-label", `stderr ${words}`.trim());
    }
    if (order.hidden === isOrderInexact) order.hidden = !isOrderInexact;
  }

  /** Where the details come under the log, it is as high as its lines, up to the window. */
  #fit() {
    if (!NARROW.matches) return;
    const { scroll, spacer } = this.parts;
    const height = this.panel.offsetHeight - scroll.clientHeight + Math.max(96, spacer.offsetHeight);
    if (height === this.height) return;
    this.height = height;
    this.panel.style.setProperty("--log-height", `${height}px`);
  }

  /** There may be more rows, or other ones, than before. */
  #grown() {
    this.stage.scroller.refresh();
    this.#fit();
    if (this.reader.follow) this.stage.scroller.toEnd();
    this.#looks();
  }

  #ended(message) {
    this.live = false;
    clearInterval(this.ticking);
    document.documentElement.removeAttribute("data-silent-log");
    this.log.expected = typeof message.lines === "number" ? message.lines : this.stage.total;
    this.log.gone = message.pruned ?? "";
    this.log.hostGone = message.status === "lost";
    this.log.sealed = this.#sealed(message);
    this.data.digest = message.digest ?? "";
    this.droppedBytes = Number(message.dropped_bytes) || 0;
    this.stage.grow();
    this.reader.looks();
    this.#looks();
    this.onEnd(message);
  }

  /** Whether a seal says that the log is whole: null where nobody has told. A run that never began needs none. */
  #sealed({ digest, lines, status }) {
    if (digest === undefined) return null;
    return digest !== "" || !(lines || this.startMs || status === "lost");
  }

  /** The gaps that came with lines. An answer from before the socket's last word has fewer, and is not heard. */
  #answered(list) {
    const gaps = readGaps(list);
    const first = !this.log.checked;
    this.log.checked = true;
    if (gaps.length > this.stage.gaps.length) this.#gaps(gaps);
    else if (first) this.status();
  }

  #gaps(gaps) {
    if (same(gaps, this.stage.gaps)) return;
    this.stage.gaps = gaps;
    this.stage.grow();
    this.#grown();
  }

  /** The address names other lines than before, or none. */
  #linked() {
    const { range } = this.marks;
    if (range) this.stage.seek(range[0], 0.3, range);
    if (range && range[0] > this.stage.total && this.live) this.voice.tell(`Line ${range[0].toLocaleString("en")} is not written yet.`);
    this.stage.scroller.refresh();
    this.reader.looks();
  }

  // ---- what it shows

  #draw({ gap, seq, line }, old) {
    if (gap) return drawGap(gap, this.data.sprite, old);
    const hit = seq !== null && this.finder.has(seq);
    const name = seq ?? line?.stream; // a line without its end has no number
    return drawLine(seq, line, {
      time: line && seq ? this.reader.times.stamp(line.ms, this.startMs) : "",
      marked: this.marks.has(seq), hit, now: hit && this.finder.now === seq,
      key: hit ? this.finder.version : 0,
      matches: hit && line ? (text) => this.finder.matches(seq, text) : NONE, // a line that loads is not known yet
      whole: this.whole.has(name), onWhole: () => { this.whole.add(name); this.redraw(); },
    }, old);
  }

  #looks() {
    const { stage, parts } = this;
    const digits = Math.max(4, String(stage.total).length);
    if (digits !== this.digits) parts.block.style.setProperty("--log-no", (this.digits = digits));
    parts.empty.hidden = stage.rows.count > 0;
    if (!parts.empty.hidden) parts.empty.textContent = this.#nothing();
    this.status();
  }

  #nothing() {
    const { stream, shown } = this.stage;
    if (stream && shown.search.trouble) return `${SILENT[0].toUpperCase()}${SILENT.slice(1)}`;
    if (stream && shown.search.looked < this.stage.total) return `Looking for lines on ${stream}…`;
    if (stream) return `No line on ${stream}${this.live ? " yet" : ""}.`;
    return this.live ? "No output yet. Lines appear here as they arrive." : "This run wrote no output.";
  }

  status(aloud = false, mute = false) {
    const { stage } = this;
    const filter = stage.stream && {
      name: stage.stream, count: stage.count, searching: !stage.shown.search.done, trouble: stage.shown.search.trouble,
      full: stage.shown.found.full, upTo: stage.shown.found.last,
    };
    const said = statusLine({ ...this.log, total: stage.total, ...tally(stage.gaps, this.droppedBytes), filter: filter || null });
    this.voice.status(said, aloud || (said.kind === "gap" && this.kind !== "gap"), mute);
    this.kind = said.kind;
    const { digest } = this.data;
    this.parts.status.title = said.kind === "good" && digest ? `Every line is stored. SHA-256 of the log: ${digest}` : "";
  }
}
