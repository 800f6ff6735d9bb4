// Asks the server to check or format a text: the same request is repeated until a host has answered.
import { SIGNED_OUT, isSignedOut } from "../signed_out.js";

const PAUSES_MS = [150, 250, 350, 500]; // the last one repeats
const LIMIT_MS = 30_000;

export class ToolClient {
  /** `token()` is the CSRF token. */
  constructor(token) {
    Object.assign(this, { token });
  }

  /** `action`: check or format. Resolves to the answer; without one, its state is unavailable and `message` says why. */
  async ask(action, language, script, signal) {
    const end = performance.now() + LIMIT_MS;
    for (let round = 0; ; round++) {
      const answer = await this.#post(action, { language, script });
      if (answer.state !== "waiting" || signal.aborted) return answer;
      if (performance.now() > end) return { state: "unavailable", message: "No host has answered in time." };
      await new Promise((resolve) => { setTimeout(resolve, PAUSES_MS[Math.min(round, PAUSES_MS.length - 1)]); });
    }
  }

  async #post(action, body) {
    const response = await fetch(`/api/v1/scripts/${action}`, {
      method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": this.token() }, body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    }).catch(() => null);
    if (!response) return { state: "unavailable", message: "No answer from the server." };
    if (isSignedOut(response)) return { state: "unavailable", message: SIGNED_OUT };
    const answer = await response.json().catch(() => ({}));
    return response.ok && answer.state ? answer : { state: "unavailable", message: answer.detail ?? "The server refused the request." };
  }
}
