// Reads a run's log over HTTP: windows of lines, and which lines match. Uses no DOM.

const MAX_BUSY_RETRIES = 10; // the server runs a few searches at once; with 429 it says when to retry

const parseLine = ({ seq, time, stream, text }) => ({ seq, ms: Date.parse(time), stream, text });

export class HttpSource {
  /** `api` is the address of the run's log; `onGaps(list)` receives the gaps of each response. */
  constructor(api, onGaps) {
    Object.assign(this, { api, onGaps });
  }

  /** Lines after `after`, `{lines, ended}`; with `stream`, lines of that stream only. */
  async fetchLines({ after, limit, stream = "" }, signal) {
    const page = await this.#fetchJson("", { after, limit, ...(stream && { stream }) }, signal);
    this.onGaps(page.gaps ?? []);
    return { ended: page.ended, lines: page.lines.map(parseLine) };
  }

  /** One part of the matching lines after `after`, `{ranges, next, lines}`; the next part begins after `next`. */
  fetchMatches(query, after, signal) {
    return this.#fetchJson("/find", { ...query, after }, signal);
  }

  async #fetchJson(path, parameters, signal) {
    const sendRequest = () => fetch(`${this.api}${path}?${new URLSearchParams(parameters)}`, { signal, headers: { Accept: "application/json" } });
    let response = await sendRequest();
    for (let retries = 0; response.status === 429 && retries < MAX_BUSY_RETRIES; retries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(response.headers.get("Retry-After")) || 1)));
      response = await sendRequest();
    }
    if (response.status === 422) throw await this.#buildRejection(response);
    if (!response.ok) throw await this.#buildFailure(response);
    return response.json();
  }

  /** An error with the server's `detail`, or ""; `isFinal` if the log was removed for good. */
  async #buildFailure(response) {
    const body = await response.json().catch(() => ({}));
    const properties = { detail: typeof body.detail === "string" ? body.detail : "", isFinal: response.status === 410 };
    return Object.assign(new Error(`the log answered ${response.status}`), properties);
  }

  /** An error whose `rejection` is the server's sentence about the query. */
  async #buildRejection(response) {
    const body = await response.json().catch(() => ({}));
    const rejection = body.fields?.q?.[0] || body.detail || "The server rejected this expression.";
    return Object.assign(new Error(rejection), { rejection });
  }
}
