// The home page: refreshes its parts, and draws the figures.
import { startFigures } from "./figures_chart.js";
import { startParts } from "./parts.js";
import { startProgressBars } from "./progress_bars.js";

startParts(document.querySelector("[data-home]"));
startProgressBars();
startFigures(document.getElementById("home-figures"));
