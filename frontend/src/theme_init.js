// Sets the theme before the first paint. It blocks rendering, so it does nothing else.
const root = document.documentElement;
let choice = "auto";
try {
  choice = localStorage.getItem("cronium-theme") || "auto";
} catch {
  // no storage: the system's theme
}
const isDark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
root.setAttribute("data-bs-theme", isDark ? "dark" : "light");
root.setAttribute("data-theme-choice", choice);
root.classList.add("js");
