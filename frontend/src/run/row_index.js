// Which line, gap or unfinished line stands in which row. Pure.
//
// A place counts the lines that are shown, from 1; a row counts the gaps between them too.

export class Rows {
  constructor() {
    this.set({ lines: 0, gaps: [], partials: 0 });
  }

  /** `gaps` are [place, gap] in order: the gap stands behind the line at that place. */
  set({ lines, gaps, partials }) {
    this.lines = lines;
    this.partials = partials;
    this.gaps = gaps.map(([, gap]) => gap);
    this.taken = gaps.map(([place], at) => place + at + 1); // the rows of the gaps, rising
  }

  get count() { return this.lines + this.gaps.length + this.partials; }

  /** What row `n` holds: {gap}, {place} of a line, or {partial}, its number from 0. */
  at(n) {
    const above = this.#upTo(n);
    if (above && this.taken[above - 1] === n) return { gap: this.gaps[above - 1] };
    const place = n - above;
    return place > this.lines ? { partial: place - this.lines - 1 } : { place };
  }

  /** The row of the line at `place`. */
  of(place) {
    let low = 0;
    let high = this.taken.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.taken[middle] - middle <= place) low = middle + 1;
      else high = middle;
    }
    return place + low;
  }

  /** How many lines stand in rows up to `n`. */
  linesTo(n) { return Math.min(this.lines, n - this.#upTo(n)); }

  /** How many gaps stand in rows up to `n`. */
  #upTo(n) {
    let low = 0;
    let high = this.taken.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.taken[middle] <= n) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
