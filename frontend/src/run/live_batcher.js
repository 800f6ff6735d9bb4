// What comes of a live log, gathered: drawing each message would cost more than it tells. Knows no DOM.
import { Feed } from "./live_socket.js";

const FLUSH_MS = 100;
const FETCH_MS = 10_000; // a request that hangs would hold one of the few connections that a browser opens
const TAIL = 1000; // lines the socket sends of a log that is already long

export class Incoming {
  /**
   * `address` is that of the socket, `total` how many lines are known already. `on` has flush(lines, partials), at
   * most ten times a second; the rest goes to it at once: gaps, error, status, end, state (see live_socket.js).
   */
  constructor({ address, source, total, on }) {
    this.on = on;
    this.lines = [];
    this.partials = [];
    this.feed = new Feed({
      url: (after) => `${address}?after=${after}`,
      fetchPage: (after) => source.lines({ after, limit: 5000 }, AbortSignal.timeout(FETCH_MS)),
      last: Math.max(0, total - TAIL),
      on: {
        ...on,
        lines: (lines) => { this.lines.push(...lines); this.#soon(); },
        partial: (lines) => { this.partials = lines; this.#soon(); },
        end: (message) => { this.flush(); on.end(message); },
      },
    });
  }

  /** How long the server has said nothing, in milliseconds. */
  get silence() { return Date.now() - this.feed.heardAt; }

  open() { this.feed.open(); }
  wake() { this.feed.wake(); }

  flush() {
    clearTimeout(this.timer);
    this.timer = null;
    this.flushed = performance.now();
    const { lines } = this;
    this.lines = [];
    this.on.flush(lines, this.partials);
  }

  /** At once when it was quiet. */
  #soon() {
    if (this.timer) return;
    const wait = Math.max(0, FLUSH_MS - (performance.now() - (this.flushed ?? -FLUSH_MS)));
    this.timer = setTimeout(() => this.flush(), wait);
  }
}
