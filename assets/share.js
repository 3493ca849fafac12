// Links of what is shown, made and followed: fetched with the first link that is shared, opened or asked for by a lesson.

import { readLink, writeLink } from "./link.js";
import { createOpener } from "./open.js";

/** `note` is the bar that says what became of a link; `lessons` holds `open(name, step)` and `leave()`. */
export function createShare({ traces, clock, select, load, second, note, lessons }) {
  const [trace, beside] = traces, opener = createOpener({ traces, clock, select, load, second, note: note.say });
  const two = () => clock.shown === 2 && beside.start !== null;

  /** The address of what is shown now, in both lanes: of a branch only its run, which no request can repeat from the start. */
  function address() {
    const { start } = trace, { request } = start;
    const typed = request.prompt !== null && request.prompt !== undefined;
    const repeated = {
      model: start.model.name, decoder: request.decoder, prompt: typed ? request.prompt : null,
      ids: typed ? null : start.canvas.slice(0, start.prompt_length).join(", "),
      length: request.length, seed: request.seed, template: start.fixed.length ? templateOf(trace) : null, settings: request.settings,
    };
    return location.href.split("#")[0] + writeLink({
      request: isBranch(trace) ? {} : repeated,
      second: two() && !isBranch(trace) && !isBranch(beside) ? secondOf(beside.start) : null,
      vs: two() ? beside.start.run : null,
      weights: start.model.weights_hash,
      run: start.run === "example" ? null : start.run,
      view: { t: clock.t, p: select.pin === null ? null : trace.position(select.pin, clock.t), score: select.layer, unit: clock.unit },
    });
  }

  const isBranch = ({ start }) => (start.request.forks ?? []).length > 0;
  const secondOf = ({ model, request }) => ({ model: model.name, decoder: request.decoder, settings: request.settings });

  async function copyLink() {
    if (!trace.start) return;
    const link = address(), what = `step ${clock.t}${select.pin === null ? "" : ", the pinned token"} and the colours`;
    try {
      await navigator.clipboard.writeText(link);
      const branched = isBranch(trace) || (two() && isBranch(beside));
      note.say(`Link copied. It opens this ${two() ? "comparison" : branched ? "branch" : "request"} at ${what}; ${branched ? "it works as long as this server keeps the run." : "what is not kept any more is run again."}`);
    } catch {
      note.offer("The clipboard is closed to this page. Copy the link from here:", link);
    }
  }

  /** Follow the address: a run's link, a lesson's, or nothing. */
  function follow() {
    const link = readLink(location.hash);
    if (link.kind === "refused") note.say(link.notices.join(" "), "bad");
    else if (link.kind === "lesson") lessons.open(link.lesson, link.step);
    else if (link.kind === "run") {
      lessons.leave();
      note.say("Opening the link: its request is filled in and run.");
      opener.open(link, note.settle);
    }
  }

  return { opener, address, copyLink, follow };
}

/** The answer with blanks of a run in which tokens were fixed: what is typed as such a template. */
function templateOf(trace) {
  const fixed = new Set(trace.start.fixed), pieces = [];
  for (const cell of trace.response(0)) {
    const last = pieces.at(-1);
    if (fixed.has(cell)) pieces.push(trace.text(trace.id(cell, 0)).replace(/[\\▢_]/g, "\\$&"));
    else if (typeof last === "number") pieces[pieces.length - 1] += 1;
    else pieces.push(1);
  }
  return pieces.map((piece) => (typeof piece === "string" ? piece : piece === 1 ? "▢" : `▢{${piece}}`)).join("");
}
