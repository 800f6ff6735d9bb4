// Maps rows to lines, gaps and partial lines. Pure.
//
// A position counts the shown lines, from 1; a row number counts the gaps between them too. A partial line is a line
// whose end has not been written yet; partial lines come after all others.

export class RowIndex {
  constructor() {
    this.update({ lines: 0, gaps: [], partials: 0 });
  }

  /** `gaps` are [position, gap] in order: the gap comes after the line at that position. */
  update({ lines, gaps, partials }) {
    this.lines = lines;
    this.partials = partials;
    this.gaps = gaps.map(([, gap]) => gap);
    this.gapRows = gaps.map(([position], index) => position + index + 1); // ascending
  }

  get count() { return this.lines + this.gaps.length + this.partials; }

  /** The content of row `n`: {gap}, {position} of a line, or {partial}, an index from 0. */
  getRow(n) {
    const gapsAbove = this.#countGapsTo(n);
    if (gapsAbove && this.gapRows[gapsAbove - 1] === n) return { gap: this.gaps[gapsAbove - 1] };
    const position = n - gapsAbove;
    return position > this.lines ? { partial: position - this.lines - 1 } : { position };
  }

  findRow(position) {
    let low = 0;
    let high = this.gapRows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.gapRows[middle] - middle <= position) low = middle + 1;
      else high = middle;
    }
    return position + low;
  }

  countLinesTo(n) { return Math.min(this.lines, n - this.#countGapsTo(n)); }

  #countGapsTo(n) {
    let low = 0;
    let high = this.gapRows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.gapRows[middle] <= n) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
