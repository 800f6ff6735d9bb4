// What the reader does to the log by pointer and keyboard, and how it is looked at: following, wrapped, with times.
import { Copier } from "./line_copier.js";
import { actOf, listKeys, reachesLog } from "./shortcuts.js";
import { keepFlag, recallFlag } from "./preferences.js";
import { Times } from "./time_column.js";
import { Tools } from "./toolbar.js";

const STREAMS = ["", "stdout", "stderr"];
const next = (list, value) => list[(list.indexOf(value) + 1) % list.length];

export class Reader {
  /** `viewer` has panel, parts, stage, finder, marks, voice, live, redraw(), and retime() for the times alone. */
  constructor(viewer) {
    this.viewer = viewer;
    this.follow = true;
    this.fresh = 0; // lines that came while the reader looked elsewhere
    this.wrapped = recallFlag("wrap", matchMedia("(max-width: 600px)").matches);
    const { stage, parts: { block } } = viewer;
    const serverNow = Number(document.documentElement.dataset.now);
    this.times = new Times({ block, serverNow, onPass: () => viewer.retime() });
    this.copier = new Copier({
      shown: () => stage.shown, rows: () => [...stage.scroller.rows], voice: viewer.voice,
      lineOf: (n) => { const { seq, line } = stage.item(n); return { seq, text: line?.text }; },
    });
    this.acts = this.#acts();
    this.tools = new Tools(viewer.panel, { ...this.acts, find: () => this.#toggleFind(), time: (kind) => this.#setTime(kind), stream: (name) => this.setStream(name) });
    this.#bind();
    this.looks();
  }

  /** So many more lines are shown than before. */
  came(count) {
    if (!this.follow) this.fresh += count;
    this.#pill();
  }

  /** The reader has scrolled away from the end since we last put it there: let go. */
  yields() {
    const { scroller } = this.viewer.stage;
    if (this.follow && this.viewer.parts.scroll.scrollTop < scroller.top - 1) this.setFollow(false);
  }

  moved(byHand) {
    const { scroller } = this.viewer.stage;
    if (!byHand) { if (this.follow) scroller.toEnd(); return; }
    if (scroller.atEnd) { this.fresh = 0; if (!this.follow) this.setFollow(true); }
    else if (this.follow) this.setFollow(false);
    this.#pill();
  }

  setFollow(on) {
    this.follow = on;
    if (on) this.fresh = 0;
    this.looks();
    this.#pill();
  }

  /** `still`: for a line that was asked for, so a match does not take the reader elsewhere. */
  setStream(name, still = false) {
    const { stage, finder } = this.viewer;
    if (name === stage.stream) return;
    stage.show(name);
    this.fresh = 0;
    if (this.follow) stage.scroller.toEnd();
    if (finder.isOpen) finder.look(still);
    this.viewer.redraw();
    this.looks();
    this.#pill();
  }

  looks() {
    const { panel, stage, finder, marks, live } = this.viewer;
    this.tools.show({
      follow: this.follow, live, wrapped: this.wrapped, full: panel.classList.contains("full"), time: this.times.kind,
      stream: stage.stream, finding: finder.isOpen, copies: marks.copies(stage.stream ? `the lines on ${stage.stream}` : "the whole log"),
    });
  }

  #pill() { this.tools.waiting(this.follow ? 0 : this.fresh); }

  #acts() {
    const { stage, finder, marks, panel } = this.viewer;
    const { scroller } = stage;
    const page = () => this.viewer.parts.scroll.clientHeight - 2 * scroller.line;
    const away = (act) => () => { this.setFollow(false); act(); };
    return {
      find: () => finder.open(), next: () => finder.step(1), previous: () => finder.step(-1),
      down: () => scroller.by(scroller.line), up: away(() => scroller.by(-scroller.line)),
      pageDown: () => scroller.by(page()), pageUp: away(() => scroller.by(-page())),
      start: away(() => scroller.goTo(1)), end: () => { this.setFollow(true); scroller.toEnd(); },
      follow: () => (this.follow ? this.setFollow(false) : this.acts.end()),
      stream: () => this.setStream(next(STREAMS, stage.stream)), times: () => this.#setTime(this.times.next),
      wrap: () => this.#setWrap(!this.wrapped), full: () => this.#full(!panel.classList.contains("full")),
      mark: () => this.#mark(finder.now ?? stage.here(), false), markTo: () => this.#mark(finder.now ?? stage.here(), true),
      copy: () => this.copier.lines(...(marks.range ?? [1, Infinity])), download: () => this.tools.download(),
      selectAll: () => this.copier.selectAll(this.viewer.parts.block), help: () => this.#help(),
    };
  }

  #bind() {
    const { panel, parts: { scroll }, voice } = this.viewer;
    for (const kind of ["wheel", "touchmove"]) scroll.addEventListener(kind, () => this.yields(), { passive: true });
    scroll.addEventListener("pointerdown", (event) => this.copier.began(event.target));
    // Shift and a press would select text from wherever the last one was.
    scroll.addEventListener("mousedown", (event) => { if (event.shiftKey && event.target.closest("a.log-no")) event.preventDefault(); });
    scroll.addEventListener("click", (event) => this.#clicked(event));
    scroll.addEventListener("copy", (event) => this.copier.selected(event));
    panel.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => this.#keyOutside(event));
    const anywhere = panel.querySelector("[data-log=anywhere]");
    anywhere.checked = recallFlag("keys-anywhere", true);
    anywhere.addEventListener("change", () => keepFlag("keys-anywhere", anywhere.checked));
    document.addEventListener("cronium:theme", () => this.viewer.redraw());
  }

  #clicked(event) {
    const link = event.target.closest("a.log-no");
    if (!link?.dataset.n || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#mark(Number(link.dataset.n), event.shiftKey);
  }

  #mark(seq, extend) {
    if (seq > this.viewer.stage.total) return;
    this.viewer.marks.set(seq, extend);
    this.setFollow(false);
    this.viewer.redraw();
  }

