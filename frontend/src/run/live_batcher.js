// Collects the lines of a live log into batches, because drawing after each message is too slow. Uses no DOM.
import { LiveSocket } from "./live_socket.js";

const BATCH_MS = 100;
const FETCH_TIMEOUT_MS = 10_000; // a request that hangs would hold one of the browser's few connections
const TAIL = 1000; // lines that the socket sends of a log that is already long

export class LiveBatcher {
  /**
   * `address` is the socket's, `total` the number of lines that are known already. `callbacks`: onBatch(lines,
   * partials), at most ten times a second; and without delay onGaps, onError, onStatus, onEnd, onStateChange (see
   * live_socket.js).
   */
  constructor({ address, source, total, callbacks }) {
    this.callbacks = callbacks;
    this.lines = [];
    this.partials = [];
    this.liveSocket = new LiveSocket({
      buildUrl: (after) => `${address}?after=${after}`,
      fetchPage: (after) => source.fetchLines({ after, limit: 5000 }, AbortSignal.timeout(FETCH_TIMEOUT_MS)),
      lastSeq: Math.max(0, total - TAIL),
      callbacks: {
        ...callbacks,
        onLines: (lines) => { this.lines.push(...lines); this.#scheduleBatch(); },
        onPartials: (lines) => { this.partials = lines; this.#scheduleBatch(); },
        onEnd: (message) => { this.sendBatch(); callbacks.onEnd(message); },
      },
    });
  }

  get silenceMs() { return Date.now() - this.liveSocket.lastMessageAt; }

  connect() { this.liveSocket.connect(); }
  reconnectIfDead() { this.liveSocket.reconnectIfDead(); }

  close() {
    clearTimeout(this.timer);
    this.liveSocket.close();
  }

  sendBatch() {
    clearTimeout(this.timer);
    this.timer = null;
    this.sentAt = performance.now();
    const { lines } = this;
    this.lines = [];
    this.callbacks.onBatch(lines, this.partials);
  }

  /** Without delay if the last batch is older than BATCH_MS. */
  #scheduleBatch() {
    if (this.timer) return;
    const wait = Math.max(0, BATCH_MS - (performance.now() - (this.sentAt ?? -BATCH_MS)));
    this.timer = setTimeout(() => this.sendBatch(), wait);
  }
}
