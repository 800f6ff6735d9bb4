// Sets the theme before the first paint. It blocks, so it does nothing else.
const root = document.documentElement;
let choice = "auto";
try {
  choice = localStorage.getItem("cronium-theme") || "auto";
} catch {
  // storage refused: the system's theme
}
const dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
root.setAttribute("data-bs-theme", dark ? "dark" : "light");
root.setAttribute("data-theme-choice", choice);
root.classList.add("js");
