// What the panel says: the status line, a word that passes, and all of it to screen readers at a bearable rate.

const SAY_MS = 10_000;
const PASS_MS = 4000;
const ICONS = { good: "circle-check", live: "circle-check", wait: "wifi-off", gap: "alert-triangle" };

export class Voice {
  /** `status`, `toast` and `say` are elements, the last one a polite live region. */
  constructor({ status, toast, say, sprite }) {
    Object.assign(this, { line: status, passing: toast, region: say, sprite });
  }

  /** The status line; `aloud`: it matters now. */
  status({ kind, text }, aloud) {
    if (this.line.dataset.kind !== kind) {
      this.line.dataset.kind = kind;
      this.line.querySelector("use").setAttribute("href", `${this.sprite}#${ICONS[kind]}`);
    }
    const words = this.line.querySelector("span");
    if (words.textContent !== text) words.textContent = text;
    this.#say(text, aloud);
  }

  /** An answer to what the reader did: shown for a moment, said at once. */
  tell(text) {
    this.passing.textContent = text;
    clearTimeout(this.passes);
    this.passes = setTimeout(() => { this.passing.textContent = ""; }, PASS_MS);
    this.#say(text, true);
  }

  /** The same for what the eye sees elsewhere. */
  whisper(text) { this.#say(text, true); }

  #say(text, now) {
    this.toSay = text;
    const wait = now ? 0 : SAY_MS - (performance.now() - (this.said ?? 0));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.said = performance.now();
      if (this.region.textContent !== this.toSay) this.region.textContent = this.toSay;
    }, Math.max(0, wait));
  }
}
