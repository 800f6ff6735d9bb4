// Which lines are shown, in which rows, and which of them are in view. Draws nothing itself.
import { Rows } from "./row_index.js";
import { Scroller } from "./virtual_scroller.js";
import { AllLines, StreamLines } from "./line_view.js";

export class Stage {
  /**
   * `parts` are the elements of the scroller, `live()` says whether lines may follow. `on` has draw(item, old) for a
   * row's element, changed(error) for texts that came or, with an error, did not, grown() for more lines found, moved(byHand),
   * arrived() at a line that was linked to, lift() of the filter that hides it, absent(words) where it is not to be
   * seen, and whole(seq) for a line whose match lies past what is drawn of it.
   */
  constructor({ parts, source, total, live, on }) {
    Object.assign(this, { source, live, on });
    this.stream = "";
    this.gaps = [];
    this.partials = [];
    this.goal = null; // what comes into view once it is known where it stands: {seq, share, range}
    this.wanted = null; // the line whose match comes into view once it is drawn
    this.rows = new Rows();
    this.all = this.shown = new AllLines(source, total, this.#hooks());
    this.scroller = new Scroller({
      ...parts,
      draw: (n, old) => on.draw(this.item(n), old),
      need: (first, last) => this.#need(first, last),
      moved: (byHand) => { if (byHand) this.goal = this.wanted = null; on.moved(byHand); },
    });
  }

  get total() { return this.all.count; }
  get count() { return this.shown.count; }

  /** What row `n` is: {gap}, or {seq, line}, where `seq` is null for a line without its end. */
  item(n) {
    const { gap, place, partial } = this.rows.at(n);
    if (gap) return { gap };
    if (partial !== undefined) return { seq: null, line: this.begun[partial] };
    return { seq: this.shown.seqAt(place), line: this.shown.get(place) };
  }

  /** Lines that have come, and those that are begun; how many more are shown than before. */
  take(lines, partials) {
    const before = this.count;
    this.all.take(lines);
    if (this.shown !== this.all) this.shown.take(lines);
    this.shown.grow(this.total);
    this.partials = partials;
    this.grow();
    return this.count - before;
  }

  /** As many rows as there are things to show now. */
  grow() {
    this.#arrange();
    this.scroller.grow(this.rows.count);
    this.#arrive();
  }

  /** Show the lines of `stream` only, all of them for an empty name. The reader's place stays. */
  show(stream) {
    if (stream === this.stream) return;
    const seq = this.here();
    this.shown.stop();
    this.stream = stream;
    const hooks = { ...this.#hooks(), onFound: () => { this.grow(); this.on.grown(); } };
    this.shown = stream ? new StreamLines(this.source, stream, this.total, hooks) : this.all;
    this.#arrange();
    this.scroller.renew(this.rows.count, 1);
    this.goal = { seq, share: 0 };
    this.#arrive();
  }

  /** Bring line `seq` into view, `share` of the height below the top; `range`: or another line of it that is shown. */
  seek(seq, share = 0.3, range = null) {
    this.goal = { seq, share, range };
    this.#arrive();
  }

  /** Bring the match in line `seq` into view, unless it is. */
  point(seq) {
    if (!this.#inView(seq)) this.seek(seq);
    this.wanted = seq;
    this.reveal();
  }

  /** The number of the first line in view. */
  here() {
    if (!this.rows.count) return 1;
    const { gap, place } = this.rows.at(this.scroller.anchor);
    return gap ? gap.after + 1 : place ? this.shown.seqAt(place) : this.total + 1;
  }

  /** Scroll to the match that was asked for, once its row shows it. */
  reveal() {
    const seq = this.wanted;
    const row = seq && this.#rowOf(seq);
    const mark = row?.querySelector("mark");
    if (row?._beyond) return this.on.whole(seq);
    if (!mark) return;
    this.wanted = null;
    const { scroll } = this.scroller;
    const [box, at] = [scroll.getBoundingClientRect(), mark.getBoundingClientRect()];
    const left = at.left - box.left + scroll.scrollLeft; // from the line's own beginning
    if (at.left < box.left + 80 || at.right > box.right) scroll.scrollLeft = left + at.width < box.width ? 0 : left - box.width / 3;
    if (at.top < box.top || at.bottom > box.bottom) {
      this.scroller.goInto(this.rows.of(this.shown.upTo(seq)), at.top - row.getBoundingClientRect().top);
    }
  }

  #hooks() {
    return { onChange: () => this.on.changed(), onTrouble: (error) => this.on.changed(error) };
  }

  #arrange() {
    const { shown } = this;
    const gaps = this.gaps.filter((gap) => gap.after <= shown.reach).map((gap) => [shown.upTo(gap.after), gap]);
    this.begun = this.partials.filter((line) => !this.stream || line.stream === this.stream);
    this.rows.set({ lines: shown.count, gaps, partials: this.begun.length });
  }

  #need(first, last) {
    const [from, to] = [this.rows.linesTo(first - 1) + 1, this.rows.linesTo(last)];
    if (from <= to) this.shown.want(from, to);
  }

  /** Go to the goal if its place is known by now. */
  #arrive() {
    const { goal, shown, total } = this;
    if (!goal || (goal.seq > total && this.live())) return;
    if (goal.seq > total && goal.range) return this.#absent(`This log ends at line ${total.toLocaleString("en")}.`);
    const last = goal.range ? Math.min(goal.range[1], total) : Math.min(goal.seq, total);
    if (last > shown.reach) return;
    if (goal.range && shown.upTo(last) === shown.upTo(goal.seq - 1)) return this.#lift(goal);
    this.goal = null;
    if (!shown.count) return;
    if (goal.range) this.on.arrived();
    this.scroller.goTo(this.rows.of(Math.min(shown.count, shown.upTo(goal.seq - 1) + 1)), goal.share);
  }

  /** Nothing of what a link points to is in the chosen stream: it is shown among all lines. */
  #lift(goal) {
    this.on.lift();
    this.seek(goal.seq, goal.share, goal.range);
    this.on.absent("The line that was asked for is on the other stream: all lines are shown.");
  }

  #absent(words) {
    this.goal = null;
    this.on.absent(words);
  }

  /** The element of line `seq`; none while its place is not known. */
  #rowOf(seq) {
    const place = this.shown.upTo(seq);
    return place && this.shown.seqAt(place) === seq ? this.scroller.rows.get(this.rows.of(place)) : undefined;
  }

  #inView(seq) {
    const row = this.#rowOf(seq)?.getBoundingClientRect();
    const box = this.scroller.scroll.getBoundingClientRect();
    return Boolean(row) && row.top >= box.top && row.bottom <= box.bottom;
  }
}
