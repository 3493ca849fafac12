// What stands around the player: links, lessons, kept runs. One object with the interface of a view.
// Lessons and kept runs are fetched when they are first wanted: a page that only runs is lighter.

import { el, icon } from "./dom.js";
import { readLink, writeLink } from "./link.js";
import { createOpener } from "./open.js";

const BASE = new URL("../", import.meta.url);

export function createStudio({ root, traces, clock, select, load, second }) {
  const [trace, beside] = traces;
  const note = noteBar(root);
  const opener = createOpener({ traces, clock, select, load, second, note: note.say });
  const share = el("button", { type: "button", class: "button", text: "Share", title: "Copy a link to this request, step and selection", onclick: copyLink });
  const parts = { root, base: BASE, trace, clock, select, opener, load, note: note.say };
  const keep = once(async () => (await import("./keep.js")).createKeep(parts));
  const lessons = once(async () => (await import("./lessons.js")).createLessons(parts));
  const unreachable = () => note.say("This part of the page could not be fetched: the connection to the server is lost.", "bad");
  const deed = (text, title, act) => el("button", { type: "button", class: "button", text, title, onclick: () => keep().then(act, unreachable) });
  const ofRun = [share, deed("Save", "Keep this run in this browser", (part) => part.save()), deed("Export", "Take this run away as a file or picture", (part) => part.exporting())];
  const runs = deed("Runs", "Runs kept in this browser; open one from a file or text", (part) => part.show());
  // A run exported as a page of its own has no server to ask: it plays, and nothing else.
  const alone = document.getElementById("unmask-run") !== null;
  const deeds = el("div", { class: "deeds", role: "group", "aria-label": "This run", hidden: alone }, ...ofRun, runs);
  const banners = root.querySelector(".banners");
  const top = el("div", { class: "topline" });
  banners.before(note.element, top);
  top.append(banners, deeds);
  let lesson = null; // the lessons, once one was wanted

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
    else if (link.kind === "lesson") teach((part) => part.open(link.lesson, link.step));
    else if (link.kind === "run") {
      if (lesson?.shown) lesson.close();
      note.say("Opening the link: its request is filled in and run.");
      opener.open(link, note.settle);
    }
  }

  function teach(act) { lessons().then((part) => { lesson = part; return act(part); }).catch(unreachable); }

  document.addEventListener("click", (event) => { if (event.target.closest("#lessons-open")) teach((part) => part.menu()); });
  addEventListener("hashchange", follow);
  window.unmask.answered = opener.answered;
  window.unmask.address = address;
  if (!alone) follow();
  return { draw: (t) => { for (const button of ofRun) button.disabled = !trace.start; opener.draw(t); }, destroy() { removeEventListener("hashchange", follow); } };
}

/** Return a function that does `make` once; after a failure it tries again. */
function once(make) {
  let made = null;
  return () => (made ??= make().catch((error) => { made = null; throw error; }));
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

/** A line that says what became of a link or a click; a polite live region. */
function noteBar(root) {
  const text = el("p", { role: "status" }), field = el("input", { readonly: true, "aria-label": "Link", hidden: true });
  const close = el("button", { type: "button", class: "tool", "aria-label": "Close this message", onclick: hide }, icon("close"));
  const element = el("div", { class: "note" }, text, field, close);
  let bad = false;
  element.hidden = true;

  function put(words, kind) {
    bad = kind === "bad";
    element.hidden = false;
    element.className = `note ${kind}`;
    field.hidden = true;
    text.textContent = words;
  }

  function hide() { element.hidden = true; text.textContent = ""; root.querySelector(".deeds button")?.focus(); }

  return {
    element,
    say(words, kind = "") { put(bad && kind === "bad" && !element.hidden ? `${text.textContent} ${words}` : words, kind); },
    /** What was only a sign of progress goes; a warning stays. */
    settle(stands) { if (stands && !bad) { element.hidden = true; text.textContent = ""; } },
    offer(words, link) { put(words, ""); field.hidden = false; field.value = link; field.focus(); field.select(); },
  };
}
