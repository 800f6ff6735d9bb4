// The places where output was lost before it reached the log: what the server tells of them, in words. Pure.
import { bytes, lines } from "./format.js";

const CAUSES = {
  engine_lost: "The engine lost output here.",
  engine_restarted: "The engine was restarted here; what was written meanwhile may be missing.",
  split: "The line goes on in the next one of its stream.",
  limit: "The log has reached its limit; what came after it was not kept.",
};

const amount = (value) => (Number.isFinite(value) && value > 0 ? value : null);

/** The gaps of a message, in the order of their places; whatever is no gap is left out. */
export function readGaps(list) {
  if (!Array.isArray(list)) return [];
  return list.filter((gap) => Number.isInteger(gap?.after) && gap.after >= 0)
    .map(({ after, cause, lines: lost, bytes: size, message }) => ({
      after, cause: String(cause), lines: amount(lost), bytes: amount(size),
      message: typeof message === "string" && message ? message : CAUSES[cause] || "Output is missing here.",
    }))
    .sort((a, b) => a.after - b.after);
}

/** Whether two lists say the same. */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A gap as one sentence, and how much it took. */
export function gapWords(gap) {
  if (/\d/.test(gap.message)) return gap.message; // it says so itself
  const parts = [gap.lines && lines(gap.lines), gap.bytes && bytes(gap.bytes)].filter(Boolean);
  if (gap.cause === "split") return gap.message;
  const known = parts.length ? parts.join(", ") : gap.cause === "limit" ? "" : "how much is not known";
  return known ? `${gap.message.replace(/\.$/, "")} (${known}).` : gap.message;
}

/** What the status line counts: gaps within the log, and the bytes dropped behind its end (null: none, 0: unknown). */
export function tally(gaps, droppedBytes = 0) {
  const limit = gaps.filter((gap) => gap.cause === "limit");
  const split = gaps.filter((gap) => gap.cause === "split"); // nothing is lost there
  const told = limit.reduce((sum, gap) => sum + (gap.bytes ?? 0), 0);
  return { gaps: gaps.length - limit.length - split.length, dropped: droppedBytes || (limit.length ? told : null) };
}
