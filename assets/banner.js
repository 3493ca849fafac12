// Lines above the lane: what is seen here, who is before you, what went wrong and what to do about it.

import { el, icon, plural } from "./dom.js";
import { INTRO } from "./words.js";

const SEEN = "unmask-intro";

export function create(root, { clock, announce }) {
  const intro = el("div", { class: "banner intro" }, el("p", { text: INTRO }),
    el("button", { type: "button", class: "tool", "aria-label": "Hide this explanation", onclick: hide }, icon("close")));
  const message = el("div", { class: "banner", hidden: true }, el("p"), el("button", { type: "button", class: "button", hidden: true }));
  root.append(intro, message);
  intro.hidden = remembered();

  function hide() {
    intro.hidden = true;
    try { localStorage.setItem(SEEN, "hidden"); } catch { /* storage may be switched off: hidden until the next visit */ }
  }

  function remembered() {
    try { return localStorage.getItem(SEEN) === "hidden"; } catch { return false; }
  }

  function show(kind, text, action = null) {
    message.className = `banner ${kind}`;
    message.firstChild.textContent = text;
    const button = message.lastChild;
    button.hidden = !action;
    button.textContent = action?.label ?? "";
    button.onclick = action?.run ?? null;
    message.hidden = false;
    if (kind === "bad") announce.now(text); else announce.say(text);
  }

  return {
    clear() { message.hidden = true; },
    showIntro() { intro.hidden = false; },
    queued(ahead) { show("wait", `${plural(ahead, "run")} before yours. It starts by itself; Stop takes it back.`); },
    refused(event) {
      const parts = (event.problems ?? []).map((problem) => problem.message);
      show("bad", [event.message, ...parts].filter(Boolean).join(" ") || "This request cannot be run.");
    },
    ended(end, elapsed, replaying) {
      const answers = {
        error: ["bad", `The run stopped: ${end.message || "an error in the decoder."} What it wrote so far stays here.`],
        cancelled: ["wait", `Stopped by you after ${plural(end.totals.steps, "step")}. What it wrote so far stays here.`],
        budget: ["wait", end.message || "The run reached its limit of forward passes. What it wrote so far stays here."],
      };
      if (answers[end.reason]) show(...answers[end.reason]);
      else if (replaying) show("wait", `The run took ${elapsed.toFixed(2)} s, too fast to watch. Shown again slowly.`, { label: "Go to the end", run: () => clock.seek(Infinity) });
      else message.hidden = true;
    },
    gap() { show("wait", "Some steps got lost on the way. Fetching them again …"); },
    offline() { show("bad", "The connection to the server is lost. What has arrived stays here.", { label: "Reload", run: () => location.reload() }); },
    none(text) { show("wait", text); },
  };
}
