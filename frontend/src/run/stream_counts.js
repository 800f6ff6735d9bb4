// Counts the lines of each stream, starting from the counts that the page was rendered with. Uses no DOM.

export class StreamCounts {
  /**
   * `stdout` and `stderr` are the server's counts for the first `lines` lines. With `merged` streams the order is
   * exact whatever the counts are.
   */
  constructor({ lines, stdout, stderr, merged }) {
    Object.assign(this, { countedTo: lines, stdout, stderr, isMerged: merged });
  }

  /** Count the new lines among `lines`, which are consecutive. Returns whether there were any. */
  addLines(lines) {
    const newLines = lines.filter((line) => line.seq > this.countedTo);
    for (const { seq, stream } of newLines) {
      this[stream === "stderr" ? "stderr" : "stdout"] += 1;
      this.countedTo = seq;
    }
    return newLines.length > 0;
  }

  /** Two pipes do not keep the order in which lines of different streams were written. */
  get isOrderInexact() { return !this.isMerged && this.stdout > 0 && this.stderr > 0; }
}
