// Makes terminal colours readable on the page's background. Pure.

const BLACK = [0, 0, 0];
const WHITE = [255, 255, 255];

/** Colour 16 to 255 of the 256-colour palette as [r, g, b]. */
export function convertPaletteToRgb(index) {
  if (index >= 232) return Array(3).fill(8 + (index - 232) * 10);
  const cube = index - 16;
  const getLevel = (step) => (step ? 55 + step * 40 : 0);
  return [getLevel(Math.floor(cube / 36)), getLevel(Math.floor(cube / 6) % 6), getLevel(cube % 6)];
}

const computeLuminance = ([r, g, b]) => {
  const linearise = (value) => ((value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linearise(r) + 0.7152 * linearise(g) + 0.0722 * linearise(b);
};

export function computeContrast(a, b) {
  const [low, high] = [computeLuminance(a), computeLuminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, the one with more contrast on `background`: at least 4.5 : 1. */
export const chooseTextColour = (background) => (computeContrast(BLACK, background) > computeContrast(WHITE, background) ? BLACK : WHITE);

/** `colour` mixed with black or white until its contrast on `background` is at least 4.5 : 1. */
export function ensureContrast(colour, background) {
  const target = chooseTextColour(background);
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = colour.map((value, channel) => Math.round(value + (target[channel] - value) * share));
    if (computeContrast(mixed, background) >= 4.5) return mixed;
  }
  return target;
}
