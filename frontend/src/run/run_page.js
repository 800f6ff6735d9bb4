// The run page: starts the log panel, and keeps the page's head, phases and details up to date.
import { canNotify, EndNotice } from "./end_notice.js";
import { LogPanel } from "./log_panel.js";

const panel = document.querySelector("[data-run]");
const NEIGHBOURS = { "[": "prev", "]": "next" };

/** [ and ] open the previous and the next run of the job; on many keyboards they need AltGr, which reports Ctrl and Alt. */
document.addEventListener("keydown", (event) => {
  const relation = NEIGHBOURS[event.key];
  const isCommand = (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
  if (!relation || isCommand || event.defaultPrevented || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
  document.querySelector(`main a[rel=${relation}]`)?.click();
});

if (canNotify() && document.getElementById("run-acts")) new EndNotice(location.pathname.split("/")[2]);

if (panel) {
  const statusWords = JSON.parse(panel.dataset.statusWords);
  const title = document.title.replace(/^[^·]*· /, "");
  let shownStatus = panel.dataset.status;
  let lastKey = "";
  let request = Promise.resolve();

  /** One request at a time; a refresh during a request starts one more after it. */
  let isQueued = false;
  const refreshPage = () => {
    if (isQueued) return;
    isQueued = true;
    request = request.then(() => {
      isQueued = false;
      const outcome = encodeURIComponent(document.getElementById("run-outcome")?.dataset.version ?? "");
      const separator = panel.dataset.refresh.includes("?") ? "&" : "?";
      return window.htmx.ajax("GET", `${panel.dataset.refresh}${separator}outcome=${outcome}`, { target: "#run-live", swap: "none" }).catch(() => {});
    });
  };

  /** With the label of the page's status badge: after the script began, an error is not "Couldn't start". */
  const updateTitle = (status) => {
    const shown = status === "errored" && logPanel.startMs ? "broken" : status;
    document.title = `${statusWords[shown] || status} · ${title}`;
  };

  const onStatus = (message) => {
    if (message.status) updateTitle(message.status);
    const key = [message.status, message.phase, message.reason, message.message, message.output_at, message.condition].join("|");
    const isFirst = lastKey === "";
    // The page was rendered before the socket opened: refresh if a live run has set values since.
    const hasValues = panel.dataset.live === "true" && (message.output_at || message.condition !== null);
    if (!isFirst || message.status !== shownStatus || hasValues) refreshPage();
    lastKey = key;
    shownStatus = message.status;
  };

  /** After the end the sandbox is still being removed: the timeline and the phases get their last rows afterwards. */
  const refreshUntilRemoved = (delays = [1000, 2000, 4000, 8000, 16000]) => {
    if (!delays.length) return;
    setTimeout(() => {
      if (!document.querySelector("[data-removing]")) return;
      refreshPage();
      refreshUntilRemoved(delays.slice(1));
    }, delays[0]);
  };

  const logPanel = new LogPanel(panel, {
    onStatus: (message) => {
      onStatus(message);
      if (message.status === "running" && !logPanel.startMs) logPanel.setStart(Date.now()); // the refreshed page has the exact time
    },
    onEnd: (message) => { shownStatus = message.status || shownStatus; updateTitle(shownStatus); refreshPage(); refreshUntilRemoved(); },
  });
  if (panel.dataset.live !== "true") refreshUntilRemoved();
  const updateErrorLine = () => logPanel.setErrorLine(Number(document.querySelector("[data-error-line]")?.dataset.errorLine ?? 0));
  updateErrorLine();
  // An expanded output stays expanded when the script sets it again.
  let wasOpen = false;
  document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.id === "run-outcome") wasOpen = Boolean(document.getElementById("output-text")?.open);
  });
  document.body.addEventListener("htmx:oobAfterSwap", (event) => {
    const output = event.detail.target.id === "run-outcome" && document.getElementById("output-text");
    if (output && wasOpen) output.open = true;
    const start = Number(document.querySelector("#run-phases .p-running")?.dataset.start);
    if (start) logPanel.setStart(start);
    if (event.detail.target.id === "run-reason") updateErrorLine();
  });
  // The details are open beside the log on a wide page, closed below it on a narrow one.
  const details = document.querySelector(".run-page aside > details");
  const wide = matchMedia("(min-width: 992px)");
  const updateDetails = () => { if (details) details.open = wide.matches; };
  wide.addEventListener("change", updateDetails);
  updateDetails();
}
