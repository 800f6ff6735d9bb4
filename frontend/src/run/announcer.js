// Shows the status line and short messages, and announces them to screen readers at a limited rate.

const ANNOUNCE_INTERVAL_MS = 10_000; // between announcements that can wait
const MESSAGE_MS = 4000;
const ICONS = { good: "circle-check", live: "circle-check", wait: "wifi-off", gap: "alert-triangle" };

export class Announcer {
  /** `status`, `toast` and `say` are elements; `say` is a polite live region. */
  constructor({ status, toast, say, sprite }) {
    Object.assign(this, { statusElement: status, toastElement: toast, region: say, sprite });
    this.pending = { now: null, later: null };
  }

  /** `isUrgent`: announce at once. `isMuted`: do not announce, only a number has changed. */
  showStatus({ kind, text }, isUrgent, isMuted = false) {
    if (this.statusElement.dataset.kind !== kind) {
      this.statusElement.dataset.kind = kind;
      this.statusElement.querySelector("use").setAttribute("href", `${this.sprite}#${ICONS[kind]}`);
    }
    const label = this.statusElement.querySelector("span");
    const hasChanged = label.textContent !== text;
    if (hasChanged) label.textContent = text;
    if (isUrgent) this.pending.later = null; // it is older
    if ((hasChanged && !isMuted) || isUrgent) this.#queueAnnouncement(text, isUrgent ? "now" : "later");
  }

  showMessage(text) {
    this.toastElement.textContent = text;
    clearTimeout(this.messageTimer);
    this.messageTimer = setTimeout(() => { this.toastElement.textContent = ""; }, MESSAGE_MS);
    this.#queueAnnouncement(text, "now");
  }

  announceNow(text) { this.#queueAnnouncement(text, "now"); }

  /** An announcement that can wait never delays an urgent one, and comes after it. */
  #queueAnnouncement(text, urgency) {
    this.pending[urgency] = text;
    this.#scheduleAnnouncement();
  }

  #scheduleAnnouncement() {
    const urgency = this.pending.now === null ? "later" : "now";
    clearTimeout(this.timer);
    if (this.pending[urgency] === null) return;
    const wait = urgency === "now" ? 0 : ANNOUNCE_INTERVAL_MS - (performance.now() - (this.announcedAt ?? 0));
    this.timer = setTimeout(() => {
      const text = this.pending[urgency];
      this.pending[urgency] = null;
      this.announcedAt = performance.now();
      if (this.region.textContent !== text) this.region.textContent = text;
      this.#scheduleAnnouncement();
    }, Math.max(0, wait));
  }
}
