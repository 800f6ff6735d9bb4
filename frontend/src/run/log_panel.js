// Connects the parts of the log (socket, view, find bar, controls, announcer) to the panel of the run page.
import { Announcer } from "./announcer.js";
import { Controls } from "./controls.js";
import { FindBar } from "./find_bar.js";
import { isSameGapList, parseGaps, summariseGaps } from "./gaps.js";
import { HttpSource } from "./http_source.js";
import { LineAnchor } from "./line_anchor.js";
import { LiveBatcher } from "./live_batcher.js";
import { LogView } from "./log_view.js";
import { drawGap, drawLine, setTime } from "./row_renderer.js";
import { NO_ANSWER, SILENCE_MS, buildStatusLine } from "./status_line.js";
import { StreamCounts } from "./stream_counts.js";

const findNothing = () => [];
const NARROW = matchMedia("(max-width: 991.98px)");

export class LogPanel {
  /**
   * `onStatus(message)` and `onEnd(message)` get the socket's messages about the run. `isEmbedded`: the page is about
   * something else, so its address and its keys are not the log's.
   */
  constructor(panel, { onStatus, onEnd, isEmbedded = false }) {
    Object.assign(this, { panel, data: panel.dataset, onStatus, onEnd, isEmbedded });
    this.listeners = new AbortController(); // of those on the document and the window
    const getPart = (name) => panel.querySelector(`[data-log="${name}"]`);
    this.parts = Object.fromEntries(["scroll", "spacer", "block", "empty", "status", "toast", "say", "order", "errors"].map((name) => [name, getPart(name)]));
    this.isLive = this.data.live === "true";
    this.startMs = Number(this.data.start) || 0;
    // For the status line (see status_line.js). An ended log is checked once the server has sent its gaps.
    this.log = { state: this.isLive ? "connecting" : "done", expected: this.isLive ? null : Number(this.data.expected), trouble: "", pruned: "", isChecked: this.isLive, isSealed: this.data.sealed === "true", isHostGone: this.data.status === "lost" };
    this.droppedBytes = 0;
    this.wholeLines = new Set(); // lines that are shown without a limit
    this.announcer = new Announcer({ ...this.parts, sprite: this.data.sprite });
    const { lines, stdoutLines, stderrLines, streams } = this.data;
    this.counts = new StreamCounts({ lines: Number(lines), stdout: Number(stdoutLines), stderr: Number(stderrLines), merged: streams === "merged" });
    this.source = new HttpSource(this.data.api, (gaps) => this.#onHttpGaps(gaps));
    this.logView = this.#createLogView(Number(this.data.lines));
    this.findBar = this.#createFindBar(getPart("find-bar"));
    this.lineAnchor = new LineAnchor(() => this.#onAnchorChange(), { isEmbedded });
    this.controls = new Controls(this);
    this.#start();
  }

  /** Call it before the panel is removed from a page that stays. */
  dispose() {
    this.isLive = false;
    this.listeners.abort();
    clearInterval(this.silenceTimer);
    document.documentElement.removeAttribute("data-silent-log");
    this.batcher?.close();
    this.controls.timeColumn.stop();
  }

  /** Mark the line with the run's error; 0: none. */
  setErrorLine(seq) {
    if (seq === this.errorLine) return;
    this.errorLine = seq;
    this.redraw();
  }

  setStart(ms) {
    if (ms === this.startMs) return;
    this.startMs = ms;
    this.redraw();
  }

  updateTimes() {
    const { scroller } = this.logView;
    for (const [n, row] of scroller.rows) {
      const { seq, line } = this.logView.getRow(n);
      if (seq && line) setTime(row, this.controls.timeColumn.formatTime(line.ms, this.startMs), line.ms);
    }
  }

  redraw() {
    this.logView.scroller.redrawRows();
    this.logView.revealMatch();
    this.#fitHeight();
    this.showStatus();
  }

  #createLogView(total) {
    return new LogView({
      elements: this.parts, source: this.source, total, isLive: () => this.isLive,
      callbacks: {
        drawRow: (row, old) => this.#drawRow(row, old),
        onTextChange: (error) => { this.#setTrouble(error); this.redraw(); },
        onLinesFound: () => this.#onRowsChange(),
        clearFilter: () => this.controls.setStream("", true),
        onMove: (isByHand) => this.controls.onMove(isByHand),
        onTargetReached: () => this.controls.setFollowing(false),
        showWholeLine: (seq) => { this.wholeLines.add(seq); this.redraw(); },
        onTargetMissing: (message) => { this.announcer.showMessage(message); this.controls.updateToolbar(); },
      },
    });
  }

  #createFindBar(bar) {
    return new FindBar(bar, this.source, this.data.matchWorker, {
      getTotal: () => this.logView.total, getStream: () => this.logView.stream, getFirstVisible: () => this.logView.getFirstVisible(),
      showLine: (seq) => { this.controls.setFollowing(false); this.logView.scrollToMatch(seq); },
      redraw: () => { this.redraw(); this.controls.updateToolbar(); },
      focus: () => this.parts.scroll.focus({ preventScroll: true }), announcer: this.announcer,
    });
  }

  #start() {
    this.logView.scroller.isWrapped = this.controls.isWrapped;
    this.logView.updateRows();
    if (this.lineAnchor.range) this.#onAnchorChange();
    if (this.controls.isFollowing) this.logView.scroller.scrollToEnd();
    // Gaps come with lines; a log without lines needs a request of its own.
    if (!this.logView.total && !this.isLive) this.source.fetchLines({ after: 0, limit: 1 }).catch(() => {});
    this.#fitHeight();
    this.#updatePanel();
    if (this.isLive) this.#connect();
  }

