// The list of jobs: chooses all rows of the page, and says how many are chosen. Without it, each row is chosen by itself.
export function startJobList() {
  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-pick-all]");
    if (all) for (const pick of document.querySelectorAll(".pick")) pick.checked = all.checked;
    if (all || event.target.closest(".pick")) showNumber();
  });
  addEventListener("pageshow", showNumber);
}

function showNumber() {
  const label = document.querySelector("[data-picked]");
  if (!label) return;
  const picks = [...document.querySelectorAll(".pick")];
  const chosen = picks.filter((pick) => pick.checked).length;
  label.textContent = `${chosen} job${chosen === 1 ? "" : "s"} chosen`;
  const all = document.querySelector("[data-pick-all]");
  all.checked = chosen > 0 && chosen === picks.length;
  all.indeterminate = chosen > 0 && chosen < picks.length;
}
