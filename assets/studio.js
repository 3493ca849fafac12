// What stands around the player: links, lessons, kept runs. One object with the interface of a view.
// Each is fetched when it is first wanted: a page that only runs is lighter.

import { el, icon } from "./dom.js";

const BASE = new URL("../", import.meta.url);

export function createStudio({ root, traces, clock, select, load, second }) {
  const [trace] = traces, note = noteBar(root), parts = { root, base: BASE, trace, clock, select, load, note: note.say };
  const share = once(async () => {
    const part = (await import("./share.js")).createShare({ traces, clock, select, load, second, note, lessons: { open: (name, step) => teach((known) => known.open(name, step)), leave } });
    opener = part.opener;
    return part;
  });
  const keep = once(async () => (await import("./keep.js")).createKeep(parts));
  const lessons = once(async () => (await import("./lessons.js")).createLessons({ ...parts, opener: (await share()).opener }));
  const unreachable = () => note.say("This part of the page could not be fetched: the connection to the server is lost.", "bad");
  const deed = (part, text, title, act) => el("button", { type: "button", class: "button", text, title, onclick: () => part().then(act, unreachable) });
  const ofRun = [
    deed(share, "Share", "Copy a link to this request, step and selection", (part) => part.copyLink()),
    deed(keep, "Save", "Keep this run in this browser", (part) => part.save()),
    deed(keep, "Export", "Take this run away as a file or picture", (part) => part.exporting()),
  ];
  const runs = deed(keep, "Runs", "Runs kept in this browser; open one from a file or text", (part) => part.show());
  // A run exported as a page of its own has no server to ask: it plays, and nothing else.
  const alone = document.getElementById("unmask-run") !== null;
  const deeds = el("div", { class: "deeds", role: "group", "aria-label": "This run", hidden: alone }, ...ofRun, runs);
  const banners = root.querySelector(".banners");
  const top = el("div", { class: "topline" });
  banners.before(note.element, top);
  top.append(banners, deeds);
  let lesson = null, opener = null; // the lessons and what opens links, once one was wanted

  function leave() { if (lesson?.shown) lesson.close(); }
  function follow() { if (location.hash.includes("=")) share().then((part) => part.follow()).catch(unreachable); }
  function teach(act) { lessons().then((part) => { lesson = part; return act(part); }).catch(unreachable); }

  document.addEventListener("click", (event) => { if (event.target.closest("#lessons-open")) teach((part) => part.menu()); });
  addEventListener("hashchange", follow);
  window.unmask.answered = async (answer) => (await share()).opener.answered(answer);
  window.unmask.address = async () => (await share()).address();
  if (!alone) follow();
  return { draw: (t) => { for (const button of ofRun) button.disabled = !trace.start; opener?.draw(t); }, destroy() { removeEventListener("hashchange", follow); } };
}

/** Return a function that does `make` once; after a failure it tries again. */
function once(make) {
  let made = null;
  return () => (made ??= make().catch((error) => { made = null; throw error; }));
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