  #connect() {
    const batcher = new LiveBatcher({
      address: location.origin.replace(/^http/, "ws") + this.data.socket,
      source: this.source, total: this.logView.total,
      callbacks: {
        onBatch: (lines, partials) => this.#onBatch(lines, partials),
        onGaps: (gaps) => this.#setGaps(parseGaps(gaps)),
        onStatus: (message) => this.onStatus(message),
        onEnd: (message) => this.#onEnd(message),
        onError: (detail) => { this.#setTrouble({ detail }); this.showStatus(true); },
        onStateChange: (state) => this.#onStateChange(state),
      },
    });
    batcher.connect();
    this.batcher = batcher;
    this.silenceTimer = setInterval(() => this.#checkSilence(), 1000);
    const { signal } = this.listeners;
    addEventListener("online", () => batcher.reconnectIfDead(), { signal });
    addEventListener("offline", () => { this.offlineAt = Date.now(); this.#checkSilence(); }, { signal });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) batcher.reconnectIfDead(); }, { signal });
    // A page restored from the browser's back/forward cache has a dead socket.
    addEventListener("pageshow", (event) => { if (event.persisted) batcher.reconnectIfDead(); }, { signal });
  }

  // ---- messages and responses

  #onStateChange(state) {
    if (state === this.log.state) return;
    if (state === "live") this.log.trouble = "";
    this.log.state = state;
    this.showStatus(true);
  }

  /** A socket can stay open while the server or the network is dead. */
  #checkSilence() {
    if (!this.isLive || this.log.state === "refused") return;
    const { silenceMs } = this.batcher;
    const isOffline = !navigator.onLine && this.offlineAt > Date.now() - silenceMs;
    const wasSilent = this.log.isOffline || this.log.silence >= SILENCE_MS;
    Object.assign(this.log, { silence: silenceMs, isOffline });
    const isSilent = isOffline || silenceMs >= SILENCE_MS;
    document.documentElement.toggleAttribute("data-silent-log", isSilent);
    if (isSilent || wasSilent) this.showStatus(isSilent !== wasSilent, isSilent);
  }

  /** Without `error`, the trouble is over. */
  #setTrouble(error) {
    this.log.trouble = error ? error.detail || NO_ANSWER : "";
    if (error?.isFinal) this.log.pruned = this.log.trouble;
  }

