// Builds the sentence under the log: how many lines there are, whether the log is complete, what the filter shows. Pure.
import { formatBytes, formatCount, formatLines, formatNumber } from "./format.js";

export const NO_ANSWER = "the server does not answer, trying again…";
export const SILENCE_MS = 10_000;

const formatGaps = ({ gaps }) => (gaps ? `, ${formatCount(gaps, "gap")}` : "");
const describeDropped = (size) => (size ? `${formatBytes(size)} after that were not kept` : "later output was not kept");
/** The run has ended, and no digest confirms the log. */
const describeUnsealed = ({ isHostGone }) => `may be incomplete${isHostGone ? ": its host went away" : ""}`;
const describeSilence = ({ silence, isOffline }) => (isOffline ? "this browser is offline, trying again" : `No word from the server for ${Math.floor(silence / 1000)} s, trying again`);

/** [kind, line count, what follows it]. */
function describeLog(log) {
  const { state, total, expected, trouble, isSealed } = log;
  const isDamaged = log.gaps > 0 || log.dropped !== null;
  const count = formatLines(total) + formatGaps(log);
  if (log.pruned) return ["gap", count, log.pruned];
  if (state === "refused") return ["gap", count, "you may not read this any more; sign in again"];
  if (state === "done" && expected !== null && expected > total) {
    return ["gap", `${formatNumber(total)} of ${formatLines(expected)}${formatGaps(log)}`, `${formatNumber(expected - total)} missing`];
  }
  if (state !== "done" && (log.isOffline || log.silence >= SILENCE_MS)) return ["wait", count, describeSilence(log)];
  if (trouble) return ["wait", count, trouble];
  if (state === "done" && !log.isChecked) return ["wait", count, "reading…"];
  if (state === "done" && (isDamaged || isSealed === false)) {
    const notes = [log.dropped !== null && describeDropped(log.dropped), isSealed === false && describeUnsealed(log)];
    return ["gap", count, notes.filter(Boolean).join(" · ")];
  }
  if (state === "done") return ["good", formatLines(total), isSealed === null ? "ended" : "complete"];
  if (state === "reconnecting") return ["wait", count, "reconnecting…"];
  if (state === "connecting") return ["wait", count, "connecting…"];
  return [isDamaged ? "gap" : "live", count, "live"];
}

/**
 * The status line as {kind, text}. Of the log:
 * - `state` of the connection (see live_socket.js); `total`, the lines that the browser knows of;
 * - `expected`, the lines that the ended run wrote (null while it is live);
 * - `trouble` and `pruned`, sentences or "": a failed request, and the reason why the log is gone;
 * - `gaps`, a number, and `dropped`, bytes after the limit (null: none);
 * - `silence`, milliseconds since the server's last message; `isOffline`, if the browser is and no message came since;
 * - `isChecked`, once the server has sent the gaps; `isSealed` (null: unknown); `isHostGone`.
 * `filter` is {name, count, isSearching, isFailing, isFull, upTo}, or null.
 */
export function buildStatusLine({ silence = 0, isOffline = false, gaps = 0, dropped = null, isChecked = true, isSealed = true, filter = null, ...rest }) {
  const log = { silence, isOffline, gaps, dropped, isChecked, isSealed, ...rest };
  const [kind, count, details] = describeLog(log);
  if (!filter) return { kind, text: kind === "good" ? `${count}, ${details}` : [count, details].filter(Boolean).join(" · ") };
  const shown = `${formatNumber(filter.count)} of ${formatLines(log.total)} shown (${filter.name})`;
  const progress = filter.isFailing ? NO_ANSWER : filter.isSearching ? "searching…" : "";
  const note = filter.isFull ? `only up to line ${formatNumber(filter.upTo)}: too many to list` : progress;
  const parts = new Set([shown + formatGaps(log), note, details].filter(Boolean)); // no text twice
  return { kind: note === NO_ANSWER && kind !== "gap" ? "wait" : kind, text: [...parts].join(" · ") };
}
