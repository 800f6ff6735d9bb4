// The tools above and below the log: they show how it is looked at, and pass on what the reader asks for.

export class Tools {
  /** `acts` are functions by name: follow, wrap, full, help, find, copy, end, times (the next kind), time(kind), stream(name). */
  constructor(panel, acts) {
    this.panel = panel;
    const find = (name) => panel.querySelector(`[data-log="${name}"]`);
    this.parts = Object.fromEntries(["follow", "wrap", "full", "copy", "find", "help", "times", "pill", "download"].map((name) => [name, find(name)]));
    for (const name of ["follow", "wrap", "full", "copy", "find", "help"]) this.parts[name].addEventListener("click", () => acts[name]());
    this.parts.pill.addEventListener("click", () => acts.end());
    for (const kind of ["time", "stream"]) {
      for (const button of this.#choices(kind)) button.addEventListener("click", () => acts[kind](button.dataset[kind]));
    }
    const { times } = this.parts;
    for (const button of this.#choices("time")) button.addEventListener("click", () => { times.open = false; times.querySelector("summary").focus(); });
  }

  /** Show the state of things: follow, live, wrapped, full, time, stream, finding, and `copies`, what a copy takes. */
  show({ follow, live, wrapped, full, time, stream, finding, copies }) {
    const { parts, panel } = this;
    for (const [name, on] of Object.entries({ follow, wrap: wrapped, full, find: finding })) parts[name].setAttribute("aria-pressed", on);
    parts.follow.hidden = !live;
    parts.times.querySelector("summary").classList.toggle("on", time !== "off");
    panel.classList.toggle("wrap", wrapped);
    for (const button of this.#choices("time")) button.setAttribute("aria-pressed", button.dataset.time === time);
    for (const button of this.#choices("stream")) button.setAttribute("aria-pressed", button.dataset.stream === stream);
    parts.copy.title = copies;
    parts.copy.setAttribute("aria-label", copies);
  }

  /** How many lines wait below; 0 hides the pill. */
  waiting(count) {
    const { pill } = this.parts;
    pill.hidden = count === 0;
    pill.querySelector("span").textContent = `${count.toLocaleString("en")} new line${count === 1 ? "" : "s"}`;
  }

  /** Over the whole window, and nothing behind it can be reached. */
  full(on) {
    this.panel.classList.toggle("full", on);
    for (let at = this.panel; at !== document.body; at = at.parentElement) {
      for (const other of at.parentElement.children) if (other !== at) other.inert = on;
    }
  }

  download() { this.parts.download.click(); }

  #choices(kind) { return this.panel.querySelectorAll(`[data-${kind}]`); }
}
