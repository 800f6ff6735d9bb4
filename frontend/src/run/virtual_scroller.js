// Draws only the rows near the reader, in a native scroller. Knows rows by number, nothing of logs.
//
// Unwrapped and below the height a browser can scroll, a row's place is its number times its height. Wrapped or
// longer, the place is an anchor: small movements move it by real pixels, far jumps in proportion, and the
// scroll bar is put right again when the scrolling ends.

const CAP = 8_000_000;

export class Scroller {
  /** `draw(n, old)` gives row n's element (`old` where it could be updated), `need(first, last)` hears what is on the screen. */
  constructor({ scroll, spacer, block, draw, need, moved }) {
    Object.assign(this, { scroll, spacer, block, draw, need, moved });
    this.count = 0;
    this.anchor = 1; // the row at the top edge, and how many of its pixels are above it
    this.offset = 0;
    this.wrapped = false;
    this.rows = new Map();
    this.top = 0; // where we last saw or put the scroll bar
    this.average = 0;
    scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroll.addEventListener("scrollend", () => { if (!this.exact) this.#resync(); });
    new ResizeObserver(() => this.resized()).observe(scroll);
  }

  get line() {
    return (this.height ??= Number.parseFloat(getComputedStyle(this.block).lineHeight) || 18);
  }
  get exact() { return !this.wrapped && this.count * this.line <= CAP; }
  get view() { return this.scroll.clientHeight; }
  get full() {
    if (this.exact) return this.count * this.line;
    if (this.rows.size === this.count) return this.block.offsetHeight;
    return Math.min(CAP, Math.max(this.count * (this.average || this.line), this.view * 3));
  }

  /** There are `count` rows now; the reader's place stays. */
  grow(count) {
    const was = this.exact;
    this.count = count;
    this.anchor = Math.min(this.anchor, Math.max(1, count));
    if (was && !this.exact) this.#place();
    else this.render();
  }

  /** Other rows stand here now, `count` of them; row `n` comes to the top. */
  renew(count, n) {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.count = count;
    this.average = 0;
    this.goTo(n);
  }

  wrap(on) {
    this.wrapped = on;
    const { anchor } = this;
    this.average = 0;
    this.goTo(anchor);
  }

  resized() {
    this.height = undefined;
    this.render();
    this.moved(false);
  }

  goTo(n, share = 0) {
    n = Math.max(1, Math.min(n, this.count));
    const above = Math.floor((this.view * share) / this.line);
    this.anchor = Math.max(1, n - above);
    this.offset = 0;
    this.#place();
    const row = this.rows.get(n);
    if (!this.exact && row && share && row.offsetTop + this.shift > this.top + this.view) {
      this.anchor = n;
      this.#place();
    }
  }

  /** Bring pixel `y` of row `n`, a high one, into view. */
  goInto(n, y) {
    this.anchor = n;
    this.offset = Math.max(0, y - this.view * 0.3);
    this.#place();
  }

  toEnd() {
    if (this.exact) {
      this.#size();
      this.#setTop(this.full - this.view);
      return this.render();
    }
    this.anchor = Math.max(1, this.count - Math.ceil(this.view / this.line));
    this.offset = 0;
    this.#fill();
    this.#anchorAt(this.block.offsetHeight - this.view);
    this.#size();
    this.#setTop(this.full - this.view);
    this.#shift();
  }

  /** As a wheel does; what is in view is drawn when it returns. */
  by(pixels) {
    this.scroll.scrollTop += pixels;
    this.#scrolled();
  }

  get atEnd() {
    if (this.exact) return this.scroll.scrollTop >= this.full - this.view - 2;
    return this.rows.has(this.count) && this.shift + this.block.offsetHeight <= this.scroll.scrollTop + this.view + 2;
  }

  /** Draw what the place asks for. */
  render() {
    this.#size();
    if (this.exact) {
      this.top = this.scroll.scrollTop;
      this.anchor = Math.max(1, Math.min(this.count, Math.floor(this.top / this.line) + 1));
      this.offset = this.top - (this.anchor - 1) * this.line;
    }
    this.#fill();
    this.#shift();
  }

  /** Draw these rows anew: their text has come or changed. */
  refresh() {
    for (const [n, row] of this.rows) {
      const drawn = this.draw(n, row);
      if (drawn === row) continue;
      row.replaceWith(drawn);
      this.rows.set(n, drawn);
    }
    if (!this.exact) { this.#size(); this.#shift(); }
  }

  #scrolled() {
    const top = this.scroll.scrollTop;
    const by = top - this.top;
    if (by === 0) return;
    if (!this.exact) {
      if (this.rows.size === this.count) this.#anchorAt(top);
      else if (Math.abs(by) > this.view * 2) this.#jump(top);
      else this.#move(by);
      this.top = top;
    }
    this.render();
    if (!this.exact) this.#edges();
    this.moved(true);
  }

  #jump(top) {
    const room = Math.max(1, this.full - this.view);
    const last = Math.max(1, this.count - Math.floor(this.view / (this.average || this.line)));
    this.anchor = Math.max(1, Math.min(this.count, Math.round((top / room) * last) + 1));
    this.offset = 0;
  }

  #move(by) {
    const row = this.rows.get(this.anchor);
    if (row) this.#anchorAt(row.offsetTop + this.offset + by);
  }

