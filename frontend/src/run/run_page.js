// The run page: starts the viewer, and keeps head, phases and details as new as the log.
import { Viewer } from "./log_panel.js";

const panel = document.querySelector("[data-run]");

if (panel) {
  const words = { queued: "Queued", starting: "Starting", running: "Running", succeeded: "Succeeded", failed: "Failed", timed_out: "Timed out", cancelled: "Cancelled", errored: "Couldn't start", lost: "Lost" };
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
      const known = encodeURIComponent(document.getElementById("run-outcome")?.dataset.version ?? "");
      return window.htmx.ajax("GET", `${panel.dataset.refresh}?outcome=${known}`, { target: "#run-live", swap: "none" }).catch(() => {});
    });
  };

  /** As the page's own badge says it: what failed inside Cronium after the script began did start. */
  const name = (status) => {
    const isBroken = status === "errored" && viewer.startMs;
    document.title = `${isBroken ? "System error" : words[status] || status} · ${title}`;
  };

  const news = (message) => {
    if (message.status) name(message.status);
    const key = [message.status, message.phase, message.reason, message.message, message.output_at, message.condition].join("|");
    const first = seen === "";
    // The page was made before the socket was open: what a live run has set since is asked for.
    const given = panel.dataset.live === "true" && (message.output_at || message.condition !== null);
    if (!first || message.status !== shown || given) refresh();
    seen = key;
    shown = message.status;
  };

  const viewer = new Viewer(panel, {
    onStatus: (message) => {
      news(message);
      if (message.status === "running" && !viewer.startMs) viewer.began(Date.now()); // about; the page's head knows it
    },
    onEnd: (message) => { shown = message.status || shown; name(shown); refresh(); },
  });
  // A long output that is open stays open when the script sets it again.
  let opened = false;
  document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.id === "run-outcome") opened = Boolean(document.getElementById("output-text")?.open);
  });
  document.body.addEventListener("htmx:oobAfterSwap", (event) => {
    const long = event.detail.target.id === "run-outcome" && document.getElementById("output-text");
    if (long && opened) long.open = true;
    const start = Number(document.querySelector("#run-phases .p-running")?.dataset.start);
    if (start) viewer.began(start);
  });
  // Details are a long way under the log on a phone: closed there, open beside it.
  const details = document.querySelector(".run-page aside > details");
  const wide = matchMedia("(min-width: 992px)");
  const fold = () => { if (details) details.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
}