  #key(event) {
    if (event.target.closest("dialog")) return;
    if (event.key === "Escape") return this.#escape(event);
    const act = actOf(event);
    const inLog = this.viewer.parts.scroll.contains(event.target);
    if (!act || event.target.closest("input") || (!inLog && act !== "find" && act !== "help" && !this.#takes(event))) return;
    if (event.key === " " && event.target.closest("button")) return;
    event.preventDefault();
    event.stopPropagation(); // the page has a "/" of its own
    this.acts[act]();
  }

  /** A key that was pressed somewhere else on the page, where nothing is typed. */
  #keyOutside(event) {
    const { panel } = this.viewer;
    if (event.defaultPrevented || panel.contains(event.target) || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select, [contenteditable], details.menu[open]")) return;
    const act = actOf(event);
    if (!act || !this.#takes(event)) return;
    event.preventDefault();
    this.acts[act]();
  }

  #takes(event) { return reachesLog(event) && recallFlag("keys-anywhere", true); }

  #escape(event) {
    if (event.isComposing) return;
    if (this.viewer.finder.isOpen) this.viewer.finder.close();
    else if (this.viewer.panel.classList.contains("full")) this.#full(false);
    this.looks();
  }

  #toggleFind() {
    const { finder } = this.viewer;
    if (finder.isOpen) finder.close();
    else finder.open();
    this.looks();
  }

  #help() {
    const dialog = this.viewer.panel.querySelector("dialog");
    listKeys(dialog.querySelector("dl"));
    dialog.showModal();
  }

  #setWrap(on) {
    const { scroller } = this.viewer.stage;
    this.wrapped = on;
    keepFlag("wrap", on);
    this.looks();
    scroller.wrap(on);
    if (this.follow) scroller.toEnd();
  }

  #setTime(kind) {
    this.times.choose(kind);
    this.looks();
    this.viewer.redraw();
  }

  #full(on) {
    this.tools.full(on);
    this.looks();
    this.viewer.stage.scroller.resized();
  }
}
