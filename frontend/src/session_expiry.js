// A session that ends under an open page. A page with nothing typed is loaded anew, which leads to the sign-in page; one
// with unsaved text stays as it is, says so, and sends nothing until somebody has signed in again.

import { raise } from "./notice_bar.js";

let isSignedOut = false;
let person = "";

const bar = () => document.getElementById("signed-out");
const nameIn = (page) => page.querySelector(".menu .who strong")?.textContent ?? "";

/** Whether any form of the page holds what its server has not seen. */
function hasUnsaved() {
  return [...document.forms].some((form) => form.method === "post" && (
    form.dataset.bound === "true" || form.dataset.dirty === "true" || [...form.elements].some(isChanged)));
}

function isChanged(field) {
  if (!field.name || field.type === "hidden") return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  return field.defaultValue !== undefined && field.value !== field.defaultValue;
}

export function watchSession() {
  person = nameIn(document);
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const led = event.detail.xhr.responseURL.includes("/sign-in/");
    if (led) event.detail.shouldSwap = false;
    if (led && !isSignedOut) end();
    if (!led && isSignedOut && event.detail.xhr.status < 400) resume();
  });
  document.addEventListener("visibilitychange", () => { if (isSignedOut && !document.hidden) resume(); });
  document.addEventListener("submit", hold, { capture: true });
}

function end() {
  if (!bar() || !hasUnsaved()) return location.reload();
  isSignedOut = true;
  tell(true);
}

/** `out`: signed out; else signed in again, as `person`. */
function tell(out) {
  bar().hidden = false;
  raise(bar());
  bar().classList.toggle("warning", out);
  bar().classList.toggle("success", !out);
  bar().querySelector("[data-out]").hidden = !out;
  bar().querySelector("[data-in]").hidden = out;
}

/** Ask the server whether somebody has signed in meanwhile; forms need a new token then. Resolves to whether so. */
async function resume() {
  const answer = await fetch(document.querySelector("a.brand").href, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (!answer?.ok || answer.url.includes("/sign-in/")) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = page.querySelector("[name=csrfmiddlewaretoken]")?.value;
  if (!token) return false;
  for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = token;
  const [before, now] = [person, nameIn(page)];
  bar().querySelector("[data-in]").textContent = `Signed in again${now === before ? "" : ` as ${now}`}. What you typed is still here.`;
  person = now;
  isSignedOut = false;
  tell(false);
  return true;
}

/** What is sent while signed out would be lost. */
async function hold(event) {
  if (!isSignedOut || event.target.method !== "post") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const { target, submitter } = event;
  if (await resume()) target.requestSubmit(submitter);
  else bar().querySelector("a").focus();
}
