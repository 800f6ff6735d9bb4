// Copies lines without their numbers: the marked lines, all shown lines, or the text selection.
import { copyText } from "../clipboard.js";
import { stripAnsi } from "./ansi.js";
import { formatLines } from "./format.js";

const MAX_LINES = 100_000; // a longer text is for a download

export class LineCopier {
  /**
   * `log`: getLines() (see line_view.js), getRows() ([row number, element] of the drawn rows), getRowLine(row number)
   * ({seq, text}; no seq for a partial line, no text while it loads), announcer.
   */
  constructor(log) {
    this.log = log;
    this.isAllSelected = false; // by Ctrl-A: more lines than are drawn
    this.selectionStart = null; // the line where the pointer began a selection
  }

  async copyLines(first, last) {
    const lines = this.log.getLines();
    try {
      await lines.waitUntilKnown(last);
      const [from, to] = [lines.countTo(first - 1) + 1, lines.countTo(last)];
      if (to - from >= MAX_LINES) return this.log.announcer.showMessage(`${formatLines(to - from + 1)} are too many to copy. Use Download.`);
      const copied = to < from ? [] : await lines.readLines(from, to);
      const text = copied.map((line) => `${stripAnsi(line.text)}\n`).join("");
      await copyText(text);
      this.log.announcer.showMessage(`${formatLines(copied.length)} copied.`);
    } catch {
      const reason = isSecureContext ? "the browser or the server refused" : "copying needs https or localhost";
      this.log.announcer.showMessage(`Nothing was copied: ${reason}. Use Download.`);
    }
  }

  onPointerDown(target) {
    this.isAllSelected = false;
    this.selectionStart = Number(target.closest(".log-row")?.querySelector(".log-no")?.dataset.n) || null;
  }

  selectAll(block) {
    getSelection().selectAllChildren(block);
    this.isAllSelected = true;
  }

  /** Copy the selected text, or whole lines by number if the selection began in a row that is no longer drawn. */
  onCopy(event) {
    const range = getSelection()?.rangeCount ? getSelection().getRangeAt(0) : null;
    if (!range || range.collapsed) return;
    event.preventDefault();
    if (this.isAllSelected) return void this.copyLines(1, Infinity);
    const selectedRows = this.log.getRows().sort((a, b) => a[0] - b[0]).filter(([, row]) => !row._gap && range.intersectsNode(row));
    const lines = selectedRows.map(([n]) => this.log.getRowLine(n));
    const numbers = lines.map(({ seq }) => seq).filter(Boolean);
    const [first, last] = [numbers[0], numbers[numbers.length - 1]];
    const hasLostStart = this.selectionStart !== null && numbers.length && (this.selectionStart < first || this.selectionStart > last);
    if (hasLostStart) return void this.copyLines(Math.min(this.selectionStart, first), Math.max(this.selectionStart, last));
    if (lines.some(({ text }) => text === undefined)) return void this.copyLines(first, last);
    event.clipboardData.setData("text/plain", selectedRows.map(([n, row]) => this.#getSelectedText(n, row, range)).join("\n"));
  }

  /** The selected part of a row; a fully selected row gives its whole line, including clipped text. */
  #getSelectedText(n, row, range) {
    const text = row.querySelector(".log-text");
    const part = document.createRange();
    part.selectNodeContents(text);
    const isStartCut = text.contains(range.startContainer) && range.compareBoundaryPoints(Range.START_TO_START, part) > 0;
    const isEndCut = text.contains(range.endContainer) && range.compareBoundaryPoints(Range.END_TO_END, part) < 0;
    if (!isStartCut && !isEndCut) return stripAnsi(this.log.getRowLine(n).text);
    const button = text.querySelector(".log-whole");
    if (button) part.setEndBefore(button);
    if (isStartCut) part.setStart(range.startContainer, range.startOffset);
    if (isEndCut) part.setEnd(range.endContainer, range.endOffset);
    return part.toString();
  }
}
