// The bars of running runs: the time so far as a share of the usual time.

const skew = Number(document.documentElement.dataset.now) - Date.now();

function updateBars() {
  for (const element of document.querySelectorAll("[data-progress]")) {
    const share = (Date.now() + skew - Number(element.dataset.progress)) / 1000 / Number(element.dataset.median);
    element.querySelector("progress").value = Math.min(100, 100 * share);
    element.classList.toggle("over", share > 1);
  }
}

export function startProgressBars() {
  updateBars();
  setInterval(updateBars, 1000);
}
