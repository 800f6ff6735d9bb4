// The lines that are shown: all lines of a log, or the lines of one stream. Uses no DOM.
//
// Both classes have the same methods and count positions from 1. Among all lines a line's position is its number;
// within a stream, the server's search result gives it. `knownTo` is the last line whose position is known.
import { LineBuffer } from "./line_buffer.js";
import { LineSet } from "./line_set.js";
import { ServerSearch } from "./server_search.js";

export class AllLines {
  constructor(source, total, callbacks) {
    const fetchLines = async (after, limit, signal) => (await source.fetchLines({ after, limit }, signal)).lines;
    this.buffer = new LineBuffer(fetchLines, total, callbacks);
  }
  get count() { return this.buffer.total; }
  get knownTo() { return this.buffer.total; }
  getSeq(position) { return position; }
  countTo(seq) { return Math.min(seq, this.count); }
  getLine(position) { return this.buffer.getLine(position); }
  requestLines(first, last) { this.buffer.requestLines(first, last); }
  readLines(first, last) { return this.buffer.readLines(first, last); }
  /** Resolves when the positions of all lines up to `seq` are known. */
  async waitUntilKnown() {}
  addLines(lines) { this.buffer.storeLines(lines); }
  setTotal() {}
  stop() {}
}

export class StreamLines {
  /** `stream`: stdout or stderr. `callbacks`: those of the buffer, and onFound() when more lines are found. */
  constructor(source, stream, total, callbacks) {
    this.stream = stream;
    this.lineNumbers = new LineSet();
    const fetchLines = async (after, limit, signal) =>
      (await source.fetchLines({ after: this.lineNumbers.getNth(after + 1) - 1, limit, stream }, signal)).lines;
    const getPosition = (line) => (this.lineNumbers.has(line.seq) ? this.lineNumbers.countTo(line.seq) : 0);
    this.buffer = new LineBuffer(fetchLines, 0, { ...callbacks, getPosition });
    this.search = new ServerSearch({
      fetchMatches: (after, signal) => source.fetchMatches({ stream }, after, signal),
      matches: this.lineNumbers, total,
      onChange: () => { this.#updateBufferTotal(); callbacks.onFound(); },
    });
  }
  get count() { return this.lineNumbers.count; }
  get knownTo() { return this.lineNumbers.isFull ? Infinity : this.search.searchedTo; }
  getSeq(position) { return this.lineNumbers.getNth(position); }
  countTo(seq) { return this.lineNumbers.countTo(seq); }
  getLine(position) { return this.buffer.getLine(position); }
  requestLines(first, last) { this.buffer.requestLines(first, last); }
  readLines(first, last) { return this.buffer.readLines(first, last); }
  waitUntilKnown(seq) { return this.search.waitUntilSearched(seq); }
  /** The stream of new lines is known, so they need no request. */
  addLines(lines) {
    this.search.addLines(lines, (line) => line.stream === this.stream);
    this.buffer.storeLines(lines.filter((line) => line.stream === this.stream));
    this.#updateBufferTotal();
  }
  setTotal(total) { this.search.setTotal(total); }
  stop() { this.search.stop(); this.buffer.cancelRequests(); }
  #updateBufferTotal() { this.buffer.total = this.lineNumbers.count; }
}
