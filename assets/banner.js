// The line above the lane: what is seen here, who is before you, what went wrong and what to do about it.
// Its room is always kept, so that a message moves nothing.

import { el, icon, plural } from "./dom.js";
import { INTRO, STATUS } from "./words.js";

const SEEN = "unmask-intro";

export function create(root, { trace, clock, announce }) {
  const text = el("p"), button = el("button", { type: "button", class: "button" });
  const close = el("button", { type: "button", class: "tool", "aria-label": "Hide this explanation", onclick: hide }, icon("close"));
  const line = el("div", { class: "banner" }, text, button, close);
  let asked = false, replaying = false;
  root.append(line);
  rest();

  function hide() {
    asked = false;
    try { localStorage.setItem(SEEN, "hidden"); } catch { /* storage may be switched off: hidden until the next visit */ }
    rest();
  }

  function remembered() {
    try { return localStorage.getItem(SEEN) === "hidden"; } catch { return false; }
  }

  function put(kind, words, action = null) {
    line.className = `banner ${kind}`;
    text.textContent = words;
    button.hidden = !action;
    button.textContent = action?.label ?? "";
    button.onclick = action?.run ?? null;
    close.hidden = kind !== "intro";
    replaying = false;
  }

  function show(kind, words, action = null) {
    put(kind, words, action);
    if (kind === "bad") announce.now(words); else announce.tell(words);
  }

  /** Nothing special to say: explain the picture, or say what run this is. */
  function rest() {
    const recorded = !trace.start || trace.start.run === "example";
    if (asked || (recorded && !remembered())) put("intro", INTRO);
    else put("rest", recorded ? STATUS.recorded : trace.live ? STATUS.live : STATUS.finished);
  }

  return {
    rest,
    /** The slow showing has come to its end. */
    shown() { if (replaying) rest(); },
    showIntro() { asked = true; rest(); },
    queued(ahead, wait) { show("wait", `${plural(ahead, "run")} before yours${wait ? `, about ${plural(Math.ceil(wait), "second")}` : ""}. It starts by itself; Stop takes it back.`); },
    /** A run has ended; `letter` names its lane where there are two. */
    ended(end, elapsed, slowly, letter) {
      const which = letter ? `${letter}: ` : "";
      const answers = {
        error: ["bad", `${which}The run stopped: ${end.message || "an error in the decoder."} What it wrote so far stays here.`],
        cancelled: ["wait", `${letter ? "Both runs stopped" : "Stopped"} by you after ${plural(end.totals.steps, "step")}. What ${letter ? "they" : "it"} wrote so far stays here.`],
        budget: ["wait", which + (end.message || "The run reached its limit of forward passes. What it wrote so far stays here.")],
      };
      if (answers[end.reason]) show(...answers[end.reason]);
      else if (slowly) {
        show("wait", `The ${letter ? "runs" : "run"} took ${elapsed.toFixed(2)} s, too fast to watch. Shown again slowly.`, { label: "Go to the end", run: () => clock.toEnd() });
        replaying = true;
      } else rest();
    },
    gap() { show("wait", "Some steps got lost on the way. Fetching them again …"); },
    offline() { show("bad", "The connection to the server is lost. What has arrived stays here.", { label: "Reload", run: () => location.reload() }); },
    none(words) { show("wait", words); },
  };
}
