// Filters of a list act as soon as something is chosen: the page of the new address is read and its results are put in
// place, so that focus and scroll stay. Without this, or when it fails, the form is sent as any other.
import htmx from "htmx.org";

export function watchFilters() {
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-results]");
    if (form && event.target.matches("select")) apply(form);
  });
}

async function apply(form) {
  const chosen = [...new FormData(form)].filter(([, value]) => value !== "");
  const address = `${form.action.split("?")[0]}${chosen.length ? `?${new URLSearchParams(chosen)}` : ""}`;
  form.dataset.asked = address;
  const answer = await fetch(address, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (form.dataset.asked !== address) return; // something else was chosen meanwhile
  if (!answer?.ok || answer.url.includes("/sign-in/")) return location.assign(address);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const results = document.getElementById(form.dataset.results);
  results.replaceChildren(...page.getElementById(form.dataset.results).childNodes);
  document.querySelector(".main > .head").replaceWith(page.querySelector(".main > .head")); // its links know the filter
  htmx.process(results);
  results.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true })); // times are put in the reader's words
  history.replaceState(history.state, "", address);
  form.querySelector("[data-reset]").hidden = chosen.length === 0;
}
