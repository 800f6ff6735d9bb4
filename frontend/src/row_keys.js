// Keys of a list of runs: j and k move to the next and the previous row, x chooses the row.

const isTyping = (target) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog, .pop");

export function startRowKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const links = [...document.querySelectorAll(".tbl.listed a.title")];
    if (!links.length || !["j", "k", "x"].includes(event.key)) return;
    const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    if (event.key === "x") return links[at]?.closest("tr").querySelector(".pick")?.click();
    const next = links[Math.min(links.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  });
}
