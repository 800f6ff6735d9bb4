// Virtual scrolling: draws only the rows near the visible part, in a native scroll container. Knows row numbers only,
// nothing of logs.
//
// Exact mode (rows of one height, and no more than a browser can scroll): a row's offset is its number times its
// height. Otherwise (wrapped, or longer) the position is an anchor row: small movements move it by real pixels, far
// jumps in proportion, and the scroll bar is corrected when the scrolling ends.

const MAX_HEIGHT = 8_000_000; // pixels

export class VirtualScroller {
  /**
   * `drawRow(n, old)` returns row n's element (`old` if it could be updated); `onVisible(first, last)` gets the visible
   * rows after each drawing; `onMove(isByHand)` is called after scrolling and resizing.
   */
  constructor({ scroll, spacer, block, drawRow, onVisible, onMove }) {
    Object.assign(this, { scroll, spacer, block, drawRow, onVisible, onMove });
    this.count = 0;
    this.anchor = 1; // the row at the top edge
    this.offset = 0; // pixels of the anchor row above the top edge
    this.isWrapped = false;
    this.rows = new Map(); // row number -> element
    this.top = 0; // the last known or set scroll position
    this.averageHeight = 0; // of a row
    scroll.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    scroll.addEventListener("scrollend", () => { if (!this.isExact) this.#syncScrollBar(); });
    new ResizeObserver(() => this.onResize()).observe(scroll);
  }

  get rowHeight() {
    return (this.measuredHeight ??= Number.parseFloat(getComputedStyle(this.block).lineHeight) || 18);
  }
  get isExact() { return !this.isWrapped && this.count * this.rowHeight <= MAX_HEIGHT; }
  get viewHeight() { return this.scroll.clientHeight; }
  get fullHeight() {
    if (this.isExact) return this.count * this.rowHeight;
    if (this.rows.size === this.count) return this.block.offsetHeight;
    return Math.min(MAX_HEIGHT, Math.max(this.count * (this.averageHeight || this.rowHeight), this.viewHeight * 3));
  }

  setCount(count) {
    const wasExact = this.isExact;
    this.count = count;
    this.anchor = Math.min(this.anchor, Math.max(1, count));
    if (wasExact && !this.isExact) this.#scrollToAnchor();
    else this.render();
  }

  /** All rows are replaced by `count` others; row `n` comes to the top. */
  replaceRows(count, n) {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.count = count;
    this.averageHeight = 0;
    this.scrollToRow(n);
  }

  setWrapped(isWrapped) {
    this.isWrapped = isWrapped;
    const { anchor } = this;
    this.averageHeight = 0;
    this.scrollToRow(anchor);
  }

  onResize() {
    this.measuredHeight = undefined;
    this.render();
    this.onMove(false);
  }

  /** Scroll row `n` to `share` of the view's height below its top edge. */
  scrollToRow(n, share = 0) {
    n = Math.max(1, Math.min(n, this.count));
    const rowsAbove = Math.floor((this.viewHeight * share) / this.rowHeight);
    this.anchor = Math.max(1, n - rowsAbove);
    this.offset = 0;
    this.#scrollToAnchor();
    const row = this.rows.get(n);
    if (!this.isExact && row && share && row.offsetTop + this.blockTop > this.top + this.viewHeight) {
      this.anchor = n;
      this.#scrollToAnchor();
    }
  }

  /** Scroll to pixel `y` within row `n`, for a row that is higher than the view. */
  scrollIntoRow(n, y) {
    this.anchor = n;
    this.offset = Math.max(0, y - this.viewHeight * 0.3);
    this.#scrollToAnchor();
  }

  scrollToEnd() {
    if (this.isExact) {
      this.#updateSpacer();
      this.#setScrollTop(this.fullHeight - this.viewHeight);
      return this.render();
    }
    this.anchor = Math.max(1, this.count - Math.ceil(this.viewHeight / this.rowHeight));
    this.offset = 0;
    this.#drawRows();
    this.#setAnchorAt(this.block.offsetHeight - this.viewHeight);
    this.#updateSpacer();
    this.#setScrollTop(this.fullHeight - this.viewHeight);
    this.#placeBlock();
  }

  /** Scroll as a mouse wheel does; the visible rows are drawn when it returns. */
  scrollBy(pixels) {
    this.scroll.scrollTop += pixels;
    this.#onScroll();
  }

  get isAtEnd() {
    if (this.isExact) return this.scroll.scrollTop >= this.fullHeight - this.viewHeight - 2;
    return this.rows.has(this.count) && this.blockTop + this.block.offsetHeight <= this.scroll.scrollTop + this.viewHeight + 2;
  }

  render() {
    this.#updateSpacer();
    if (this.isExact) {
      this.top = this.scroll.scrollTop;
      this.anchor = Math.max(1, Math.min(this.count, Math.floor(this.top / this.rowHeight) + 1));
      this.offset = this.top - (this.anchor - 1) * this.rowHeight;
    }
    this.#drawRows();
    this.#placeBlock();
  }

  redrawRows() {
    for (const [n, row] of this.rows) {
      const drawn = this.drawRow(n, row);
      if (drawn === row) continue;
      row.replaceWith(drawn);
      this.rows.set(n, drawn);
    }
    if (!this.isExact) { this.#updateSpacer(); this.#placeBlock(); }
  }

  #onScroll() {
    const top = this.scroll.scrollTop;
    const delta = top - this.top;
    if (delta === 0) return;
    if (!this.isExact) {
      if (this.rows.size === this.count) this.#setAnchorAt(top);
      else if (Math.abs(delta) > this.viewHeight * 2) this.#jumpAnchor(top);
      else this.#moveAnchor(delta);
      this.top = top;
    }
    this.render();
    if (!this.isExact) this.#correctEdges();
    this.onMove(true);
  }

  /** Choose the anchor in proportion to the scroll position. */
  #jumpAnchor(top) {
    const scrollRange = Math.max(1, this.fullHeight - this.viewHeight);
    const lastAnchor = Math.max(1, this.count - Math.floor(this.viewHeight / (this.averageHeight || this.rowHeight)));
    this.anchor = Math.max(1, Math.min(this.count, Math.round((top / scrollRange) * lastAnchor) + 1));
    this.offset = 0;
  }

  #moveAnchor(delta) {
    const row = this.rows.get(this.anchor);
    if (row) this.#setAnchorAt(row.offsetTop + this.offset + delta);
  }

