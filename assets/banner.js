// The line above the lanes: what is seen here, who is before you, what went wrong and what to do about it.
// Its room is always kept, so that a message moves nothing.

import { el, icon, plural } from "./dom.js";
import { INTRO, STATUS } from "./words.js";

const SEEN = "unmask-intro";

/** `traces()` are those of the lanes that are shown; `ends()` says what became of the runs of this go: `[{letter, end}]`. */
export function create(root, { traces, ends, clock, announce }) {
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
    tell(kind, words);
  }

  function tell(kind, words) {
    if (kind === "bad") announce.now(words); else announce.tell(words);
  }

  /** Nothing new to say: what went wrong, else an explanation of the picture, else what run this is. */
  function rest() {
    const started = traces().filter((trace) => trace.start), trouble = troubleOf(ends());
    const recorded = started.every((trace) => trace.start.run === "example");
    if (asked) put("intro", INTRO);
    else if (trouble) put(trouble.kind, trouble.words);
    else if (recorded && !remembered()) put("intro", INTRO);
    else put("rest", recorded ? STATUS.recorded : started.some((trace) => trace.live) ? STATUS.live : STATUS.finished);
  }

  return {
    rest,
    /** The slow showing has come to its end. */
    shown() { if (replaying) rest(); },
    showIntro() { asked = true; rest(); },
    queued(ahead, wait) { show("wait", `${plural(ahead, "run")} before yours${wait ? `, about ${plural(Math.ceil(wait), "second")}` : ""}. It starts by itself; Stop takes it back.`); },
    /** A run has ended: what `ends()` says of it stays, whatever becomes of the run beside it. */
    ended(end, elapsed, slowly) {
      rest();
      const own = troubleOf(ends().filter((item) => item.end === end));
      if (own) tell(own.kind, own.words);
      else if (slowly && !troubleOf(ends())) {
        const runs = ends().length > 1 ? "runs" : "run";
        show("wait", `The ${runs} took ${elapsed.toFixed(2)} s, too fast to watch. Shown again slowly.`, { label: "Go to the end", run: () => clock.toEnd() });
        replaying = true;
      }
    },
    gap() { show("wait", "Some steps got lost on the way. Fetching them again …"); },
    offline() { show("bad", "The connection to the server is lost. What has arrived stays here.", { label: "Reload", run: () => location.reload() }); },
    none(words) { show("wait", words); },
  };
}

const SAYS = {
  error: ({ message }) => `The run stopped: ${message || "an error in the decoder."} What it wrote so far stays here.`,
  cancelled: ({ message, totals }) => message || `Stopped by you after ${plural(totals.steps, "step")}. What it wrote so far stays here.`,
  budget: ({ message }) => message || "The run reached its limit of forward passes. What it wrote so far stays here.",
};

/** What did not go to its end, as `{kind, words}`, a sentence per lane; null when all is well. */
export function troubleOf(ends) {
  const stopped = ends.filter(({ end }) => SAYS[end.reason]);
  if (!stopped.length) return null;
  const kind = stopped.some(({ end }) => end.reason === "error") ? "bad" : "wait";
  if (stopped.length > 1 && stopped.every(({ end }) => end.reason === "cancelled" && !end.message)) {
    const steps = stopped.map(({ end }) => end.totals.steps);
    return { kind, words: `Both runs stopped by you, after ${steps[0]} and ${plural(steps[1], "step")}. What they wrote so far stays here.` };
  }
  return { kind, words: stopped.map(({ letter, end }) => `${letter ? `${letter}: ` : ""}${SAYS[end.reason](end)}`).join(" ") };
}
