// The run page: starts the viewer, and keeps head, phases and details as new as the log.
import { Viewer } from "./viewer.js";

const panel = document.querySelector("[data-run]");

if (panel) {
  const words = { queued: "Queued", starting: "Starting", running: "Running", succeeded: "Succeeded", failed: "Failed", timed_out: "Timed out", cancelled: "Cancelled", errored: "Errored", lost: "Lost" };
  const title = document.title.replace(/^[^·]*· /, "");
  let shown = panel.dataset.status;
  let seen = "";
  let running = Promise.resolve();

  /** One request at a time; asked for again meanwhile, it runs once more. */
  let waiting = false;
  const refresh = () => {
    if (waiting) return;
    waiting = true;
    running = running.then(() => {
      waiting = false;
      return window.htmx.ajax("GET", panel.dataset.refresh, { target: "#run-live", swap: "none" }).catch(() => {});
    });
  };

  const news = (message) => {
    if (message.status) document.title = `${words[message.status] || message.status} · ${title}`;
    const key = [message.status, message.phase, message.reason, message.message].join("|");
    const first = seen === "";
    if (!first || message.status !== shown) refresh();
    seen = key;
    shown = message.status;
  };

  const viewer = new Viewer(panel, {
    onStatus: (message) => {
      news(message);
      if (message.status === "running" && !viewer.startMs) viewer.startMs = Date.now();
    },
    onEnd: (message) => { shown = message.status || shown; document.title = `${words[shown] || shown} · ${title}`; refresh(); },
  });
  document.body.addEventListener("htmx:oobAfterSwap", () => {
    const start = Number(document.querySelector("#run-phases .p-running")?.dataset.start);
    if (start) viewer.startMs = start;
  });
  // Details are a long way under the log on a phone: closed there, open beside it.
  const details = document.querySelector(".run-page aside > details");
  const wide = matchMedia("(min-width: 992px)");
  const fold = () => { if (details) details.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
}
