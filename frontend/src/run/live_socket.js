// The live end of a log: one WebSocket that comes back by itself, and by REST where none opens.
// Hands on every line once and in order. Knows no DOM.

const SILENCE_MS = 10_000; // the server says something at least every 6 s

export class Feed {
  /**
   * `url(after)` gives the socket's address, `fetchPage(after)` resolves to `{lines, ended}`.
   * `on` has lines(lines), partial(lines), gaps(list), error(words), status(message), end(message) and state(word),
   * where the word is connecting, live, reconnecting, refused or done. `heardAt` is when the server last said something.
   */
  constructor({ url, fetchPage, last, on, Socket = globalThis.WebSocket, random = Math.random }) {
    Object.assign(this, { url, fetchPage, last, on, Socket, random });
    this.tries = 0;
    this.finished = false;
    this.heardAt = Date.now();
  }

  open() {
    clearTimeout(this.retry);
    if (this.finished) return;
    this.#drop();
    this.on.state(this.tries ? "reconnecting" : "connecting");
    const socket = (this.socket = new this.Socket(this.url(this.last)));
    this.anew = true; // it has said nothing yet
    socket.onmessage = (event) => { if (socket === this.socket) this.#take(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.#closed(event.code); };
    this.#watch();
  }

  /** Try now: the network is back, or the reader has come back to the page. A socket that was silent is replaced. */
  wake() {
    if (this.finished) return;
    const isDead = !this.socket || this.socket.readyState > 1 || Date.now() - this.heardAt >= SILENCE_MS;
    if (isDead) this.open();
  }

  /** Hand on what is new of `lines`; false when one is missing before them. */
  deliver(lines) {
    const fresh = lines.filter((line) => line.seq > this.last);
    if (!fresh.length) return true;
    let expected = this.last;
    if (fresh.some((line) => line.seq !== ++expected)) return false;
    this.last = expected;
    this.on.lines(fresh);
    return true;
  }

  #take(message) {
    this.tries = 0;
    this.heardAt = Date.now();
    this.#watch();
    if (this.anew) this.#forget();
    if (message.type === "lines") {
      const lines = message.lines.map(([seq, ns, stream, text]) => ({ seq, ms: ns / 1e6, stream, text }));
      if (!this.deliver(lines)) this.open(); // ask again from the last line we have
    } else if (message.type === "partial") this.on.partial(message.lines.map(([stream, text]) => ({ stream, text })));
    else if (message.type === "gaps") this.on.gaps(message.gaps);
    else if (message.type === "error") this.on.error(message.detail);
    else if (message.type === "status") { this.on.state("live"); this.on.status(message); }
    else if (message.type === "end") this.#ended(message);
  }

  /** What was begun may have ended meanwhile: a new connection says it anew. */
  #forget() {
    this.anew = false;
    this.on.partial([]);
  }

  #ended(message) {
    if (!message.pruned && typeof message.lines === "number" && message.lines > this.last) {
      this.tries++;
      return this.#closed(1006); // the end came, the last lines did not
    }
    this.finished = true;
    clearTimeout(this.silence);
    this.#drop();
    this.on.partial([]);
    this.on.end(message);
    this.on.state("done");
  }

  #closed(code) {
    this.#drop();
    clearTimeout(this.silence);
    if (this.finished) return;
    if (code === 4403) {
      this.finished = true;
      return this.on.state("refused");
    }
    this.tries++;
    this.on.state("reconnecting");
    if (this.tries > 2) this.#catchUp();
    const wait = Math.min(10_000, 250 * 2 ** Math.min(this.tries, 6));
    this.retry = setTimeout(() => this.open(), wait * (0.5 + this.random() / 2));
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    if (socket) { socket.onclose = socket.onmessage = null; if (socket.readyState <= 1) socket.close(); }
  }

  /** A connection that says nothing for so long is dead, or the server is: close it and try another. */
  #watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.#closed(1006), SILENCE_MS);
  }

  /** No socket opens (a proxy that knows none, say): read by REST until one does. */
  async #catchUp() {
    try {
      const page = await this.fetchPage(this.last);
      if (this.finished) return;
      this.heardAt = Date.now();
      this.#forget();
      this.deliver(page.lines);
      if (page.ended && !page.lines.length) this.#ended({ type: "end", lines: this.last });
    } catch {
      // the next try comes by itself
    }
  }
}
