// How many lines each stream has, counted on from what the page was given. Knows no DOM.

export class StreamCounts {
  /**
   * `stdout` and `stderr` are how many of the first `lines` lines are of each, as the server knows them. With `merged`
   * streams the order is exact whatever was counted.
   */
  constructor({ lines, stdout, stderr, merged }) {
    Object.assign(this, { upTo: lines, stdout, stderr, merged });
  }

  /** Count what of `lines`, which follow each other, was not counted yet. True if any was. */
  take(lines) {
    const fresh = lines.filter((line) => line.seq > this.upTo);
    for (const { seq, stream } of fresh) {
      this[stream === "stderr" ? "stderr" : "stdout"] += 1;
      this.upTo = seq;
    }
    return fresh.length > 0;
  }

  /** Lines of two pipes stand beside each other: which was written first is not known exactly. */
  get isOrderInexact() { return !this.merged && this.stdout > 0 && this.stderr > 0; }
}
