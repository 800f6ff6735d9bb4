// A growing set of line numbers, kept as runs of neighbours in two packed arrays: a million runs take 8 MB. Pure.

export class Ranges {
  /** At most `max` runs are kept; `full` says that more were offered. */
  constructor(max = 1_000_000) {
    this.max = max;
    this.size = 0; // runs
    this.count = 0; // lines
    this.last = 0; // the greatest line
    this.full = false;
    this.firsts = new Uint32Array(64);
    this.before = new Uint32Array(64); // lines in all runs before this one
  }

  /** Add first..last, which lie behind all that is here; false when there is no room. */
  push(first, last) {
    if (first !== this.last + 1 || !this.size) {
      if (this.size === this.max) { this.full = true; return false; }
      if (this.size === this.firsts.length) this.#widen();
      this.firsts[this.size] = first;
      this.before[this.size++] = this.count;
    }
    this.count += last - first + 1;
    this.last = last;
    return true;
  }

  /** The `n`th line of the set, from 1. */
  nth(n) {
    const at = this.#search(this.before, n - 1);
    return this.firsts[at] + n - 1 - this.before[at];
  }

  /** How many lines of the set are `seq` or less. */
  upTo(seq) {
    const at = this.#search(this.firsts, seq);
    if (at < 0) return 0;
    const end = at + 1 < this.size ? this.before[at + 1] : this.count;
    return Math.min(end, this.before[at] + seq - this.firsts[at] + 1);
  }

  has(seq) {
    const n = this.upTo(seq);
    return n > 0 && this.nth(n) === seq;
  }

  /** The last place in `values` whose value is `value` or less, or -1. */
  #search(values, value) {
    let low = -1;
    let high = this.size - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (values[middle] <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #widen() {
    for (const name of ["firsts", "before"]) {
      const wider = new Uint32Array(this[name].length * 2);
      wider.set(this[name]);
      this[name] = wider;
    }
  }
}
