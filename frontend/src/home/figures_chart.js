// The charts of success and durations. The server's tables beside them say the same.
import uPlot from "uplot";
import { formatDuration } from "../durations.js";

const HEIGHT = 150;

const readColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function buildAxis(more) {
  return { stroke: readColour("--c-grey"), grid: { stroke: readColour("--c-line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...more };
}

function buildSeries(label, colour, scale, value) {
  const stroke = readColour(colour);
  return { label, scale, stroke, width: 2, spanGaps: true, points: { show: true, size: 5, fill: stroke }, value: (_, number) => (number === null ? "–" : value(number)) };
}

const HOUR_OF_DAY = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** 0, 50 s, 1:40: of an axis, so without a tenth of a second that is 0. */
const formatTick = (seconds) => (seconds >= 60 ? formatDuration(seconds * 1000) : seconds ? `${Number(seconds.toFixed(1))} s` : "0");

/** The legend has values while the pointer is in the chart. */
function markIdle(chart) {
  chart.root.classList.toggle("is-idle", chart.cursor.idx === null || chart.cursor.idx === undefined);
}

function buildOptions(width, isDay) {
  const formatSeconds = (value) => formatDuration(value * 1000);
  const times = isDay ? HOUR_OF_DAY : DAY;
  return {
    width, height: HEIGHT, hooks: { ready: [markIdle], setCursor: [markIdle] }, cursor: { drag: { x: false, y: false } },
    scales: { rate: { range: [0, 105] }, seconds: { range: (_, low, high) => [0, (high || 1) * 1.15] } },
    axes: [
      buildAxis({ space: 64, size: 30, incrs: isDay ? [3600, 10_800, 21_600, 43_200] : [86_400, 172_800, 432_000, 864_000], values: (_, splits) => splits.map((at) => times.format(at * 1000)) }),
      buildAxis({ scale: "rate", size: 46, values: (_, splits) => splits.map((value) => (value <= 100 ? `${value} %` : "")) }),
      buildAxis({ scale: "seconds", side: 1, size: 58, grid: { show: false }, values: (_, splits) => splits.map(formatTick) }),
    ],
    series: [
      { value: (_, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })) },
      buildSeries("Succeeded", "--c-green", "rate", (rate) => `${rate} %`),
      { ...buildSeries("Average time", "--c-blue", "seconds", formatSeconds), dash: [5, 4] },
    ],
  };
}

function drawFigure(figure) {
  const place = figure.querySelector(".figure-chart");
  const source = figure.querySelector("script[type='application/json']");
  if (!place || !source) return;
  const data = JSON.parse(source.textContent);
  place.replaceChildren();
  const chart = new uPlot(buildOptions(place.clientWidth, figure.dataset.period === "24h"), [data.at, data.rate, data.seconds], place);
  new ResizeObserver(() => {
    if (chart.width !== place.clientWidth) chart.setSize({ width: place.clientWidth, height: HEIGHT });
  }).observe(place);
}

export function startFigures(region) {
  const draw = () => region.querySelectorAll(".figure").forEach(drawFigure);
  region.addEventListener("htmx:afterSwap", draw);
  document.addEventListener("cronium:theme", draw);
  draw();
}
