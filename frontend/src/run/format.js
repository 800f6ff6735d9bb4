// How times, counts and line links are written. Pure.

const pad = (value, width = 2) => String(value).padStart(width, "0");

/** Milliseconds since the start as 1:02.345, or 1:00:02.345 from an hour on. */
export function sinceStart(ms) {
  const sign = ms < 0 ? "-" : "";
  const all = Math.abs(Math.round(ms));
  const [hours, minutes, seconds] = [Math.floor(all / 3_600_000), Math.floor(all / 60_000) % 60, Math.floor(all / 1000) % 60];
  const tail = `${pad(seconds)}.${pad(all % 1000, 3)}`;
  return sign + (hours ? `${hours}:${pad(minutes)}:${tail}` : `${minutes}:${tail}`);
}

/** The reader's own clock, 19:04:05.678. */
export function clock(ms) {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

/** `#L12` or `#L12-20` as [first, last]; null for anything else. */
export function parseHash(hash) {
  const match = /^#L(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(hash);
  if (!match || Number(match[1]) < 1) return null;
  const [a, b] = [Number(match[1]), Number(match[2] || match[1])];
  return [Math.min(a, b), Math.max(a, b)];
}

export function formatHash([first, last]) {
  return first === last ? `#L${first}` : `#L${first}-${last}`;
}

export function lines(count) {
  return `${count.toLocaleString("en")} line${count === 1 ? "" : "s"}`;
}

/**
 * The status line: what kind of thing it says, and the words. `total` is what the browser knows of, `expected`
 * what the run says it wrote (null while it lives).
 */
export function statusLine({ state, total, expected, trouble }) {
  if (state === "refused") return { kind: "gap", text: `${lines(total)} · no longer allowed to read on; sign in again` };
  if (state === "done") {
    if (expected !== null && expected > total) {
      return { kind: "gap", text: `${total.toLocaleString("en")} of ${lines(expected)}; ${(expected - total).toLocaleString("en")} missing` };
    }
    if (trouble) return { kind: "wait", text: `${lines(total)} · the server does not answer, trying again…` };
    return { kind: "good", text: `${total.toLocaleString("en")} of ${lines(total)}, complete` };
  }
  if (state === "reconnecting" || trouble) return { kind: "wait", text: `${lines(total)} · reconnecting, nothing will be missed…` };
  if (state === "connecting") return { kind: "wait", text: `${lines(total)} · connecting…` };
  return { kind: "live", text: `${lines(total)} · live · nothing missing` };
}
