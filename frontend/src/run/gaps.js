// Gaps: places where output was lost before it was stored. Parses and describes them. Pure.
import { formatBytes, formatLines } from "./format.js";

const parseAmount = (value) => (Number.isFinite(value) && value > 0 ? value : null);

/** The gaps of a message, ordered by line; malformed entries are left out. */
export function parseGaps(list) {
  if (!Array.isArray(list)) return [];
  return list.filter((gap) => Number.isInteger(gap?.after) && gap.after >= 0)
    .map(({ after, cause, lines, bytes, message }) => ({
      after, cause: String(cause), lines: parseAmount(lines), bytes: parseAmount(bytes),
      message: typeof message === "string" && message ? message : "Output is missing here.",
    }))
    .sort((a, b) => a.after - b.after);
}

export const isSameGapList = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** One sentence: the cause and, where it is known, how much is missing. */
export function describeGap(gap) {
  if (/\d/.test(gap.message)) return gap.message; // the message states the amount
  const amounts = [gap.lines && formatLines(gap.lines), gap.bytes && formatBytes(gap.bytes)].filter(Boolean);
  if (gap.cause === "split") return gap.message;
  const amount = amounts.length ? amounts.join(", ") : gap.cause === "limit" ? "" : "amount unknown";
  return amount ? `${gap.message.replace(/\.$/, "")} (${amount}).` : gap.message;
}

/** For the status line: the number of gaps within the log, and the bytes dropped after its end (null: none, 0: unknown). */
export function summariseGaps(gaps, droppedBytes = 0) {
  const limit = gaps.filter((gap) => gap.cause === "limit");
  const split = gaps.filter((gap) => gap.cause === "split"); // nothing is lost there
  const bytes = limit.reduce((sum, gap) => sum + (gap.bytes ?? 0), 0);
  return { gaps: gaps.length - limit.length - split.length, dropped: droppedBytes || (limit.length ? bytes : null) };
}
