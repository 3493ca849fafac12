// Opening a request that was not typed: a link's or a lesson's. The fields are filled by the page's own
// listener, which also checks the request; then it runs, or its kept run is shown, at the wanted view.

import { layersOf } from "./legend.js";
import { short } from "./link.js";
import { UNITS } from "./clock.js";

const AGAIN_MS = 2000;

export function createOpener({ traces, clock, select, load, second, note }) {
  const [trace, beside] = traces;
  let part = null, unsent = null, pending = null, number = 0;

  /** Open `{request, run, second, vs, weights, view, notices}` (`second` and `vs` are lane B's, if any); `then` is told whether the view stands, once that is known. */
  function open(wanted, then = null) {
    if (pending) drop();
    pending = { ...wanted, then, n: ++number, before: traces.map(({ start }) => start?.run ?? null), state: "asked", replays: clock.autoReplay };
    clock.autoReplay = false;
    if (part) send(); else unsent = pending;
  }

  function send() {
    unsent = null;
    second.set(null); // what lane B is, if there is one, comes with the answer
    part.open({ n: pending.n, request: pending.request, run: pending.run ?? null, second: pending.second ?? null, vs: pending.vs ?? null });
  }

  /** Take the listener's answer: the fields are filled by now. */
  async function answered(answer) {
    const wanted = pending;
    if (!wanted || answer?.n !== wanted.n) return;
    const notices = [...(wanted.notices ?? []), ...answer.notices];
    if (notices.length) note(notices.join(" "), "bad");
    if (!answer.runs) return drop();
    wanted.pair = answer.second ? await second.set(answer.second) : answer.second_kept;
    if (pending !== wanted) return;
    wanted.state = "begun";
    const shown = await showKept(wanted, answer).catch(() => false);
    if (pending === wanted && !shown) press(wanted);
  }

  /** Show the run that is kept, of a comparison both; false when something has to be run. */
  async function showKept({ run, vs, pair }, { kept, second_kept }) {
    if (!kept || (pair && !second_kept)) return false;
    return await load(run) && (!pair || await load(vs, 1));
  }

  /** Press Run: once the run under way, which is stopped, lets go of it. */
  async function press(wanted) {
    const button = document.getElementById("run");
    if (button.disabled) document.getElementById("stop")?.click();
    await until(button, () => !button.disabled);
    if (pending !== wanted) return;
    // The library drops a press while it still closes the run before: press again. One that it has taken is not taken twice.
    do button.click(); while (!(await until(button, () => button.disabled, AGAIN_MS)) && pending === wanted);
    await until(button, () => !button.disabled);
    if (pending === wanted && [wanted.before[0], "example"].includes(trace.start?.run ?? null)) {
      drop();
      note("The request was filled in and cannot be run as it is: the reason stands at its field.", "bad");
    }
  }

  function drop(stands = false) {
    const { then, replays } = pending ?? {};
    if (pending) clock.autoReplay = replays;
    pending = null;
    then?.(stands);
  }

  /** Once the run is there as far as the view needs it, show that view. */
  function draw() {
    if (pending?.state !== "begun" || !trace.start) return;
    const { before, view = {}, run, vs, pair, weights } = pending;
    const there = ({ start }, at, wanted) => start !== null && (start.run === wanted || (start.run !== before[at] && start.run !== "example")); // the example may still be on its way
    if (!there(trace, 0, run)) return;
    if (pair && !(clock.shown === 2 && there(beside, 1, vs) && beside.end)) return;
    if (!trace.end && !(view.t !== null && view.t !== undefined && trace.steps >= view.t)) return;
    const { weights_hash: here, name } = trace.start.model;
    if (weights && weights !== here) note(`This link was made with other weights: ${name} had ${weights}, here it has ${here}. What you see may differ.`, "bad");
    show(view);
    drop(true);
  }

  /** Show a view of the run that is there; `a` is a position counted from the start of the answer. */
  function show({ t = null, a = null, p = a === null ? null : trace.start.prompt_length + a, score = null, unit = null, play = false }) {
    const step = t ?? trace.steps, missing = [];
    if (step > trace.steps) missing.push(`step ${step} (the run has ${trace.steps})`);
    clock.setUnit(UNITS.includes(unit) ? unit : "step");
    if (unit && !UNITS.includes(unit)) missing.push(`unit “${short(unit)}”`);
    clock.pause();
    clock.seek(step);
    if (score) {
      if (layersOf(trace).some((layer) => layer.name === score)) select.setLayer(score);
      else missing.push(`colour “${short(score)}”`);
    }
    select.clear();
    if (p !== null) {
      const cell = trace.order(clock.t)[p];
      if (cell === undefined || p < trace.start.prompt_length) missing.push(`position ${p} of the answer`);
      else select.togglePin(cell);
    }
    if (missing.length) note(`This run has no ${missing.join(", no ")}; the rest of the view is as the link says.`, "bad");
    if (play) clock.play();
  }

  function attach(given) { part = given; if (unsent) send(); }
  (window.openerParts ?? []).forEach(attach);
  window.openerParts = { push: attach };

  return { open, answered, show, draw, destroy() { drop(); }, get busy() { return pending !== null; } };
}

/** Resolve with true when `met` holds, asked whenever an attribute of `node` changes; with false after `ms`, if given. */
function until(node, met, ms = 0) {
  return new Promise((resolve) => {
    if (met()) return resolve(true);
    const done = (held) => { watcher.disconnect(); resolve(held); };
    const watcher = new MutationObserver(() => { if (met()) done(true); });
    watcher.observe(node, { attributes: true });
    if (ms) setTimeout(() => done(met()), ms);
  });
}
