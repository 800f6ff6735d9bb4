// The buttons above and below the log: shows their state, and calls the actions of controls.js.
import { formatCount } from "./format.js";

const BUTTON_ACTIONS = {
  follow: "toggleFollow", wrap: "toggleWrap", full: "toggleFullScreen", copy: "copyLines", find: "toggleFind", help: "showHelp",
};

export class Toolbar {
  /** `actions` are functions by name: those of BUTTON_ACTIONS, goToEnd(), setTimeKind(kind) and setStream(name). */
  constructor(panel, actions) {
    this.panel = panel;
    const getPart = (name) => panel.querySelector(`[data-log="${name}"]`);
    this.parts = Object.fromEntries([...Object.keys(BUTTON_ACTIONS), "times", "pill", "download"].map((name) => [name, getPart(name)]));
    for (const [name, action] of Object.entries(BUTTON_ACTIONS)) this.parts[name].addEventListener("click", () => actions[action]());
    this.parts.pill.addEventListener("click", () => actions.goToEnd());
    for (const button of this.#getButtons("time")) button.addEventListener("click", () => actions.setTimeKind(button.dataset.time));
    for (const button of this.#getButtons("stream")) button.addEventListener("click", () => actions.setStream(button.dataset.stream));
    const { times } = this.parts;
    for (const button of this.#getButtons("time")) button.addEventListener("click", () => { times.open = false; times.querySelector("summary").focus(); });
  }

  update({ isFollowing, isLive, isWrapped, isFull, isFinding, timeKind, stream, copyLabel }) {
    const { parts, panel } = this;
    const pressed = { follow: isFollowing, wrap: isWrapped, full: isFull, find: isFinding };
    for (const [name, isPressed] of Object.entries(pressed)) parts[name].setAttribute("aria-pressed", isPressed);
    parts.follow.hidden = !isLive;
    parts.times.querySelector("summary").classList.toggle("on", timeKind !== "off");
    panel.classList.toggle("wrap", isWrapped);
    for (const button of this.#getButtons("time")) button.setAttribute("aria-pressed", button.dataset.time === timeKind);
    for (const button of this.#getButtons("stream")) button.setAttribute("aria-pressed", button.dataset.stream === stream);
    parts.copy.title = copyLabel;
    parts.copy.setAttribute("aria-label", copyLabel);
  }

  /** Show how many new lines are below the visible part; 0 hides the button. */
  showNewLines(count) {
    const { pill } = this.parts;
    pill.hidden = count === 0;
    pill.querySelector("span").textContent = formatCount(count, "new line");
  }

  /** In full screen, the elements behind the panel are inert. */
  setFullScreen(isFull) {
    this.panel.classList.toggle("full", isFull);
    for (let element = this.panel; element !== document.body; element = element.parentElement) {
      for (const sibling of element.parentElement.children) if (sibling !== element) sibling.inert = isFull;
    }
  }

  startDownload() { this.parts.download.click(); }

  #getButtons(kind) { return this.panel.querySelectorAll(`[data-${kind}]`); }
}
