// What the panel says: the status line, a word that passes, and all of it to screen readers at a bearable rate.

const SAY_MS = 10_000;
const PASS_MS = 4000;
const ICONS = { good: "circle-check", live: "circle-check", wait: "wifi-off", gap: "alert-triangle" };

export class Voice {
  /** `status`, `toast` and `say` are elements, the last one a polite live region. */
  constructor({ status, toast, say, sprite }) {
    Object.assign(this, { line: status, passing: toast, region: say, sprite });
    this.toSay = { now: null, later: null };
  }

  /** The status line; `aloud`: it matters now. `mute`: only a number in it passes. */
  status({ kind, text }, aloud, mute = false) {
    if (this.line.dataset.kind !== kind) {
      this.line.dataset.kind = kind;
      this.line.querySelector("use").setAttribute("href", `${this.sprite}#${ICONS[kind]}`);
    }
    const words = this.line.querySelector("span");
    const changed = words.textContent !== text;
    if (changed) words.textContent = text;
    if (aloud) this.toSay.later = null; // it is older
    if ((changed && !mute) || aloud) this.#say(text, aloud ? "now" : "later");
  }

  /** An answer to what the reader did: shown for a moment, said at once. */
  tell(text) {
    this.passing.textContent = text;
    clearTimeout(this.passes);
    this.passes = setTimeout(() => { this.passing.textContent = ""; }, PASS_MS);
    this.#say(text, "now");
  }

  /** The same for what the eye sees elsewhere. */
  whisper(text) { this.#say(text, "now"); }

  /** What can wait does not keep from being said what can't, and comes after it. */
  #say(text, when) {
    this.toSay[when] = text;
    this.#soon();
  }

  #soon() {
    const when = this.toSay.now === null ? "later" : "now";
    clearTimeout(this.timer);
    if (this.toSay[when] === null) return;
    const wait = when === "now" ? 0 : SAY_MS - (performance.now() - (this.said ?? 0));
    this.timer = setTimeout(() => {
      const text = this.toSay[when];
      this.toSay[when] = null;
      this.said = performance.now();
      if (this.region.textContent !== text) this.region.textContent = text;
      this.#soon();
    }, Math.max(0, wait));
  }
}
