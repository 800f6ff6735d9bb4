// Applies the filters of a list when a choice changes: fetches the filtered page and replaces the results, so that
// focus and scroll position stay. Without JavaScript, or after a failure, the form is submitted as usual.
import htmx from "htmx.org";

export function startListFilters() {
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-results]");
    if (form && event.target.matches("select")) applyFilters(form);
  });
}

async function applyFilters(form) {
  const filters = [...new FormData(form)].filter(([, value]) => value !== "");
  const address = `${form.action.split("?")[0]}${filters.length ? `?${new URLSearchParams(filters)}` : ""}`;
  form.dataset.asked = address;
  const response = await fetch(address, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (form.dataset.asked !== address) return; // the choice has changed since
  if (!response?.ok || response.url.includes("/sign-in/")) return location.assign(address);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const results = document.getElementById(form.dataset.results);
  results.replaceChildren(...page.getElementById(form.dataset.results).childNodes);
  document.querySelector(".main > .head").replaceWith(page.querySelector(".main > .head")); // its links contain the filter
  htmx.process(results);
  results.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true })); // app.js formats the times
  history.replaceState(history.state, "", address);
  form.querySelector("[data-reset]").hidden = filters.length === 0;
}
