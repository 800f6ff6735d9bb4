// The marked lines in the page's address, #L12 or #L12-20.
import { formatHash, formatLines, parseHash } from "./format.js";

export class LineAnchor {
  /** Embedded, in the page of something else, the marked lines are not in the page's address. */
  constructor(onChange, { isEmbedded = false } = {}) {
    this.isEmbedded = isEmbedded;
    this.range = isEmbedded ? null : parseHash(location.hash);
    if (!isEmbedded) addEventListener("hashchange", () => { this.range = parseHash(location.hash); onChange(); });
  }

  has(seq) { return this.range !== null && seq !== null && seq >= this.range[0] && seq <= this.range[1]; }

  /**
   * Mark line `seq`; with `isExtending`, all lines from the marked line to it. Marking the marked line again removes
   * the mark. Replaces the address and adds no history entry.
   */
  markLine(seq, isExtending) {
    if (!isExtending && this.range?.[0] === seq && this.range[1] === seq) {
      this.range = null;
      this.#replaceAddress(location.pathname + location.search);
      return;
    }
    this.from = isExtending && this.range ? (this.from ?? this.range[0]) : seq;
    this.range = [Math.min(this.from, seq), Math.max(this.from, seq)];
    this.#replaceAddress(formatHash(this.range));
  }

  #replaceAddress(address) {
    if (!this.isEmbedded) history.replaceState(history.state, "", address);
  }

  /** The label of the copy button; `unmarked` names what is copied when no line is marked. */
  describeCopy(unmarked) {
    if (!this.range) return `Copy ${unmarked}`;
    const [first, last] = this.range;
    return first === last ? `Copy line ${first}` : `Copy lines ${first} to ${last} (${formatLines(last - first + 1)})`;
  }
}
