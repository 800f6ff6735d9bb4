// The times before the lines: the chosen format, and the timer of relative times.
import { formatAgo } from "../durations.js";
import { formatClock, formatDay, formatSinceStart } from "./format.js";
import { loadPreference, savePreference } from "./preferences.js";

const KINDS = ["off", "start", "ago", "clock"];
const TICK_MS = 1000;
// Width and formatter of each format; a clock shows the day too if the run did not start today.
const FORMATS = {
  off: ["0ch", () => ""],
  start: ["12ch", (ms, startMs) => formatSinceStart(ms - (startMs || ms))],
  ago: ["12ch", (ms, startMs, now) => formatAgo(now - ms)],
  clock: ["14ch", formatClock],
  dated: ["21ch", (ms) => `${formatDay(ms)} ${formatClock(ms)}`],
  short: ["17ch", (ms) => `${formatDay(ms)} ${formatClock(ms).slice(0, 8)}`],
};

export class TimeColumn {
  /**
   * `block` is the element around the lines; `serverNow` the server's clock when the page was rendered. `onTick()` is
   * called, at most once a second, when the visible times may have changed.
   */
  constructor({ block, serverNow, onTick }) {
    Object.assign(this, { block, onTick });
    this.skew = serverNow ? serverNow - Date.now() : 0;
    this.narrow = matchMedia("(max-width: 767.98px)");
    this.narrow.addEventListener("change", onTick);
    this.setKind(loadPreference("time", KINDS, "off"));
  }

  get nextKind() { return KINDS[(KINDS.indexOf(this.kind) + 1) % KINDS.length]; }

  setKind(kind) {
    this.kind = kind;
    savePreference("time", kind);
    clearInterval(this.timer);
    if (kind === "ago") this.timer = setInterval(() => { if (!document.hidden) this.onTick(); }, TICK_MS);
  }

  stop() { clearInterval(this.timer); }

  /** The time of a line at `ms`, or "". Sets the width of the column. */
  formatTime(ms, startMs) {
    const format = this.#chooseFormat(startMs || ms);
    const [width, write] = FORMATS[format];
    if (format !== this.format) this.block.style.setProperty("--log-time", width);
    this.format = format;
    return write(ms, startMs, Date.now() + this.skew);
  }

  /** A run that started today has no line of an earlier day. */
  #chooseFormat(startMs) {
    const isToday = startMs >= new Date().setHours(0, 0, 0, 0);
    if (this.kind !== "clock" || isToday) return this.kind;
    return this.narrow.matches ? "short" : "dated";
  }
}
