// One polite live region: at most one message in two seconds. Of progress the newest wins; what the banner
// says is told before it. Errors are assertive.

import { el } from "./dom.js";

const EVERY_MS = 2000;

export function createAnnouncer(root) {
  const polite = el("p", { class: "unseen", role: "status", "aria-live": "polite" });
  const assertive = el("p", { class: "unseen", role: "alert" });
  root.append(polite, assertive);
  let spoken = -Infinity, waiting = null, timer = 0, held = null;

  function speak() {
    timer = 0;
    spoken = performance.now();
    polite.textContent = held ?? waiting;
    if (held !== null) { held = null; if (waiting !== null) timer = setTimeout(speak, EVERY_MS); }
  }

  function soon() { timer ||= setTimeout(speak, Math.max(0, spoken + EVERY_MS - performance.now())); }

  return {
    say(text) {
      if (text === waiting) return;
      waiting = text;
      soon();
    },
    /** A message that progress must not push aside. */
    tell(text) {
      held = text;
      soon();
    },
    /** An error; the same text twice is two messages. */
    now(text) { assertive.textContent = ""; requestAnimationFrame(() => { assertive.textContent = text; }); },
  };
}
