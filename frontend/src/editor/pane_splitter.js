// The separator between the script and the run below it: moved by the pointer and by keys, remembered in the browser.

const KEY = "cronium-editor-pane";
const LOWEST = 160;
const STEPS = { ArrowUp: 16, ArrowDown: -16, PageUp: 96, PageDown: -96 };

export class PaneSplitter {
  /** `grid` holds the script and the pane; its custom property --pane-height is the height of the pane. */
  constructor(separator, grid) {
    Object.assign(this, { separator, grid });
    this.setHeight(this.#loadHeight());
    separator.addEventListener("keydown", (event) => this.#onKeydown(event));
    separator.addEventListener("pointerdown", (event) => this.#onPointerDown(event));
  }

  setHeight(height) {
    this.height = Math.round(Math.max(LOWEST, Math.min(this.#getHighest(), height)));
    this.grid.style.setProperty("--pane-height", `${this.height}px`);
    this.separator.setAttribute("aria-valuenow", this.height);
    this.separator.setAttribute("aria-valuemax", this.#getHighest());
  }

  #getHighest() { return Math.max(LOWEST, innerHeight - 340); }

  #onKeydown(event) {
    const heights = { Home: LOWEST, End: this.#getHighest() };
    const height = event.key in STEPS ? this.height + STEPS[event.key] : heights[event.key];
    if (height === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.setHeight(height);
    this.#saveHeight();
  }

  #onPointerDown(event) {
    const { separator } = this;
    const [startY, startHeight] = [event.clientY, this.height];
    separator.setPointerCapture(event.pointerId);
    const moveTo = (moved) => this.setHeight(startHeight + startY - moved.clientY);
    separator.addEventListener("pointermove", moveTo);
    separator.addEventListener("lostpointercapture", () => { separator.removeEventListener("pointermove", moveTo); this.#saveHeight(); }, { once: true });
  }

  #loadHeight() {
    try {
      return Number(localStorage.getItem(KEY)) || 280;
    } catch {
      return 280;
    }
  }

  #saveHeight() {
    try {
      localStorage.setItem(KEY, this.height);
    } catch {
      // only a preference
    }
  }
}
