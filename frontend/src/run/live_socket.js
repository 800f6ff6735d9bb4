// The WebSocket of a live log: reconnects, and reads over HTTP while no socket opens.
// Delivers each line once and in order. Uses no DOM.

const SILENCE_MS = 10_000; // the server sends a message at least every 6 s

export class LiveSocket {
  /**
   * `buildUrl(after)` returns the socket's address; `fetchPage(after)` resolves to `{lines, ended}`.
   * `callbacks`: onLines(lines), onPartials(lines), onGaps(list), onError(text), onStatus(message), onEnd(message) and
   * onStateChange(state), one of connecting, live, reconnecting, refused, done.
   */
  constructor({ buildUrl, fetchPage, lastSeq, callbacks, Socket = globalThis.WebSocket, random = Math.random }) {
    Object.assign(this, { buildUrl, fetchPage, lastSeq, callbacks, Socket, random });
    this.failures = 0;
    this.isFinished = false;
    this.lastMessageAt = Date.now();
  }

  connect() {
    clearTimeout(this.retryTimer);
    if (this.isFinished) return;
    this.#closeSocket();
    this.callbacks.onStateChange(this.failures ? "reconnecting" : "connecting");
    const socket = (this.socket = new this.Socket(this.buildUrl(this.lastSeq)));
    this.isFirstMessage = true;
    socket.onmessage = (event) => { if (socket === this.socket) this.#onMessage(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.#onClose(event.code); };
    this.#restartSilenceTimer();
  }

  /** Reconnect at once if the socket is closed or silent: the network is back, or the page is visible again. */
  reconnectIfDead() {
    if (this.isFinished) return;
    const isDead = !this.socket || this.socket.readyState > 1 || Date.now() - this.lastMessageAt >= SILENCE_MS;
    if (isDead) this.connect();
  }

  close() {
    this.isFinished = true;
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    this.#closeSocket();
  }

  /** Deliver the new lines of `lines`. Returns false, and delivers none, if a line before them is missing. */
  deliverLines(lines) {
    const newLines = lines.filter((line) => line.seq > this.lastSeq);
    if (!newLines.length) return true;
    let expected = this.lastSeq;
    if (newLines.some((line) => line.seq !== ++expected)) return false;
    this.lastSeq = expected;
    this.callbacks.onLines(newLines);
    return true;
  }

  #onMessage(message) {
    this.failures = 0;
    this.lastMessageAt = Date.now();
    this.#restartSilenceTimer();
    if (this.isFirstMessage) this.#clearPartials();
    if (message.type === "lines") {
      const lines = message.lines.map(([seq, ns, stream, text]) => ({ seq, ms: ns / 1e6, stream, text }));
      if (!this.deliverLines(lines)) this.connect(); // continue after the last delivered line
    } else if (message.type === "partial") this.callbacks.onPartials(message.lines.map(([stream, text]) => ({ stream, text })));
    else if (message.type === "gaps") this.callbacks.onGaps(message.gaps);
    else if (message.type === "error") this.callbacks.onError(message.detail);
    else if (message.type === "status") { this.callbacks.onStateChange("live"); this.callbacks.onStatus(message); }
    else if (message.type === "end") this.#finish(message);
  }

  /** Partial lines may have ended while the connection was down; a new connection sends them again. */
  #clearPartials() {
    this.isFirstMessage = false;
    this.callbacks.onPartials([]);
  }

  #finish(message) {
    if (!message.pruned && typeof message.lines === "number" && message.lines > this.lastSeq) {
      this.failures++;
      return this.#onClose(1006); // the last lines are missing: fetch them first
    }
    this.isFinished = true;
    clearTimeout(this.silenceTimer);
    this.#closeSocket();
    this.callbacks.onPartials([]);
    this.callbacks.onEnd(message);
    this.callbacks.onStateChange("done");
  }

  #onClose(code) {
    this.#closeSocket();
    clearTimeout(this.silenceTimer);
    if (this.isFinished) return;
    if (code === 4403) {
      this.isFinished = true;
      return this.callbacks.onStateChange("refused");
    }
    this.failures++;
    this.callbacks.onStateChange("reconnecting");
    if (this.failures > 2) this.#fetchMissedLines();
    const wait = Math.min(10_000, 250 * 2 ** Math.min(this.failures, 6));
    this.retryTimer = setTimeout(() => this.connect(), wait * (0.5 + this.random() / 2));
  }

  #closeSocket() {
    const socket = this.socket;
    this.socket = null;
    if (socket) { socket.onclose = socket.onmessage = null; if (socket.readyState <= 1) socket.close(); }
  }

  /** A connection without a message for SILENCE_MS is dead: close it and open another. */
  #restartSilenceTimer() {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => this.#onClose(1006), SILENCE_MS);
  }

  /** Read over HTTP while no socket opens, for example behind a proxy without WebSocket support. */
  async #fetchMissedLines() {
    try {
      const page = await this.fetchPage(this.lastSeq);
      if (this.isFinished) return;
      this.lastMessageAt = Date.now();
      this.#clearPartials();
      this.deliverLines(page.lines);
      if (page.ended && !page.lines.length) this.#finish({ type: "end", lines: this.lastSeq });
    } catch {
      // the retry timer is already set
    }
  }
}
