// Keyboard, pointer and display options of the log: follow, wrap, times, stream, marks.
import { LineCopier } from "./line_copier.js";
import { loadFlag, saveFlag } from "./preferences.js";
import { getAction, isPageShortcut, listShortcuts } from "./shortcuts.js";
import { TimeColumn } from "./time_column.js";
import { Toolbar } from "./toolbar.js";

const STREAMS = ["", "stdout", "stderr"];
const getNext = (list, value) => list[(list.indexOf(value) + 1) % list.length];

export class Controls {
  constructor(logPanel) {
    this.logPanel = logPanel;
    this.isFollowing = true;
    this.newLines = 0; // since the user scrolled away from the end
    this.isWrapped = loadFlag("wrap", matchMedia("(max-width: 600px)").matches);
    const { logView, parts: { block } } = logPanel;
    const serverNow = Number(document.documentElement.dataset.now);
    this.timeColumn = new TimeColumn({ block, serverNow, onTick: () => logPanel.updateTimes() });
    this.copier = new LineCopier({
      getLines: () => logView.lines, getRows: () => [...logView.scroller.rows], announcer: logPanel.announcer,
      getRowLine: (n) => { const { seq, line } = logView.getRow(n); return { seq, text: line?.text }; },
    });
    this.actions = this.#buildActions();
    this.toolbar = new Toolbar(logPanel.panel, { ...this.actions, toggleFind: () => this.#toggleFind(), setTimeKind: (kind) => this.#setTimeKind(kind), setStream: (name) => this.setStream(name) });
    this.#addListeners();
    this.updateToolbar();
  }

  addNewLines(count) {
    if (!this.isFollowing) this.newLines += count;
    this.#showNewLines();
  }

  stopFollowingIfScrolled() {
    const { scroller } = this.logPanel.logView;
    if (this.isFollowing && this.logPanel.parts.scroll.scrollTop < scroller.top - 1) this.setFollowing(false);
  }

  /** `isByHand`: the user scrolled; else the panel was resized. */
  onMove(isByHand) {
    const { scroller } = this.logPanel.logView;
    if (!isByHand) { if (this.isFollowing) scroller.scrollToEnd(); return; }
    if (scroller.isAtEnd) { this.newLines = 0; if (!this.isFollowing) this.setFollowing(true); }
    else if (this.isFollowing) this.setFollowing(false);
    this.#showNewLines();
  }

  setFollowing(isFollowing) {
    this.isFollowing = isFollowing;
    if (isFollowing) this.newLines = 0;
    this.updateToolbar();
    this.#showNewLines();
  }

  /** `isPositionKept`: a running search does not scroll to its first match. */
  setStream(name, isPositionKept = false) {
    const { logView, findBar } = this.logPanel;
    if (name === logView.stream) return;
    logView.setStream(name);
    this.newLines = 0;
    if (this.isFollowing) logView.scroller.scrollToEnd();
    if (findBar.isOpen) findBar.startSearch(isPositionKept);
    this.logPanel.redraw();
    this.updateToolbar();
    this.#showNewLines();
  }

  updateToolbar() {
    const { panel, logView, findBar, lineAnchor, isLive } = this.logPanel;
    this.toolbar.update({
      isFollowing: this.isFollowing, isLive, isWrapped: this.isWrapped, isFull: panel.classList.contains("full"), timeKind: this.timeColumn.kind,
      stream: logView.stream, isFinding: findBar.isOpen, copyLabel: lineAnchor.describeCopy(logView.stream ? `the lines on ${logView.stream}` : "the whole log"),
    });
  }

  #showNewLines() { this.toolbar.showNewLines(this.isFollowing ? 0 : this.newLines); }

  #buildActions() {
    const { logView, findBar, lineAnchor, panel } = this.logPanel;
    const { scroller } = logView;
    const getPageHeight = () => this.logPanel.parts.scroll.clientHeight - 2 * scroller.rowHeight;
    const stopFollowing = (action) => () => { this.setFollowing(false); action(); };
    return {
      openFind: () => findBar.open(), goToNextMatch: () => findBar.goToNextMatch(1), goToPreviousMatch: () => findBar.goToNextMatch(-1),
      scrollDown: () => scroller.scrollBy(scroller.rowHeight), scrollUp: stopFollowing(() => scroller.scrollBy(-scroller.rowHeight)),
      scrollPageDown: () => scroller.scrollBy(getPageHeight()), scrollPageUp: stopFollowing(() => scroller.scrollBy(-getPageHeight())),
      goToStart: stopFollowing(() => scroller.scrollToRow(1)), goToEnd: () => { this.setFollowing(true); scroller.scrollToEnd(); },
      toggleFollow: () => (this.isFollowing ? this.setFollowing(false) : this.actions.goToEnd()),
      switchStream: () => this.setStream(getNext(STREAMS, logView.stream)), switchTimes: () => this.#setTimeKind(this.timeColumn.nextKind),
      toggleWrap: () => this.#setWrapped(!this.isWrapped), toggleFullScreen: () => this.#setFullScreen(!panel.classList.contains("full")),
      markLine: () => this.#markLine(findBar.currentLine ?? logView.getFirstVisible(), false),
      extendMark: () => this.#markLine(findBar.currentLine ?? logView.getFirstVisible(), true),
      copyLines: () => this.copier.copyLines(...(lineAnchor.range ?? [1, Infinity])), download: () => this.toolbar.startDownload(),
      selectAll: () => this.copier.selectAll(this.logPanel.parts.block), showHelp: () => this.#showHelp(),
    };
  }

  #addListeners() {
    const { panel, parts: { scroll } } = this.logPanel;
    for (const kind of ["wheel", "touchmove"]) scroll.addEventListener(kind, () => this.stopFollowingIfScrolled(), { passive: true });
    scroll.addEventListener("pointerdown", (event) => this.copier.onPointerDown(event.target));
    // Without this, Shift and a click would extend the browser's text selection.
    scroll.addEventListener("mousedown", (event) => { if (event.shiftKey && event.target.closest("a.log-no")) event.preventDefault(); });
    scroll.addEventListener("click", (event) => this.#onClick(event));
    scroll.addEventListener("copy", (event) => this.copier.onCopy(event));
    panel.addEventListener("keydown", (event) => this.#onKeydown(event));
    const { isEmbedded, listeners: { signal } } = this.logPanel;
    if (!isEmbedded) document.addEventListener("keydown", (event) => this.#onPageKeydown(event));
    const anywhere = panel.querySelector("[data-log=anywhere]");
    anywhere.checked = loadFlag("keys-anywhere", true);
    anywhere.addEventListener("change", () => saveFlag("keys-anywhere", anywhere.checked));
    anywhere.closest("label").hidden = isEmbedded;
    document.addEventListener("cronium:theme", () => this.logPanel.redraw(), { signal });
  }

  #onClick(event) {
    const link = event.target.closest("a.log-no");
    if (!link?.dataset.n || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#markLine(Number(link.dataset.n), event.shiftKey);
  }

  #markLine(seq, isExtending) {
    if (seq > this.logPanel.logView.total) return;
    this.logPanel.lineAnchor.markLine(seq, isExtending);
    this.setFollowing(false);
    this.logPanel.redraw();
  }

  #onKeydown(event) {
    if (event.target.closest("dialog")) return;
    if (event.key === "Escape") return this.#onEscape(event);
    const action = getAction(event);
    const isInLog = this.logPanel.parts.scroll.contains(event.target);
    if (!action || event.target.closest("input") || (!isInLog && action !== "openFind" && action !== "showHelp" && !this.#isPageShortcut(event))) return;
    if (event.key === " " && event.target.closest("button")) return;
    event.preventDefault();
    event.stopPropagation(); // the page has its own "/" shortcut
    this.actions[action]();
  }

  /** A key pressed outside the panel, and not in a field. */
  #onPageKeydown(event) {
    const { panel } = this.logPanel;
    if (event.defaultPrevented || panel.contains(event.target) || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select, [contenteditable], details.menu[open]")) return;
    const action = getAction(event);
    if (!action || !this.#isPageShortcut(event)) return;
    event.preventDefault();
    this.actions[action]();
  }

  #isPageShortcut(event) { return isPageShortcut(event) && loadFlag("keys-anywhere", true); }

  #onEscape(event) {
    if (event.isComposing) return;
    if (this.logPanel.findBar.isOpen) this.logPanel.findBar.close();
    else if (this.logPanel.panel.classList.contains("full")) this.#setFullScreen(false);
    this.updateToolbar();
  }

  #toggleFind() {
    const { findBar } = this.logPanel;
    if (findBar.isOpen) findBar.close();
    else findBar.open();
    this.updateToolbar();
  }

  #showHelp() {
    const dialog = this.logPanel.panel.querySelector("dialog");
    listShortcuts(dialog.querySelector("dl"));
    dialog.showModal();
  }

  #setWrapped(isWrapped) {
    const { scroller } = this.logPanel.logView;
    this.isWrapped = isWrapped;
    saveFlag("wrap", isWrapped);
    this.updateToolbar();
    scroller.setWrapped(isWrapped);
    if (this.isFollowing) scroller.scrollToEnd();
  }

  #setTimeKind(kind) {
    this.timeColumn.setKind(kind);
    this.updateToolbar();
    this.logPanel.redraw();
  }

  #setFullScreen(isFull) {
    this.toolbar.setFullScreen(isFull);
    this.updateToolbar();
    this.logPanel.logView.scroller.onResize();
  }
}
