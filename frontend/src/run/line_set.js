// A growing set of line numbers, stored as ranges in two typed arrays: a million ranges take 8 MB. Pure.

export class LineSet {
  /** Holds at most `maxRanges` ranges; `isFull` becomes true when one more is added. */
  constructor(maxRanges = 1_000_000) {
    this.maxRanges = maxRanges;
    this.rangeCount = 0;
    this.count = 0; // lines
    this.last = 0; // the greatest line
    this.isFull = false;
    this.firsts = new Uint32Array(64); // the first line of each range
    this.linesBefore = new Uint32Array(64); // lines in all earlier ranges
  }

  /** Add first..last, which must be greater than all lines of the set. Returns false if there is no room. */
  addRange(first, last) {
    if (first !== this.last + 1 || !this.rangeCount) {
      if (this.rangeCount === this.maxRanges) { this.isFull = true; return false; }
      if (this.rangeCount === this.firsts.length) this.#growArrays();
      this.firsts[this.rangeCount] = first;
      this.linesBefore[this.rangeCount++] = this.count;
    }
    this.count += last - first + 1;
    this.last = last;
    return true;
  }

  getNth(n) {
    const range = this.#findLastAtMost(this.linesBefore, n - 1);
    return this.firsts[range] + n - 1 - this.linesBefore[range];
  }

  /** How many lines of the set are `seq` or less. */
  countTo(seq) {
    const range = this.#findLastAtMost(this.firsts, seq);
    if (range < 0) return 0;
    const end = range + 1 < this.rangeCount ? this.linesBefore[range + 1] : this.count;
    return Math.min(end, this.linesBefore[range] + seq - this.firsts[range] + 1);
  }

  has(seq) {
    const n = this.countTo(seq);
    return n > 0 && this.getNth(n) === seq;
  }

  /** The last index in `values` whose value is at most `value`, or -1. */
  #findLastAtMost(values, value) {
    let low = -1;
    let high = this.rangeCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (values[middle] <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #growArrays() {
    for (const name of ["firsts", "linesBefore"]) {
      const larger = new Uint32Array(this[name].length * 2);
      larger.set(this[name]);
      this[name] = larger;
    }
  }
}