  /** Take the row at `y` pixels of the block as the anchor. */
  #anchorAt(y) {
    const rows = [...this.rows].sort((a, b) => a[0] - b[0]);
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rows[middle][1].offsetTop <= y) low = middle;
      else high = middle - 1;
    }
    if (!rows.length) return;
    this.anchor = rows[low][0];
    this.offset = Math.max(0, Math.min(y - rows[low][1].offsetTop, rows[low][1].offsetHeight - 1));
  }

  #edges() {
    const { top } = this;
    const bottom = this.shift + this.block.offsetHeight;
    const hasLast = this.rows.has(this.count);
    if (hasLast && bottom < top + this.view && this.block.offsetHeight > this.view) return this.toEnd();
    const begins = this.anchor === 1 && this.offset === 0;
    if ((top <= 0 && !begins) || (top >= this.full - this.view - 1 && !hasLast)) this.#resync();
  }

  /** Put the scroll bar where the anchor belongs: to the pixel near either end, in proportion between. */
  #resync() {
    if (this.rows.size === this.count) return;
    this.#size();
    const room = Math.max(1, this.full - this.view);
    const above = (this.rows.get(this.anchor)?.offsetTop ?? 0) + this.offset;
    if (this.rows.has(this.count)) this.#setTop(room - Math.max(0, this.block.offsetHeight - above - this.view));
    else if (this.rows.has(1)) this.#setTop(above);
    else {
      const last = Math.max(1, this.count - Math.floor(this.view / (this.average || this.line)));
      const share = Math.min(1, (this.anchor - 1) / last);
      this.#setTop(Math.max(this.view, Math.min(room - this.view, share * room)));
    }
    this.#shift();
  }

  #place() {
    this.#size();
    if (this.exact) this.#setTop((this.anchor - 1) * this.line + this.offset);
    this.render();
    if (!this.exact) {
      if (this.rows.size === this.count) this.#setTop((this.rows.get(this.anchor)?.offsetTop ?? 0) + this.offset);
      else this.#resync();
      this.#shift();
      this.#edges();
    }
  }

  #setTop(top) {
    this.scroll.scrollTop = Math.max(0, Math.round(top));
    this.top = this.scroll.scrollTop;
  }

  #size() {
    const height = Math.max(0, Math.ceil(this.full));
    if (height !== this.sized) this.spacer.style.height = `${(this.sized = height)}px`;
  }

  #fill() {
    const visible = Math.ceil(this.view / this.line) + 1;
    const over = this.exact ? 20 : Math.max(60, visible * 2);
    const first = Math.max(1, this.anchor - over);
    const last = Math.min(this.count, this.anchor + visible + over);
    for (const [n, row] of this.rows) if (n < first || n > last) this.#drop(n, row);
    let next = null;
    for (let n = last; n >= first; n--) {
      let row = this.rows.get(n);
      if (!row) {
        row = this.draw(n, null);
        this.rows.set(n, row);
        this.block.insertBefore(row, next);
      }
      next = row;
    }
    if (!this.exact && this.rows.size) this.average = this.block.offsetHeight / this.rows.size;
    this.first = first;
    if (last >= first) this.need(Math.max(1, this.anchor), Math.min(this.count, this.anchor + visible));
  }

  #drop(n, row) {
    // Who had come to a link in it by keyboard goes on in the log, not at the top of the page.
    if (row.contains(document.activeElement)) this.scroll.focus({ preventScroll: true });
    row.remove();
    this.rows.delete(n);
  }

  #shift() {
    if (this.exact) this.shift = (this.first - 1) * this.line;
    else if (this.rows.size === this.count) this.shift = 0;
    else this.shift = this.scroll.scrollTop - this.offset - (this.rows.get(this.anchor)?.offsetTop ?? 0);
    this.block.style.transform = `translateY(${this.shift}px)`;
  }
}
