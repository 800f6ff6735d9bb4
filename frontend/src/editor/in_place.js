// Sends the form of the editor without leaving the page. What the server refuses is sent again as a form, whose answer is
// the page with the errors beside their fields.
import { storeRunFor } from "./run_pane.js";

const TIMEOUT_MS = 30_000;
const NO_ANSWER = "No answer from the server. Nothing is lost: what you typed is kept in this browser.";

export class InPlaceForm {
  /** `onSaved(answer)` gets what the server stored; `say(text, isError)` shows a message. */
  constructor(form, { pane, onSaved, say, isNew }) {
    Object.assign(this, { form, pane, onSaved, say, isNew });
    this.isSending = false;
  }

  /** Handles a submit event of the form. Returns false if the browser must submit the form. */
  handle(submitter) {
    if (this.isNative) return false;
    const action = submitter?.value ?? "save";
    if (!this.isSending) this.#send(action, submitter);
    return true;
  }

  async #send(action, submitter) {
    this.isSending = true;
    this.say(action === "save" ? "Saving…" : "Starting…");
    try {
      if (action === "try") await this.#tryText(submitter);
      else await this.#save(action, submitter);
    } catch {
      this.say(NO_ANSWER, true);
    }
    this.isSending = false;
  }

  async #save(action, submitter) {
    const response = await this.#post(this.form.action);
    if (!response.ok && isJson(response, false)) return this.say(`Not saved. ${(await response.json()).detail}`, true); // not from a page: too large, busy
    if (!isJson(response)) return this.#submit(submitter);
    const saved = await response.json();
    await this.onSaved(saved);
    if (action === "run") await this.#launch(saved);
    else this.say(saved.message);
    if (this.isNew) location.replace(saved.address); // "back" is no second new job
  }

  async #launch(saved) {
    if (this.pane.isLive) return this.say(`${saved.message} The run below is still live: cancel it, or wait for its end.`, true);
    const response = await this.#post(`/runs/launch/${encodeURIComponent(saved.slug)}/in-editor/`);
    if (!response.ok || !response.url.includes("/pane/")) {
      const detail = isJson(response, false) ? (await response.json()).detail : "Sign in again, then run it.";
      return this.say(`${saved.message} Not started: ${detail}`, true);
    }
    this.say(saved.message);
    if (this.isNew) storeRunFor(saved.address, /runs\/([^/]+)\/pane/.exec(response.url)[1]);
    else this.pane.show(await response.text());
  }

  async #tryText(submitter) {
    if (this.pane.isLive) return this.say("The run below is still live: cancel it, or wait for its end.", true);
    const response = await this.#post(submitter.formAction);
    if (!response.ok && isJson(response, false)) return this.say(`Not started. ${(await response.json()).detail}`, true);
    if (!response.ok || !response.url.includes("/pane/")) return this.#submit(submitter);
    this.say("");
    this.pane.show(await response.text());
  }

  #post(address) {
    const body = new FormData(this.form);
    return fetch(address, { method: "POST", body, headers: { "X-Cronium-In-Place": "1" }, signal: AbortSignal.timeout(TIMEOUT_MS) });
  }

  #submit(submitter) {
    this.isNative = true;
    this.say("");
    this.form.requestSubmit(submitter);
    this.isNative = false; // if the submit was held back
  }
}

function isJson(response, mustBeOk = true) {
  return (response.ok || !mustBeOk) && Boolean(response.headers.get("content-type")?.startsWith("application/json"));
}
