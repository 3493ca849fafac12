// What a visitor sees while an explanation is computed, and when it cannot be: words, never a bare spinner.

import { el, setText } from "./dom.js";

const PATIENCE_MS = 400; // an answer that comes sooner needs no words

export function createWaiting(root) {
  const line = el("p", { class: "why-wait", role: "status" });
  const message = el("span"), remedy = el("span", { class: "remedy" });
  const refusal = el("p", { class: "why-refusal", role: "alert", hidden: true }, message, remedy);
  root.append(line, refusal);
  let timer = 0;

  return {
    begin(text) {
      clearTimeout(timer);
      refusal.hidden = true;
      timer = setTimeout(() => setText(line, text), PATIENCE_MS);
    },
    say(text) { clearTimeout(timer); setText(line, text); },
    done() { clearTimeout(timer); setText(line, ""); refusal.hidden = true; },
    refuse(error) {
      clearTimeout(timer);
      setText(line, "");
      setText(message, error.message);
      setText(remedy, error.remedy ? ` ${error.remedy}` : "");
      refusal.hidden = false;
    },
  };
}
