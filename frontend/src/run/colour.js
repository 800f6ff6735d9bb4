// Colours that can be read: which of terminal's colours stay as they are, and where the others move to. Pure.

const BLACK = [0, 0, 0];
const WHITE = [255, 255, 255];

/** Colour 16 to 255 of the 256 as [r, g, b]. */
export function rgb256(n) {
  if (n >= 232) return Array(3).fill(8 + (n - 232) * 10);
  const cube = n - 16;
  const level = (step) => (step ? 55 + step * 40 : 0);
  return [level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)];
}

const luminance = ([r, g, b]) => {
  const linear = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};

/** The contrast of two colours, 1 to 21. */
export function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, whichever is read better on `ground`: at least 4.5 : 1. */
export const inkOn = (ground) => (contrast(BLACK, ground) > contrast(WHITE, ground) ? BLACK : WHITE);

/** `colour` moved towards black or white until it can be read (4.5 : 1) on `ground`. */
export function legible(colour, ground) {
  const goal = inkOn(ground);
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = colour.map((v, at) => Math.round(v + (goal[at] - v) * share));
    if (contrast(mixed, ground) >= 4.5) return mixed;
  }
  return goal;
}
