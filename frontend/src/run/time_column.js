// The times before the lines: which of them the reader chose, how they are written, and that some of them pass.
import { ago } from "../durations.js";
import { clock, day, sinceStart } from "./format.js";
import { keep, recall } from "./preferences.js";

const KINDS = ["off", "start", "ago", "clock"];
const PASS_MS = 1000;
// How each is written, and how much room it takes; a clock tells the day too where that is not today.
const FORMS = {
  off: ["0ch", () => ""],
  start: ["12ch", (ms, startMs) => sinceStart(ms - (startMs || ms))],
  ago: ["12ch", (ms, startMs, now) => ago(now - ms)],
  clock: ["14ch", clock],
  dated: ["21ch", (ms) => `${day(ms)} ${clock(ms)}`],
  short: ["17ch", (ms) => `${day(ms)} ${clock(ms).slice(0, 8)}`],
};

export class Times {
  /**
   * `block` is the element around the lines, `serverNow` the server's clock as the page was made. `onPass()` hears, once
   * a second at most, that lines in view may have another time now.
   */
  constructor({ block, serverNow, onPass }) {
    Object.assign(this, { block, onPass });
    this.skew = serverNow ? serverNow - Date.now() : 0;
    this.narrow = matchMedia("(max-width: 767.98px)");
    this.narrow.addEventListener("change", onPass);
    this.choose(recall("time", KINDS, "off"));
  }

  get next() { return KINDS[(KINDS.indexOf(this.kind) + 1) % KINDS.length]; }

  choose(kind) {
    this.kind = kind;
    keep("time", kind);
    clearInterval(this.timer);
    if (kind === "ago") this.timer = setInterval(() => { if (!document.hidden) this.onPass(); }, PASS_MS);
  }

  /** The time of a line of `ms` as it is shown, or nothing. The lines make room for it. */
  stamp(ms, startMs) {
    const form = this.#form(startMs || ms);
    const [room, write] = FORMS[form];
    if (form !== this.form) this.block.style.setProperty("--log-time", room);
    this.form = form;
    return write(ms, startMs, Date.now() + this.skew);
  }

  /** What began today has no line of another day. */
  #form(startMs) {
    const today = startMs >= new Date().setHours(0, 0, 0, 0);
    if (this.kind !== "clock" || today) return this.kind;
    return this.narrow.matches ? "short" : "dated";
  }
}