  #onBatch(lines, partials) {
    this.controls.stopFollowingIfScrolled();
    const added = this.logView.addLines(lines, partials);
    if (this.counts.addLines(lines)) this.#showCounts();
    this.findBar.setTotal(this.logView.total);
    this.#onRowsChange();
    this.controls.addNewLines(added);
  }

  #showCounts() {
    const { counts: { stderr, isOrderInexact }, parts: { errors, order } } = this;
    const count = stderr ? `(${stderr.toLocaleString("en")})` : "";
    if (errors.textContent !== count) {
      errors.textContent = count;
      errors.parentElement.setAttribute("aria-label", `stderr ${count}`.trim());
    }
    if (order.hidden === isOrderInexact) order.hidden = !isOrderInexact;
  }

  /** On a narrow page the details are below the log: the log is as high as its lines, up to the window's height. */
  #fitHeight() {
    if (!NARROW.matches) return;
    const { scroll, spacer } = this.parts;
    const height = this.panel.offsetHeight - scroll.clientHeight + Math.max(96, spacer.offsetHeight);
    if (height === this.height) return;
    this.height = height;
    this.panel.style.setProperty("--log-height", `${height}px`);
  }

  #onRowsChange() {
    this.logView.scroller.redrawRows();
    this.#fitHeight();
    if (this.controls.isFollowing) this.logView.scroller.scrollToEnd();
    this.#updatePanel();
  }

  #onEnd(message) {
    this.isLive = false;
    clearInterval(this.silenceTimer);
    document.documentElement.removeAttribute("data-silent-log");
    this.log.expected = typeof message.lines === "number" ? message.lines : this.logView.total;
    this.log.pruned = message.pruned ?? "";
    this.log.isHostGone = message.status === "lost";
    this.log.isSealed = this.#isSealed(message);
    this.data.digest = message.digest ?? "";
    this.droppedBytes = Number(message.dropped_bytes) || 0;
    this.logView.updateRows();
    this.controls.updateToolbar();
    this.#updatePanel();
    this.onEnd(message);
  }

  /** Whether a digest confirms the log; null: unknown. A run whose script never began needs no digest. */
  #isSealed({ digest, lines, status }) {
    if (digest === undefined) return null;
    return digest !== "" || !(lines || this.startMs || status === "lost");
  }

  /** A response from before the socket's last message has fewer gaps, and is ignored. */
  #onHttpGaps(list) {
    const gaps = parseGaps(list);
    const isFirst = !this.log.isChecked;
    this.log.isChecked = true;
    if (gaps.length > this.logView.gaps.length) this.#setGaps(gaps);
    else if (isFirst) this.showStatus();
  }

  #setGaps(gaps) {
    if (isSameGapList(gaps, this.logView.gaps)) return;
    this.logView.gaps = gaps;
    this.logView.updateRows();
    this.#onRowsChange();
  }

  #onAnchorChange() {
    const { range } = this.lineAnchor;
    if (range) this.logView.scrollToLine(range[0], 0.3, range);
    if (range && range[0] > this.logView.total && this.isLive) this.announcer.showMessage(`Line ${range[0].toLocaleString("en")} is not written yet.`);
    this.logView.scroller.redrawRows();
    this.controls.updateToolbar();
  }

  // ---- drawing

  #drawRow({ gap, seq, line }, old) {
    if (gap) return drawGap(gap, this.data.sprite, old);
    const isMatch = seq !== null && this.findBar.hasMatch(seq);
    const key = seq ?? line?.stream; // a partial line has no number
    return drawLine(seq, line, {
      time: line && seq ? this.controls.timeColumn.formatTime(line.ms, this.startMs) : "",
      isMarked: this.lineAnchor.has(seq), isError: Boolean(seq) && seq === this.errorLine, scriptUrl: this.data.script, isMatch, isCurrent: isMatch && this.findBar.currentLine === seq,
      key: isMatch ? this.findBar.version : 0,
      findMatches: isMatch && line ? (text) => this.findBar.findMatches(seq, text) : findNothing, // no text while it loads
      isWhole: this.wholeLines.has(key), onShowAll: () => { this.wholeLines.add(key); this.redraw(); },
    }, old);
  }

  #updatePanel() {
    const { logView, parts } = this;
    const digits = Math.max(4, String(logView.total).length);
    if (digits !== this.digits) parts.block.style.setProperty("--log-no", (this.digits = digits));
    parts.empty.hidden = logView.rowIndex.count > 0;
    if (!parts.empty.hidden) parts.empty.textContent = this.#describeEmpty();
    this.showStatus();
  }

  #describeEmpty() {
    const { stream, lines } = this.logView;
    if (stream && lines.search.isFailing) return `${NO_ANSWER[0].toUpperCase()}${NO_ANSWER.slice(1)}`;
    if (stream && lines.search.searchedTo < this.logView.total) return `Searching for lines on ${stream}…`;
    if (stream) return `No line on ${stream}${this.isLive ? " yet" : ""}.`;
    return this.isLive ? "No output yet. New lines appear here." : "This run wrote no output.";
  }

  showStatus(isUrgent = false, isMuted = false) {
    const { logView } = this;
    const filter = logView.stream && {
      name: logView.stream, count: logView.count, isSearching: !logView.lines.search.isDone, isFailing: logView.lines.search.isFailing,
      isFull: logView.lines.lineNumbers.isFull, upTo: logView.lines.lineNumbers.last,
    };
    const status = buildStatusLine({ ...this.log, total: logView.total, ...summariseGaps(logView.gaps, this.droppedBytes), filter: filter || null });
    this.announcer.showStatus(status, isUrgent || (status.kind === "gap" && this.statusKind !== "gap"), isMuted);
    this.statusKind = status.kind;
    const { digest } = this.data;
    this.parts.status.title = status.kind === "good" && digest ? `Every line is stored. SHA-256 of the log: ${digest}` : "";
  }
}
