// The home page: refreshes its parts, and draws the figures.
import { startFigures } from "./figures_chart.js";
import { startParts } from "./parts.js";
import { startProgressBars } from "./progress_bars.js";

const home = document.querySelector("[data-home]");
if (home) startParts(home); // the page of the figures has no such parts
startProgressBars();
startFigures(document.getElementById("home-figures"));
