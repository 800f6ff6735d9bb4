// The grey line of each closed group of settings, and the limits that a run gets with the profile and the job's own values.
import { formatNumber } from "../run/format.js";

const LIMITS = ["cpu", "memory_mb", "pids", "log_limit_mb"];
const formatMemory = (mb) => (mb >= 1024 && mb % 1024 === 0 ? `${mb / 1024} GB` : `${formatNumber(mb)} MB`);
const WORDS = {
  cpu: (value) => `${value} CPU`, memory_mb: formatMemory, pids: (value) => `${formatNumber(value)} processes`,
  log_limit_mb: (value) => `${formatMemory(value)} log`,
};
/** 1 h 30 min, 20 min, 1 min 30 s. */
function formatSpan(seconds) {
  const parts = [[Math.floor(seconds / 3600), "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]];
  return parts.filter(([value]) => value).map(([value, unit]) => `${value} ${unit}`).join(" ");
}
const countWords = (count, word) => `${count || "no"} ${word}${count === 1 ? "" : "s"}`;

export class Summaries {
  constructor(form) {
    this.form = form;
    const { profiles, bounds } = JSON.parse(document.getElementById("limits").textContent);
    Object.assign(this, { profiles, bounds });
    this.effective = document.getElementById("effective-limits");
  }

  update() {
    for (const place of document.querySelectorAll("[data-summary]")) {
      const text = this.#describe(place.dataset.summary);
      if (place.textContent !== text) Object.assign(place, { textContent: text, title: text });
    }
    this.#showEffective();
    this.#showTimeout();
  }

  #getValue(name) { return this.form.elements[name]?.value?.trim() ?? ""; }
  #getLabel(name) { return this.form.querySelector(`[name="${name}"]:checked`)?.closest("label")?.textContent.trim().split("\n")[0].trim() ?? ""; }

  #describe(group) {
    const { form } = this;
    const getChecked = (name) => [...form.querySelectorAll(`[name="${name}"]:checked`)];
    switch (group) {
      case "network": {
        const hosts = this.#getValue("egress_text").split("\n").filter((line) => line.trim()).length;
        return this.#getValue("network") === "egress" ? countWords(hosts, "listed host") : form.querySelector('[name="network"]:checked + span > :first-child')?.textContent.trim() ?? "";
      }
      case "data": return `${countWords(form.querySelectorAll('[name="env_name"]').length, "variable")}, ${countWords(getChecked("secrets").length, "secret")}`;
      case "input": return this.#getValue("input_text").replace(/\s+/g, " ").slice(0, 60) || "none";
      case "limits": return LIMITS.filter((name) => this.#getValue(name)).map((name) => WORDS[name](Number(this.#getValue(name)) || this.#getValue(name))).join(" · ") || "as the profile";
      case "expected": {
        const given = [...form.querySelectorAll("[data-expected]")].filter((field) => field.value.trim()).length;
        return given ? countWords(given, "deadline") : "none";
      }
      case "image": return this.#getValue("image") || "default";
      case "order": return [this.#getValue("queue") || "default", form.elements.priority?.selectedOptions[0]?.textContent.trim()].filter(Boolean).join(" · ");
      case "logs": return [this.#getValue("streams"), form.elements.read_only_root.checked ? "root read-only" : "root writable"].filter(Boolean).join(" · ");
      default: return "";
    }
  }

  /** The seconds of the timeout in hours and minutes. */
  #showTimeout() {
    const seconds = Number(this.#getValue("timeout_seconds"));
    const place = document.getElementById("timeout-words");
    if (place) place.textContent = seconds >= 60 && seconds <= 86_400 ? `= ${formatSpan(seconds)}` : "";
  }

  /** What a run gets: the job's own value, or the profile's, and whether it is allowed. */
  #showEffective() {
    const profile = this.profiles[this.#getValue("profile")];
    if (!profile) return;
    const problems = [];
    const parts = LIMITS.map((name) => {
      const own = this.#getValue(name);
      const value = Number(own || profile[name]);
      const [low, high] = [Number(this.bounds[name].low), Number(this.bounds[name].high)];
      if (own && !(value >= low && value <= high)) problems.push(`${WORDS[name](value)}: allowed are ${low} to ${formatNumber(high)}`);
      return own ? `${WORDS[name](value)} (own)` : WORDS[name](value);
    });
    const text = problems.length ? `Not allowed: ${problems.join("; ")}.` : `Each run gets at most ${parts.join(", ")}.`;
    if (this.effective.textContent !== text) this.effective.textContent = text;
    this.effective.classList.toggle("err", problems.length > 0);
  }
}
