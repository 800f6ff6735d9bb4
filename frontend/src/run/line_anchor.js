// The lines that the address marks, #L12 or #L12-20: read from it, written to it, and pointed out in the log.
import { formatHash, lines, parseHash } from "./format.js";

export class Marks {
  /** `onRead()` hears when the address has changed: by a link, or back and forward. */
  constructor(onRead) {
    this.range = parseHash(location.hash);
    addEventListener("hashchange", () => { this.range = parseHash(location.hash); onRead(); });
  }

  has(seq) { return this.range !== null && seq !== null && seq >= this.range[0] && seq <= this.range[1]; }

  /**
   * Mark line `seq`, or none if it is the one that is marked; with `extend` all from the marked one to it. The
   * address follows, the history does not grow.
   */
  set(seq, extend) {
    if (!extend && this.range?.[0] === seq && this.range[1] === seq) {
      this.range = null;
      history.replaceState(history.state, "", location.pathname + location.search);
      return;
    }
    this.from = extend && this.range ? (this.from ?? this.range[0]) : seq;
    this.range = [Math.min(this.from, seq), Math.max(this.from, seq)];
    history.replaceState(history.state, "", formatHash(this.range));
  }

  /** What a copy takes, in words; `all` is what it takes where nothing is marked. */
  copies(all) {
    if (!this.range) return `Copy ${all}`;
    const [first, last] = this.range;
    return first === last ? `Copy line ${first}` : `Copy lines ${first} to ${last} (${lines(last - first + 1)})`;
  }
}
