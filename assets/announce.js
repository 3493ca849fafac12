// One polite live region: at most one message in two seconds, the newest wins. Errors are assertive.

import { el } from "./dom.js";

const EVERY_MS = 2000;

export function createAnnouncer(root) {
  const polite = el("p", { class: "unseen", role: "status", "aria-live": "polite" });
  const assertive = el("p", { class: "unseen", role: "alert" });
  root.append(polite, assertive);
  let spoken = -Infinity, waiting = null, timer = 0;

  function speak() {
    timer = 0;
    spoken = performance.now();
    polite.textContent = waiting;
  }

  return {
    say(text) {
      if (text === waiting) return;
      waiting = text;
      timer ||= setTimeout(speak, Math.max(0, spoken + EVERY_MS - performance.now()));
    },
    now(text) { assertive.textContent = text; },
  };
}
