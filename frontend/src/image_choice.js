// The image of the job editor: a list of choices in front of the text field, which alone is submitted, and the part that
// the server renders about the chosen image.
const CHECK_DELAY = 700; // ms after the last change of the script
const MAX_SCRIPT = 256 * 1024; // characters; the server checks no longer script

/** `getLanguage`: of the form. Returns a function to call after each change of the form. */
export function startImageChoice(form, getLanguage) {
  const select = document.getElementById("image-choice");
  const field = form.elements.image;
  const choices = [...select.children];
  let checked = readState();
  let timer = null;

  function readState() {
    return JSON.stringify([getLanguage(), field.value.trim(), form.elements.script.value]);
  }

  function showChoice() {
    const language = getLanguage();
    select.replaceChildren(...choices.filter((choice) => (choice.dataset.language ?? language) === language));
    const value = field.value.trim();
    const isListed = [...select.options].some((option) => option.value === value && !("other" in option.dataset));
    select.value = isListed ? value : "other";
    showText();
  }

  function showText() {
    document.getElementById("image-text").hidden = select.value !== "other" && !field.hasAttribute("aria-invalid");
    document.getElementById("image-hint").hidden = select.value !== "";
  }

  function chooseImage(reference) {
    field.value = reference;
    showChoice();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** Asks the server again, at once for another image, later for another script. */
  function checkLater() {
    const state = readState();
    if (state === checked) return;
    clearTimeout(timer);
    timer = setTimeout(check, JSON.parse(state)[2] === JSON.parse(checked)[2] ? 100 : CHECK_DELAY);
  }

  function check() {
    checked = readState();
    if (form.elements.script.value.length > MAX_SCRIPT) return;
    window.htmx.trigger(document.getElementById("image-info"), "cronium:image");
  }

  select.addEventListener("change", () => {
    if (select.value !== "other") chooseImage(select.value);
    else {
      showText();
      field.focus();
      field.select();
    }
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-use-image]");
    if (!button) return;
    chooseImage(button.dataset.useImage);
    select.focus();
  });
  showChoice();
  return { showChoice, checkLater };
}
