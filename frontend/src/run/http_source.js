// What the viewer asks of the server over HTTP: windows of lines, and which lines match. Knows no DOM.

const BUSY_TRIES = 10; // the server computes a few searches at once, and says when to come again

const line = ({ seq, time, stream, text }) => ({ seq, ms: Date.parse(time), stream, text });

export class Source {
  /** `api` is the address of a run's log; `onGaps(list)` hears of the gaps that come with an answer. */
  constructor(api, onGaps) {
    Object.assign(this, { api, onGaps });
  }

  /** Lines past `after`, `{lines, ended}`; with `stream` only those of it. */
  async lines({ after, limit, stream = "" }, signal) {
    const page = await this.#json("", { after, limit, ...(stream && { stream }) }, signal);
    this.onGaps(page.gaps ?? []);
    return { ended: page.ended, lines: page.lines.map(line) };
  }

  /** Which lines past `after` match, `{ranges, next, lines}`: a part of the answer, to be asked on from `next`. */
  find(query, after, signal) {
    return this.#json("/find", { ...query, after }, signal);
  }

  async #json(path, parameters, signal) {
    const ask = () => fetch(`${this.api}${path}?${new URLSearchParams(parameters)}`, { signal, headers: { Accept: "application/json" } });
    let answer = await ask();
    for (let tries = 0; answer.status === 429 && tries < BUSY_TRIES; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
      answer = await ask();
    }
    if (answer.status === 422) throw await this.#refusal(answer);
    if (!answer.ok) throw await this.#failure(answer);
    return answer.json();
  }

  /** An error with the server's `words` where it has some; `final`: the log was removed, and will not come back. */
  async #failure(answer) {
    const said = await answer.json().catch(() => ({}));
    const told = { words: typeof said.detail === "string" ? said.detail : "", final: answer.status === 410 };
    return Object.assign(new Error(`the log answered ${answer.status}`), told);
  }

  /** An error whose `refused` is what the server says of the question. */
  async #refusal(answer) {
    const said = await answer.json().catch(() => ({}));
    const words = said.fields?.q?.[0] || said.detail || "The server does not take this.";
    return Object.assign(new Error(words), { refused: words });
  }
}
