// The pane below the script: shows one run with its log, output and input. It reopens after a reload of the page.
import { LogPanel } from "../run/log_panel.js";
import { PaneSplitter } from "./pane_splitter.js";

const KEY = `cronium-pane:${location.pathname}`;
const DOUBLE_CLICK_MS = 700; // a second click of a double click must not cancel the run that the first one started

export class RunPane {
  /** `onLiveChange(isLive, isCancelling)` is called when the run has started, is being cancelled, or has ended. */
  constructor({ box, separator, token, onLiveChange, onClose }) {
    Object.assign(this, { box, separator, token, onLiveChange, onClose });
    this.splitter = new PaneSplitter(separator, box.parentElement);
    this.isLive = false;
    box.addEventListener("click", (event) => this.#onClick(event));
  }

  /** Shows the pane with the HTML of a run. */
  show(html) {
    this.#dispose();
    this.box.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
    this.root = this.box.querySelector("[data-pane]");
    this.openedAt = Date.now();
    this.#setShown(true);
    this.splitter.setHeight(this.splitter.height);
    storeRun(this.root.dataset.pane);
    const log = this.root.querySelector("[data-run]");
    this.#setLive(log?.dataset.live === "true", false);
    if (log) this.panel = this.#createPanel(log);
  }

  /** Opens the run that this tab showed here before the page was loaded again. */
  async reopen() {
    const id = loadRun();
    if (!id) return;
    const response = await fetch(`/runs/${encodeURIComponent(id)}/pane/`, { signal: AbortSignal.timeout(15_000) }).catch(() => null);
    if (response?.ok && !response.redirected) this.show(await response.text());
  }

  close() {
    this.#dispose();
    this.box.replaceChildren();
    this.root = null;
    this.#setShown(false);
    storeRun("");
    this.#setLive(false, false);
    this.onClose();
  }

  async cancel() {
    if (!this.isLive || Date.now() - this.openedAt < DOUBLE_CLICK_MS) return;
    this.#setLive(true, true);
    const body = new URLSearchParams({ csrfmiddlewaretoken: this.token() });
    await fetch(this.root.dataset.cancelUrl, { method: "POST", body, redirect: "manual" }).catch(() => {});
    this.#refresh();
  }

  #createPanel(log) {
    let shown = "";
    return new LogPanel(log, {
      isEmbedded: true,
      onStatus: (message) => {
        const key = [message.status, message.phase, message.message, message.output_at, message.condition].join("|");
        if (message.status === "running" && !this.panel.startMs) this.panel.setStart(Date.now());
        if (key !== shown) this.#refresh();
        shown = key;
      },
      onEnd: () => this.#refresh(),
    });
  }

  /** Replaces the state and the output of the run. */
  async #refresh() {
    const { root } = this;
    const response = await fetch(root.dataset.stateUrl, { signal: AbortSignal.timeout(15_000) }).catch(() => null);
    if (!response?.ok || response.redirected || root !== this.root) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ["pane-state", "pane-output"]) {
      const [part, text] = [root.querySelector(`#${id}`), page.getElementById(id).innerHTML];
      if (part.innerHTML !== text) part.innerHTML = text;
    }
    const { live, cancelling } = page.querySelector("[data-live]").dataset;
    this.#setLive(live === "true", cancelling === "true");
  }

  #setLive(isLive, isCancelling) {
    this.isLive = isLive;
    this.onLiveChange(isLive, isCancelling);
  }

  #setShown(isShown) {
    this.box.hidden = this.separator.hidden = !isShown;
    this.box.parentElement.classList.toggle("has-pane", isShown);
  }

  #onClick(event) {
    if (event.target.closest("[data-pane-close]")) return this.close();
    const tab = event.target.closest("[data-pane-tab]");
    if (!tab) return;
    for (const button of this.root.querySelectorAll("[data-pane-tab]")) button.setAttribute("aria-pressed", button === tab);
    for (const part of this.root.querySelectorAll("[data-pane-part]")) part.hidden = part.dataset.panePart !== tab.dataset.paneTab;
  }

  #dispose() {
    this.panel?.dispose();
    this.panel = null;
  }
}

function storeRun(id) {
  try {
    if (id) sessionStorage.setItem(KEY, id);
    else sessionStorage.removeItem(KEY);
  } catch {
    // after a reload the pane is closed
  }
}

function loadRun() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return "";
  }
}

/** For a job that has just been created: its editor opens with the run. */
export function storeRunFor(path, id) {
  try {
    sessionStorage.setItem(`cronium-pane:${path}`, id);
  } catch {
    // the editor opens without the run
  }
}
