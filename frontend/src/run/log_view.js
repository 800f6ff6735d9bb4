// Which lines are shown, in which rows, and which rows are visible. Draws nothing itself.
import { AllLines, StreamLines } from "./line_view.js";
import { RowIndex } from "./row_index.js";
import { VirtualScroller } from "./virtual_scroller.js";

export class LogView {
  /**
   * `elements` are those of the scroller; `isLive()` returns whether more lines may come. `callbacks`:
   * drawRow(row, old) returns an element; onTextChange(error) after texts were loaded or, with an error, were not;
   * onLinesFound() when a stream has more lines; onMove(isByHand) after scrolling; onTargetReached() at a linked line;
   * clearFilter() when the filter hides it; onTargetMissing(message) when it cannot be shown as linked; and
   * showWholeLine(seq) for a line whose match is clipped.
   */
  constructor({ elements, source, total, isLive, callbacks }) {
    Object.assign(this, { source, isLive, callbacks });
    this.stream = "";
    this.gaps = [];
    this.partials = [];
    this.target = null; // {seq, share, range}: scrolled to once its position is known
    this.matchToReveal = null; // the line whose match is scrolled to once it is drawn
    this.rowIndex = new RowIndex();
    this.allLines = this.lines = new AllLines(source, total, this.#buildBufferCallbacks());
    this.scroller = new VirtualScroller({
      ...elements,
      drawRow: (n, old) => callbacks.drawRow(this.getRow(n), old),
      onVisible: (first, last) => this.#requestLines(first, last),
      onMove: (isByHand) => { if (isByHand) this.target = this.matchToReveal = null; callbacks.onMove(isByHand); },
    });
  }

  get total() { return this.allLines.count; }
  get count() { return this.lines.count; }

  /** The content of row `n`: {gap}, or {seq, line}; `seq` is null for a partial line. */
  getRow(n) {
    const { gap, position, partial } = this.rowIndex.getRow(n);
    if (gap) return { gap };
    if (partial !== undefined) return { seq: null, line: this.shownPartials[partial] };
    return { seq: this.lines.getSeq(position), line: this.lines.getLine(position) };
  }

  /** Add new lines and replace the partial lines. Returns how many more lines are shown. */
  addLines(lines, partials) {
    const before = this.count;
    this.allLines.addLines(lines);
    if (this.lines !== this.allLines) this.lines.addLines(lines);
    this.lines.setTotal(this.total);
    this.partials = partials;
    this.updateRows();
    return this.count - before;
  }

  updateRows() {
    this.#updateRowIndex();
    this.scroller.setCount(this.rowIndex.count);
    this.#scrollToTarget();
  }

  /** Show the lines of `stream` only, or all lines if it is empty. The visible part stays at the same line. */
  setStream(stream) {
    if (stream === this.stream) return;
    const seq = this.getFirstVisible();
    this.lines.stop();
    this.stream = stream;
    const callbacks = { ...this.#buildBufferCallbacks(), onFound: () => { this.updateRows(); this.callbacks.onLinesFound(); } };
    this.lines = stream ? new StreamLines(this.source, stream, this.total, callbacks) : this.allLines;
    this.#updateRowIndex();
    this.scroller.replaceRows(this.rowIndex.count, 1);
    this.target = { seq, share: 0 };
    this.#scrollToTarget();
  }

  /** Scroll line `seq` to `share` of the height below the top; with `range`, another shown line of the range will do. */
  scrollToLine(seq, share = 0.3, range = null) {
    this.target = { seq, share, range };
    this.#scrollToTarget();
  }

  scrollToMatch(seq) {
    if (!this.#isVisible(seq)) this.scrollToLine(seq);
    this.matchToReveal = seq;
    this.revealMatch();
  }

  getFirstVisible() {
    if (!this.rowIndex.count) return 1;
    const { gap, position } = this.rowIndex.getRow(this.scroller.anchor);
    return gap ? gap.after + 1 : position ? this.lines.getSeq(position) : this.total + 1;
  }

  /** Scroll to the match of scrollToMatch once its row shows it. */
  revealMatch() {
    const seq = this.matchToReveal;
    const row = seq && this.#getRowElement(seq);
    const mark = row?.querySelector("mark");
    if (row?._isMatchClipped) return this.callbacks.showWholeLine(seq);
    if (!mark) return;
    this.matchToReveal = null;
    const { scroll } = this.scroller;
    const [view, match] = [scroll.getBoundingClientRect(), mark.getBoundingClientRect()];
    const left = match.left - view.left + scroll.scrollLeft; // from the beginning of the line
    if (match.left < view.left + 80 || match.right > view.right) scroll.scrollLeft = left + match.width < view.width ? 0 : left - view.width / 3;
    if (match.top < view.top || match.bottom > view.bottom) {
      this.scroller.scrollIntoRow(this.rowIndex.findRow(this.lines.countTo(seq)), match.top - row.getBoundingClientRect().top);
    }
  }

  #buildBufferCallbacks() {
    return { onChange: () => this.callbacks.onTextChange(), onError: (error) => this.callbacks.onTextChange(error) };
  }

  #updateRowIndex() {
    const { lines } = this;
    const gaps = this.gaps.filter((gap) => gap.after <= lines.knownTo).map((gap) => [lines.countTo(gap.after), gap]);
    this.shownPartials = this.partials.filter((line) => !this.stream || line.stream === this.stream);
    this.rowIndex.update({ lines: lines.count, gaps, partials: this.shownPartials.length });
  }

  #requestLines(firstRow, lastRow) {
    const [first, last] = [this.rowIndex.countLinesTo(firstRow - 1) + 1, this.rowIndex.countLinesTo(lastRow)];
    if (first <= last) this.lines.requestLines(first, last);
  }

  /** Does nothing until the target's position is known. */
  #scrollToTarget() {
    const { target, lines, total } = this;
    if (!target || (target.seq > total && this.isLive())) return;
    if (target.seq > total && target.range) return this.#reportMissing(`This log ends at line ${total.toLocaleString("en")}.`);
    const last = target.range ? Math.min(target.range[1], total) : Math.min(target.seq, total);
    if (last > lines.knownTo) return;
    if (target.range && lines.countTo(last) === lines.countTo(target.seq - 1)) return this.#clearFilterFor(target);
    this.target = null;
    if (!lines.count) return;
    if (target.range) this.callbacks.onTargetReached();
    this.scroller.scrollToRow(this.rowIndex.findRow(Math.min(lines.count, lines.countTo(target.seq - 1) + 1)), target.share);
  }

  #clearFilterFor(target) {
    this.callbacks.clearFilter();
    this.scrollToLine(target.seq, target.share, target.range);
    this.callbacks.onTargetMissing("The linked line is on the other stream. All lines are shown now.");
  }

  #reportMissing(message) {
    this.target = null;
    this.callbacks.onTargetMissing(message);
  }

  /** The element of line `seq`; undefined while it is not drawn. */
  #getRowElement(seq) {
    const position = this.lines.countTo(seq);
    return position && this.lines.getSeq(position) === seq ? this.scroller.rows.get(this.rowIndex.findRow(position)) : undefined;
  }

  #isVisible(seq) {
    const row = this.#getRowElement(seq)?.getBoundingClientRect();
    const view = this.scroller.scroll.getBoundingClientRect();
    return Boolean(row) && row.top >= view.top && row.bottom <= view.bottom;
  }
}
