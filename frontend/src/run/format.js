// How times, counts and line links are written. Pure.

const pad = (value, width = 2) => String(value).padStart(width, "0");
export const number = (value) => value.toLocaleString("en");

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

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** The reader's own day, 31 Jan. */
export function day(ms) {
  const at = new Date(ms);
  return `${at.getDate()} ${MONTHS[at.getMonth()]}`;
}

/** Day and clock in full, 2026-01-31 19:04:05.678. */
export function fullTime(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(ms)}`;
}

/** `#L12` or `#L12-20` as [first, last]; null for anything else. */
export function parseHash(hash) {
  const match = /^#L(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(hash);
  if (!match || Number(match[1]) < 1) return null;
  const [a, b] = [Number(match[1]), Number(match[2] || match[1])];
  return [Math.max(1, Math.min(a, b)), Math.max(a, b)];
}

export function formatHash([first, last]) {
  return first === last ? `#L${first}` : `#L${first}-${last}`;
}

const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
export const lines = (count) => counted(count, "line");

/** A size as the other pages write it: 812 bytes, 3.4 KB, 12.3 MB. */
export function bytes(size) {
  const units = ["KB", "MB", "GB", "TB"];
  if (size < 1024) return counted(size, "byte");
  const power = Math.min(units.length, Math.floor(Math.log(size) / Math.log(1024)));
  return `${(size / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}
