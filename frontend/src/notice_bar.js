// The bars that tell of server and session stand at the top of the page, or of the dialog that covers it.

/** Put a bar where it can be seen and reached: behind a modal dialog nothing can. */
export function raise(bar) {
  const home = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.getElementById("main");
  if (bar.parentElement !== home) home.prepend(bar);
}
