// Formats times, counts, sizes and line links. Pure.

const pad = (value, width = 2) => String(value).padStart(width, "0");
export const formatNumber = (value) => value.toLocaleString("en");

/** Milliseconds since the start as 1:02.345, or 1:00:02.345 from an hour on. */
export function formatSinceStart(ms) {
  const sign = ms < 0 ? "-" : "";
  const total = Math.abs(Math.round(ms));
  const [hours, minutes, seconds] = [Math.floor(total / 3_600_000), Math.floor(total / 60_000) % 60, Math.floor(total / 1000) % 60];
  const tail = `${pad(seconds)}.${pad(total % 1000, 3)}`;
  return sign + (hours ? `${hours}:${pad(minutes)}:${tail}` : `${minutes}:${tail}`);
}

/** Time of day in the browser's time zone, 19:04:05.678. */
export function formatClock(ms) {
  const date = new Date(ms);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** Day in the browser's time zone, 31 Jan. */
export function formatDay(ms) {
  const date = new Date(ms);
  return `${date.getDate()} ${MONTHS[date.getMonth()]}`;
}

export function formatFullTime(ms) {
  const date = new Date(ms);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${formatClock(ms)}`;
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

export const formatCount = (count, noun) => `${formatNumber(count)} ${noun}${count === 1 ? "" : "s"}`;
export const formatLines = (count) => formatCount(count, "line");

/** A size in the same form as on the other pages: 812 bytes, 3.4 KB, 12.3 MB. */
export function formatBytes(size) {
  const units = ["KB", "MB", "GB", "TB"];
  if (size < 1024) return formatCount(size, "byte");
  const power = Math.min(units.length, Math.floor(Math.log(size) / Math.log(1024)));
  return `${(size / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}
