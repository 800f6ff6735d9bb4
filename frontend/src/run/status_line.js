// The sentence under the log: how many lines there are, whether they are all, and what of them is shown. Pure.
import { bytes, lines, number } from "./format.js";

const gapsIn = ({ gaps }) => (gaps ? `, ${gaps} gap${gaps === 1 ? "" : "s"}` : "");
export const SILENT = "the server does not answer, trying again…";
const dropped = (size) => (size ? `${bytes(size)} after that were not kept` : "what came after that was not kept");

/** The run ended and nobody could say that its log is whole. */
const unsealed = ({ hostGone }) => `may be incomplete${hostGone ? ": its host went away" : ""}`;
const quiet = ({ silence, offline }) => (offline ? "this browser is offline, trying again" : `No word from the server for ${Math.floor(silence / 1000)} s, trying again`);
export const SILENCE_MS = 10_000;

/** What became of the log, and in words of the line: [kind, what stands for its count, what follows]. */
function facts(log) {
  const { state, total, expected, trouble, sealed } = log;
  const damaged = log.gaps > 0 || log.dropped !== null;
  const count = lines(total) + gapsIn(log);
  if (log.gone) return ["gap", count, log.gone];
  if (state === "refused") return ["gap", count, "you may not read this any more; sign in again"];
  if (state === "done" && expected !== null && expected > total) {
    return ["gap", `${number(total)} of ${lines(expected)}${gapsIn(log)}`, `${number(expected - total)} missing`];
  }
  if (state !== "done" && (log.offline || log.silence >= SILENCE_MS)) return ["wait", count, quiet(log)];
  if (trouble) return ["wait", count, trouble];
  if (state === "done" && !log.checked) return ["wait", count, "reading…"];
  if (state === "done" && (damaged || sealed === false)) {
    const then = [log.dropped !== null && dropped(log.dropped), sealed === false && unsealed(log)];
    return ["gap", count, then.filter(Boolean).join(" · ")];
  }
  if (state === "done") return ["good", lines(total), sealed === null ? "ended" : "complete"];
  if (state === "reconnecting") return ["wait", count, "reconnecting…"];
  if (state === "connecting") return ["wait", count, "connecting…"];
  return [damaged ? "gap" : "live", count, "live"];
}

/**
 * The status line as {kind, text}. Of the log: `state`, `total` lines that the browser knows of, `expected` what the
 * run says it wrote (null while it lives), `trouble` and `gone` in words, `gaps`, `dropped` bytes (null: none),
 * `silence` in milliseconds since the
 * server said something, `offline` while the browser is and nothing came since, `checked` once the server has told of gaps, `sealed` (null: nobody has said) and `hostGone`. Of a filter: `filter`
 * {name, count, searching, trouble, full, upTo}, or null.
 */
export function statusLine({ silence = 0, offline = false, gaps = 0, dropped = null, checked = true, sealed = true, filter = null, ...rest }) {
  const log = { silence, offline, gaps, dropped, checked, sealed, ...rest };
  const [kind, count, then] = facts(log);
  if (!filter) return { kind, text: kind === "good" ? `${count}, ${then}` : [count, then].filter(Boolean).join(" · ") };
  const shown = `${number(filter.count)} of ${lines(log.total)} shown (${filter.name})`;
  const looks = filter.trouble ? SILENT : filter.searching ? "looking…" : "";
  const more = filter.full ? `only up to line ${number(filter.upTo)}: too many to list` : looks;
  const words = new Set([shown + gapsIn(log), more, then].filter(Boolean)); // what both say is said once
  return { kind: more === SILENT && kind !== "gap" ? "wait" : kind, text: [...words].join(" · ") };
}
