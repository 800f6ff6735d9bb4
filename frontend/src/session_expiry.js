// Handles a session that ends while a page is open. A page without unsaved text reloads, which leads to the sign-in
// page. A page with unsaved text stays, shows a bar, and submits nothing until the user has signed in again.

import { moveToFront } from "./notice_bar.js";

let isSignedOut = false;
let userName = "";

const getBar = () => document.getElementById("signed-out");
const getUserName = (page) => page.querySelector(".menu .who strong")?.textContent ?? "";

/** Whether a form of the page holds changes that are not on the server. */
function hasUnsavedText() {
  return [...document.forms].some((form) => form.method === "post" && (
    form.dataset.bound === "true" || form.dataset.dirty === "true" || [...form.elements].some(isChanged)));
}

function isChanged(field) {
  if (!field.name || field.type === "hidden") return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  return field.defaultValue !== undefined && field.value !== field.defaultValue;
}

export function monitorSession() {
  userName = getUserName(document);
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const isSignInPage = event.detail.xhr.responseURL.includes("/sign-in/");
    if (isSignInPage) event.detail.shouldSwap = false;
    if (isSignInPage && !isSignedOut) onSessionEnd();
    if (!isSignInPage && isSignedOut && event.detail.xhr.status < 400) resumeSession();
  });
  document.addEventListener("cronium:signed-out", () => { if (!isSignedOut && getBar()) markSignedOut(); }); // see signed_out.js
  document.addEventListener("visibilitychange", () => { if (isSignedOut && !document.hidden) resumeSession(); });
  document.addEventListener("submit", onSubmit, { capture: true });
}

function onSessionEnd() {
  if (!getBar() || !hasUnsavedText()) return location.reload();
  markSignedOut();
}

function markSignedOut() {
  isSignedOut = true;
  showBar(true);
}

/** `isOut`: signed out; else signed in again. */
function showBar(isOut) {
  getBar().hidden = false;
  moveToFront(getBar());
  getBar().classList.toggle("warning", isOut);
  getBar().classList.toggle("success", !isOut);
  getBar().querySelector("[data-out]").hidden = !isOut;
  getBar().querySelector("[data-in]").hidden = isOut;
}

/** Ask the server whether the user has signed in again, and give the forms the new CSRF token. Resolves to true if so. */
async function resumeSession() {
  const response = await fetch(document.querySelector("a.brand").href, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (!response?.ok || response.url.includes("/sign-in/")) return false;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const token = page.querySelector("[name=csrfmiddlewaretoken]")?.value;
  if (!token) return false;
  for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = token;
  const [before, now] = [userName, getUserName(page)];
  getBar().querySelector("[data-in]").textContent = `Signed in again${now === before ? "" : ` as ${now}`}. What you typed is still here.`;
  userName = now;
  isSignedOut = false;
  showBar(false);
  return true;
}

/** A form submitted while signed out would be lost: hold it back until the session is resumed. */
async function onSubmit(event) {
  if (!isSignedOut || event.target.method !== "post") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const { target, submitter } = event;
  if (await resumeSession()) target.requestSubmit(submitter);
  else getBar().querySelector("a").focus();
}
