// Formats durations and ages. Pure.

const pad = (value) => String(value).padStart(2, "0");

/** 380 ms, 12.3 s, 2:05, 1:02:05; with `isClock`, whole seconds from the start: 0:12. */
export function formatDuration(ms, isClock = false) {
  const seconds = Math.floor(ms / 1000);
  if (!isClock && ms < 60_000) return ms < 995 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
}

/** 8 s, 5 min, 3 h, 12 d. */
export function formatAge(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** just now, 40 s ago, 5 min ago, 3 h ago, 12 d ago. */
export function formatAgo(ms) {
  return Math.round(ms / 1000) < 5 ? "just now" : `${formatAge(ms)} ago`;
}

/** in 40 s, in 5 min, in 3 h, in 12 d; "now" once the time has come. */
export function formatUntil(ms) {
  return Math.round(ms / 1000) < 1 ? "now" : `in ${formatAge(ms)}`;
}