  #setAnchorAt(y) {
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

  /** Near the first and last row, the scroll bar must be able to reach the end. */
  #correctEdges() {
    const { top } = this;
    const bottom = this.blockTop + this.block.offsetHeight;
    const hasLastRow = this.rows.has(this.count);
    if (hasLastRow && bottom < top + this.viewHeight && this.block.offsetHeight > this.viewHeight) return this.scrollToEnd();
    const isAtStart = this.anchor === 1 && this.offset === 0;
    if ((top <= 0 && !isAtStart) || (top >= this.fullHeight - this.viewHeight - 1 && !hasLastRow)) this.#syncScrollBar();
  }

  /** Move the scroll bar to where the anchor belongs: exact to the pixel near either end, in proportion between. */
  #syncScrollBar() {
    if (this.rows.size === this.count) return;
    this.#updateSpacer();
    const scrollRange = Math.max(1, this.fullHeight - this.viewHeight);
    const pixelsAbove = (this.rows.get(this.anchor)?.offsetTop ?? 0) + this.offset;
    if (this.rows.has(this.count)) this.#setScrollTop(scrollRange - Math.max(0, this.block.offsetHeight - pixelsAbove - this.viewHeight));
    else if (this.rows.has(1)) this.#setScrollTop(pixelsAbove);
    else {
      const lastAnchor = Math.max(1, this.count - Math.floor(this.viewHeight / (this.averageHeight || this.rowHeight)));
      const share = Math.min(1, (this.anchor - 1) / lastAnchor);
      this.#setScrollTop(Math.max(this.viewHeight, Math.min(scrollRange - this.viewHeight, share * scrollRange)));
    }
    this.#placeBlock();
  }

  #scrollToAnchor() {
    this.#updateSpacer();
    if (this.isExact) this.#setScrollTop((this.anchor - 1) * this.rowHeight + this.offset);
    this.render();
    if (!this.isExact) {
      if (this.rows.size === this.count) this.#setScrollTop((this.rows.get(this.anchor)?.offsetTop ?? 0) + this.offset);
      else this.#syncScrollBar();
      this.#placeBlock();
      this.#correctEdges();
    }
  }

  #setScrollTop(top) {
    this.scroll.scrollTop = Math.max(0, Math.round(top));
    this.top = this.scroll.scrollTop;
  }

  #updateSpacer() {
    const height = Math.max(0, Math.ceil(this.fullHeight));
    if (height !== this.spacerHeight) this.spacer.style.height = `${(this.spacerHeight = height)}px`;
  }

  #drawRows() {
    const visible = Math.ceil(this.viewHeight / this.rowHeight) + 1;
    const margin = this.isExact ? 20 : Math.max(60, visible * 2);
    const first = Math.max(1, this.anchor - margin);
    const last = Math.min(this.count, this.anchor + visible + margin);
    for (const [n, row] of this.rows) if (n < first || n > last) this.#removeRow(n, row);
    let next = null;
    for (let n = last; n >= first; n--) {
      let row = this.rows.get(n);
      if (!row) {
        row = this.drawRow(n, null);
        this.rows.set(n, row);
        this.block.insertBefore(row, next);
      }
      next = row;
    }
    if (!this.isExact && this.rows.size) this.averageHeight = this.block.offsetHeight / this.rows.size;
    this.firstDrawn = first;
    if (last >= first) this.onVisible(Math.max(1, this.anchor), Math.min(this.count, this.anchor + visible));
  }

  #removeRow(n, row) {
    // The keyboard focus on a link in the row moves to the log, not to the top of the page.
    if (row.contains(document.activeElement)) this.scroll.focus({ preventScroll: true });
    row.remove();
    this.rows.delete(n);
  }

  #placeBlock() {
    if (this.isExact) this.blockTop = (this.firstDrawn - 1) * this.rowHeight;
    else if (this.rows.size === this.count) this.blockTop = 0;
    else this.blockTop = this.scroll.scrollTop - this.offset - (this.rows.get(this.anchor)?.offsetTop ?? 0);
    this.block.style.transform = `translateY(${this.blockTop}px)`;
  }
}
