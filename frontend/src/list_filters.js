// Applies the filters of a list when a choice changes: fetches the filtered page and replaces the results and the parts
// marked data-refresh, so that focus and scroll position stay. Without JavaScript, or after a failure, the form is
// submitted as usual.
import htmx from "htmx.org";

const APPLIED_AT_ONCE = "select, input[type=checkbox], input[type=radio], input[type=datetime-local], input[data-adds]";

export function startListFilters() {
  for (const form of document.querySelectorAll("form[data-results]")) showTimesInReaderZone(form);
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-results]");
    if (form && event.target.matches(APPLIED_AT_ONCE)) applyFilters(form);
  });
  // Before the answer of the link, so that what is typed meanwhile filters by the new state too.
  document.addEventListener("click", ({ target }) => {
    const link = target.closest("[data-chooses]");
    const state = link && document.querySelector("input[name=state][form=job-filters]");
    if (state) state.value = link.dataset.chooses;
  }, true);
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-results]") || event.submitter) return;
    event.preventDefault();
    applyFilters(event.target);
  });
}

/** The server writes times in UTC; the form sends them in the reader's zone. */
function showTimesInReaderZone(form) {
  for (const input of form.querySelectorAll("[data-utc-value]")) {
    if (!input.value) continue;
    const at = new Date(`${input.value}Z`);
    input.value = new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }
}

function listFilters(form) {
  const filters = [...new FormData(form)].filter(([, value]) => value !== "");
  const hasTime = filters.some(([name]) => name === "since" || name === "until");
  return filters.filter(([name]) => name !== "zone" || hasTime);
}

async function applyFilters(form) {
  const filters = listFilters(form);
  const address = `${form.action.split("?")[0]}${filters.length ? `?${new URLSearchParams(filters)}` : ""}`;
  form.dataset.asked = address;
  const response = await fetch(address, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (form.dataset.asked !== address) return; // the choice has changed since
  if (!response?.ok || response.url.includes("/sign-in/")) return location.assign(address);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const results = document.getElementById(form.dataset.results);
  results.replaceChildren(...page.getElementById(form.dataset.results).childNodes);
  document.querySelector(".main > .head").replaceWith(page.querySelector(".main > .head")); // its links contain the filter
  for (const part of form.querySelectorAll("[data-refresh]")) part.innerHTML = page.getElementById(part.id)?.innerHTML ?? "";
  for (const input of form.querySelectorAll("[data-adds]")) input.value = ""; // what was added is a chip now
  for (const part of [results, form]) {
    htmx.process(part);
    part.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true })); // app.js formats the times
  }
  history.replaceState(history.state, "", address);
  const reset = form.querySelector("[data-reset]");
  if (reset) reset.hidden = filters.length === 0;
}
