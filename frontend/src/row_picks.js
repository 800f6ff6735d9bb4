// Lists whose rows can be chosen for an act on many: chooses all rows of the page, and says how many are chosen. Without
// it, each row is chosen by itself. A refresh of the rows keeps the chosen ones.

const getPicks = (from = document) => [...from.querySelectorAll(".pick")];

export function startRowPicks() {
  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-pick-all]");
    if (all) for (const pick of getPicks()) pick.checked = all.checked;
    if (all || event.target.closest(".pick")) showNumber();
  });
  addEventListener("pageshow", showNumber);
  let kept = [];
  document.body.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
    kept = getPicks(target).filter((pick) => pick.checked).map((pick) => pick.closest("tr"));
  });
  document.body.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
    if (kept.length) restoreChosen(target, kept);
    kept = [];
    showNumber();
  });
}

/** Chosen rows that the answer lacks, such as those that newer rows pushed to the next page, stay as the last ones. */
function restoreChosen(target, rows) {
  for (const row of rows) {
    const pick = row.querySelector(".pick");
    const sent = pick.id && document.getElementById(pick.id);
    if (sent) sent.checked = true;
    else if (pick.id) target.append(row);
  }
}

function showNumber() {
  const label = document.querySelector("[data-picked]");
  if (!label) return;
  const picks = getPicks();
  const chosen = picks.filter((pick) => pick.checked).length;
  label.textContent = `${chosen} ${label.dataset.picked}${chosen === 1 ? "" : "s"} chosen`;
  const all = document.querySelector("[data-pick-all]");
  all.checked = chosen > 0 && chosen === picks.length;
  all.indeterminate = chosen > 0 && chosen < picks.length;
}
