// Copies lines without their numbers: those that are marked, all that are shown, or what is selected by hand.
import { copyText } from "../clipboard.js";
import { plain } from "./ansi.js";
import { lines as countLines } from "./format.js";

const LIMIT = 100_000; // lines; more is for a download

export class Copier {
  /**
   * `view` tells of the log: shown() (its lines by place), rows() ([row number, element] of what is drawn),
   * lineOf(row number) ({seq, text}: no seq for a line without its end, no text while it loads), voice.
   */
  constructor(view) {
    this.view = view;
    this.everything = false; // Ctrl-A: more is selected than is drawn
    this.from = null; // the line where a selection by hand began
  }

  /** Lines first..last by number, of those that are shown. */
  async lines(first, last) {
    const shown = this.view.shown();
    try {
      await shown.until(last);
      const [from, to] = [shown.upTo(first - 1) + 1, shown.upTo(last)];
      if (to - from >= LIMIT) return this.view.voice.tell(`That is ${countLines(to - from + 1)}: use Download.`);
      const found = to < from ? [] : await shown.read(from, to);
      const text = found.map((line) => `${plain(line.text)}\n`).join("");
      await copyText(text);
      this.view.voice.tell(`${countLines(found.length)} copied.`);
    } catch {
      const why = isSecureContext ? "the browser or the server refused" : "it needs https or localhost";
      this.view.voice.tell(`Nothing was copied: ${why}. Use Download.`);
    }
  }

  /** The pointer went down on an element of the log. */
  began(target) {
    this.everything = false;
    this.from = Number(target.closest(".log-row")?.querySelector(".log-no")?.dataset.n) || null;
  }

  selectAll(block) {
    getSelection().selectAllChildren(block);
    this.everything = true;
  }

  /** A copy by the browser: of the selection, or by line number where that has left the drawn rows. */
  selected(event) {
    const range = getSelection()?.rangeCount ? getSelection().getRangeAt(0) : null;
    if (!range || range.collapsed) return;
    event.preventDefault();
    if (this.everything) return void this.lines(1, Infinity);
    const touched = this.view.rows().sort((a, b) => a[0] - b[0]).filter(([, row]) => !row._gap && range.intersectsNode(row));
    const held = touched.map(([n]) => this.view.lineOf(n));
    const numbered = held.map(({ seq }) => seq).filter(Boolean);
    const [first, last] = [numbered[0], numbered[numbered.length - 1]];
    const gone = this.from !== null && numbered.length && (this.from < first || this.from > last);
    if (gone) return void this.lines(Math.min(this.from, first), Math.max(this.from, last));
    if (held.some(({ text }) => text === undefined)) return void this.lines(first, last);
    event.clipboardData.setData("text/plain", touched.map(([n, row]) => this.#text(n, row, range)).join("\n"));
  }

  /** What the selection holds of a row: all of its line, also what is not drawn of it, or a part. */
  #text(n, row, range) {
    const text = row.querySelector(".log-text");
    const part = document.createRange();
    part.selectNodeContents(text);
    const cutFront = text.contains(range.startContainer) && range.compareBoundaryPoints(Range.START_TO_START, part) > 0;
    const cutEnd = text.contains(range.endContainer) && range.compareBoundaryPoints(Range.END_TO_END, part) < 0;
    if (!cutFront && !cutEnd) return plain(this.view.lineOf(n).text);
    const button = text.querySelector(".log-whole");
    if (button) part.setEndBefore(button);
    if (cutFront) part.setStart(range.startContainer, range.startOffset);
    if (cutEnd) part.setEnd(range.endContainer, range.endOffset);
    return part.toString();
  }
}
