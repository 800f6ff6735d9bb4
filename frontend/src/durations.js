// How long and how long ago, in words. Pure.

const pad = (value) => String(value).padStart(2, "0");

/** 0.4 s, 12.3 s, 2:05, 1:02:05; `clock` gives whole seconds from the start: 0:12. */
export function duration(ms, clock = false) {
  const seconds = Math.floor(ms / 1000);
  if (!clock && ms < 60_000) return ms < 995 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
}

/** 8 s, 5 min, 3 h, 12 d. */
export function since(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** just now, 40 s ago, 5 min ago, 3 h ago, 12 d ago. */
export function ago(ms) {
  return Math.round(ms / 1000) < 5 ? "just now" : `${since(ms)} ago`;
}
