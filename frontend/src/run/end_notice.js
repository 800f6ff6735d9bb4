// "Tell me when it ends": a notification of the browser at the end of the run that the page shows.

const LONGEST_TEXT = 240; // characters; systems cut notifications at about this length

/** Whether this browser shows notifications for a page: it needs HTTPS or localhost; Android needs a service worker. */
export function canNotify() {
  return window.isSecureContext && "Notification" in window && !/Android/.test(navigator.userAgent);
}

function readText(element) {
  return (element?.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, LONGEST_TEXT);
}

/** Shows the button in `#run-acts` while the run is live. The choice holds for this tab, also after a reload. */
export class EndNotice {
  constructor(key) {
    this.key = `cronium-tell-${key}`;
    this.hasAsked = false;
    document.addEventListener("click", (event) => { if (event.target.closest("[data-tell-end]")) this.toggle(); });
    document.body.addEventListener("htmx:oobAfterSwap", (event) => { if (event.detail.target.id === "run-acts") this.update(); });
    this.update();
  }

  get isWanted() { return sessionStorage.getItem(this.key) !== null; }

  async toggle() {
    this.hasAsked = true;
    if (this.isWanted) sessionStorage.removeItem(this.key);
    else if ((await Notification.requestPermission()) === "granted") sessionStorage.setItem(this.key, "yes");
    this.update();
  }

  update() {
    const button = document.querySelector("#run-acts [data-tell-end]");
    if (!button) {
      setTimeout(() => this.tell()); // after the other parts of the page, which have the reason
      return;
    }
    const isBlocked = Notification.permission === "denied";
    button.hidden = isBlocked && !this.hasAsked; // a user who blocks notifications is told only after a click
    button.setAttribute("aria-pressed", String(this.isWanted && !isBlocked));
    button.querySelector("span").textContent = isBlocked ? "Notifications are blocked in this browser" : "Tell me when it ends";
  }

  tell() {
    if (!this.isWanted) return;
    sessionStorage.removeItem(this.key);
    if (Notification.permission !== "granted") return;
    const reason = document.querySelector("#run-reason .failure-text") ?? document.querySelector("#run-reason .note p");
    const note = new Notification(document.title.replace(/ · Cronium$/, ""), { body: readText(reason), tag: this.key });
    note.addEventListener("click", () => { window.focus(); note.close(); });
  }
}
