// Which of the log's lines are shown: all of them, or those of one stream. Knows no DOM.
//
// Both count places from 1: of all lines a line's place is its number, of one stream it comes from what the server
// found. Both have count, reach (the last line they know the place of), and the same questions.
import { Ranges } from "./line_set.js";
import { Search } from "./server_search.js";
import { LineStore } from "./line_buffer.js";

export class AllLines {
  constructor(source, total, hooks) {
    this.store = new LineStore(async (after, limit, signal) => (await source.lines({ after, limit }, signal)).lines, total, hooks);
  }
  get count() { return this.store.total; }
  get reach() { return this.store.total; }
  seqAt(place) { return place; }
  /** How many shown lines there are up to line `seq`. */
  upTo(seq) { return Math.min(seq, this.count); }
  get(place) { return this.store.get(place); }
  want(first, last) { this.store.want(first, last); }
  /** Lines first..last, by place, for a copy. */
  read(first, last) { return this.store.read(first, last); }
  /** Resolves when the places of all lines up to `seq` are known. */
  async until() {}
  take(lines) { this.store.put(lines); }
  grow() {}
  stop() {}
}

export class StreamLines {
  /** The lines of `stream`, stdout or stderr; `hooks` as of the store, `onChange()` also as more are found. */
  constructor(source, stream, total, hooks) {
    this.stream = stream;
    this.found = new Ranges();
    const fetchLines = async (after, limit, signal) =>
      (await source.lines({ after: this.found.nth(after + 1) - 1, limit, stream }, signal)).lines;
    const place = (line) => (this.found.has(line.seq) ? this.found.upTo(line.seq) : 0);
    this.store = new LineStore(fetchLines, 0, { ...hooks, place });
    this.search = new Search({
      ask: (after, signal) => source.find({ stream }, after, signal),
      found: this.found, total,
      onChange: () => { this.#count(); hooks.onFound(); },
    });
  }
  get count() { return this.found.count; }
  get reach() { return this.found.full ? Infinity : this.search.looked; }
  seqAt(place) { return this.found.nth(place); }
  upTo(seq) { return this.found.upTo(seq); }
  get(place) { return this.store.get(place); }
  want(first, last) { this.store.want(first, last); }
  read(first, last) { return this.store.read(first, last); }
  until(seq) { return this.search.until(seq); }
  /** Lines that have just come: their stream is known, so nobody has to be asked. */
  take(lines) {
    this.search.take(lines, (line) => line.stream === this.stream);
    this.store.put(lines.filter((line) => line.stream === this.stream));
    this.#count();
  }
  grow(total) { this.search.grow(total); }
  stop() { this.search.stop(); this.store.stop(); }
  #count() { this.store.total = this.found.count; }
}
