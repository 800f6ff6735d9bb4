// The icons that templates use; each becomes a symbol in sprite.svg.
export const ICONS = [
  "adjustments", "alert-triangle", "arrow-back-up", "arrow-bar-to-down", "arrow-down", "arrow-merge", "ban", "bell", "bolt", "braces", "brand-nodejs",
  "brand-python", "calendar-clock", "calendar-off", "check", "chevron-down", "chevron-left", "chevron-right", "chevron-up", "circle-check", "circle-dashed", "circle-x", "clock", "clock-exclamation", "clock-off", "clock-x", "cloud", "cloud-download",
  "copy", "device-floppy", "download", "edit", "filter", "git-commit", "history", "home", "help", "hourglass", "info-circle", "key", "keyboard", "list-details",
  "loader-2", "lock", "logout", "maximize", "menu-2", "minimize", "moon", "photo", "pin", "player-pause", "player-play", "player-stop", "player-track-next",
  "plug-x", "plus", "refresh", "search", "server", "shield-check", "sun", "sun-moon", "terminal-2", "text-wrap", "trash",
  "command", "users",
  "user-circle", "wifi-off", "world", "world-off", "x", "checkup-list", "external-link", "git-compare", "indent-increase", "test-pipe", "user-plus",
];
