// Guided lessons: a panel beside the player that runs prepared requests, points at what to see, and asks.

import { el, icon, setText } from "./dom.js";
import { writeLesson } from "./link.js";

const TYPED = "input, textarea, select, [contenteditable], [role=textbox], [role=listbox]";

export function createLessons({ root, base, trace, opener, load, note }) {
  let all = null, lesson = null, at = 0, turn = 0;
  const runs = new Map(); // a request as text -> the id of the run that it gave
  const answers = new Map(); // "lesson/step" -> the choices tried
  const place = el("p", { class: "lesson-place" }), title = el("h2"), heading = el("h3", { tabindex: "-1" });
  const body = el("div", { class: "lesson-text" }), state = el("p", { class: "lesson-state", role: "status" });
  const again = el("button", { type: "button", class: "quiet", text: "Point there again", onclick: () => show(false) });
  const ask = el("div", { class: "lesson-ask" });
  const back = el("button", { type: "button", class: "button", title: "Page Up", onclick: () => go(at - 1) }, icon("back"), el("span", { text: "Back" }));
  const next = el("button", { type: "button", class: "button", title: "Page Down", onclick: forward }, el("span", { text: "Next" }), icon("forward"));
  const stage = el("button", { type: "button", class: "quiet", text: "Full screen", onclick: present });
  const form = el("button", { type: "button", class: "quiet", "aria-expanded": "false", text: "Show the form", onclick: () => showForm(!document.body.classList.contains("with-form")) });
  const panel = el("section", { class: "lesson", "aria-label": "Lesson", hidden: true }, el("div", { class: "lesson-inner" },
    el("header", {}, el("div", {}, place, title), el("button", { type: "button", class: "tool", "aria-label": "Close the lesson", title: "Close the lesson", onclick: close }, icon("close"))),
    el("div", { class: "lesson-page" }, heading, body, el("div", { class: "lesson-line" }, state, again), ask),
    el("div", { class: "lesson-foot" }, back, next),
    el("div", { class: "lesson-tools" }, stage, form, el("button", { type: "button", class: "quiet", text: "All lessons", onclick: menu }))));
  const list = el("ol", { class: "lesson-list" });
  const sheet = el("dialog", { class: "sheet lessons", "aria-label": "Lessons" }, el("h3", { text: "Lessons" }),
    el("p", { text: "Each takes a few minutes. The runs are made here, on the model that comes with the page." }), list,
    el("form", { method: "dialog" }, el("button", { class: "button", text: "Close" })));
  root.prepend(panel);
  root.append(sheet);

  async function fetched() {
    if (all) return all;
    const answer = await fetch(new URL("lessons", base), { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`lessons: ${answer.status}`);
    all = (await answer.json()).lessons;
    list.replaceChildren(...all.map((item) => el("li", {}, el("button", { type: "button", class: "lesson-item", onclick: () => { sheet.close(); open(item.name, 1); } },
      el("b", { text: item.title }), el("span", { text: item.summary })))));
    return all;
  }

  async function menu() {
    try { await fetched(); sheet.showModal(); } catch { note("The lessons could not be fetched: the connection to the server is lost.", "bad"); }
  }

  /** Open a lesson at a step, counted from 1. */
  async function open(name, step) {
    try { await fetched(); } catch { note("The lessons could not be fetched: the connection to the server is lost.", "bad"); return; }
    const found = all.find((item) => item.name === name);
    if (!found) { note(`There is no lesson “${name}” here. These are there: ${all.map((item) => item.name).join(", ")}.`, "bad"); return; }
    lesson = found;
    panel.hidden = false;
    root.classList.add("taught");
    document.body.classList.add("in-lesson");
    go(Math.max(0, Math.min(found.steps.length - 1, step - 1)));
  }

  function close() {
    lesson = null;
    turn += 1;
    panel.hidden = true;
    root.classList.remove("taught");
    document.body.classList.remove("in-lesson");
    showForm(false);
    if (document.fullscreenElement) document.exitFullscreen();
    history.replaceState(null, "", location.pathname + location.search);
    document.getElementById("lessons-open")?.focus();
  }

  function forward() {
    if (at < lesson.steps.length - 1) return go(at + 1);
    const following = all[all.indexOf(lesson) + 1];
    if (following) open(following.name, 1); else menu();
  }

  function go(step) {
    if (!lesson || step < 0 || step >= lesson.steps.length) return;
    at = step;
    const page = lesson.steps[at], last = at === lesson.steps.length - 1;
    history.replaceState(null, "", writeLesson(lesson.name, at + 1));
    setText(place, `Lesson ${all.indexOf(lesson) + 1} of ${all.length} · step ${at + 1} of ${lesson.steps.length}`);
    setText(title, lesson.title);
    setText(heading, page.title);
    body.replaceChildren(...page.text.map((text) => el("p", { text })));
    question(page.question);
    back.disabled = at === 0;
    setText(next.firstChild, !last ? "Next" : all.indexOf(lesson) < all.length - 1 ? "Next lesson" : "All lessons");
    heading.focus({ preventScroll: true });
    panel.querySelector(".lesson-inner").scrollTop = 0;
    show(true);
  }

  /** The run of this step, or of the nearest one before it that has one. */
  function shown() {
    return lesson.steps.slice(0, at + 1).findLast((page) => page.run)?.run ?? null;
  }

  async function show(fresh) {
    const run = shown(), mine = ++turn;
    again.hidden = !run;
    if (!run) return setText(state, "");
    const key = JSON.stringify(run.request), known = runs.get(key);
    const settle = (stands) => {
      if (mine !== turn) return;
      if (stands) runs.set(key, trace.start.run);
      setText(state, stands ? where(run.view) : "This run is not there: the message above says why.");
    };
    const here = known && (trace.start?.run === known || await load(known).catch(() => false));
    if (mine !== turn) return;
    if (here) { opener.show(run.view); return settle(true); }
    if (fresh || !opener.busy) setText(state, `Running on ${run.request.model} …`);
    opener.open({ request: run.request, view: run.view }, settle);
  }

  function where({ t, a, play }) {
    const step = t ?? trace.steps, place = a === null ? "" : `, position ${trace.start.prompt_length + a} pinned`;
    return play ? "Playing from the start." : `Shown: step ${step}${place}.`;
  }

  function question(asked) {
    ask.replaceChildren();
    if (!asked) return;
    const key = `${lesson.name}/${at}`, tried = answers.get(key) ?? new Set();
    answers.set(key, tried);
    const said = el("p", { class: "lesson-said", role: "status" });
    const buttons = asked.choices.map((choice, index) => el("button", { type: "button", class: "lesson-choice", text: choice.text, onclick: () => { tried.add(index); mark(index); } }));
    const mark = (picked) => {
      buttons.forEach((button, index) => {
        const { right } = asked.choices[index];
        button.dataset.tried = tried.has(index) ? (right ? "right" : "wrong") : "";
        button.setAttribute("aria-pressed", String(index === picked));
      });
      const choice = asked.choices[picked];
      said.className = `lesson-said ${choice.right ? "right" : "wrong"}`;
      said.textContent = `${choice.right ? "✓ Right." : "✗ Not quite."} ${choice.why}`;
    };
    ask.append(el("div", { role: "group", "aria-label": asked.ask }, el("h4", { text: asked.ask }), ...buttons), said);
    if (tried.size) mark([...tried].at(-1));
  }

  function showForm(on) {
    document.body.classList.toggle("with-form", on);
    setText(form, on ? "Hide the form" : "Show the form");
    form.setAttribute("aria-expanded", String(on));
    if (on) document.getElementById("request")?.scrollIntoView({ block: "start" });
  }

  function present() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.getElementById("stage").requestFullscreen().catch(() => note("This browser does not allow full screen here.", "bad"));
  }

  document.addEventListener("fullscreenchange", () => {
    const on = document.fullscreenElement !== null;
    document.body.classList.toggle("presenting", on);
    setText(stage, on ? "Leave full screen" : "Full screen");
  });
  document.addEventListener("keydown", (event) => {
    if (!lesson || sheet.open || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.target.closest?.(`${TYPED}, dialog[open], [popover]`)) return;
    if (event.key === "PageDown") { event.preventDefault(); forward(); }
    if (event.key === "PageUp") { event.preventDefault(); go(at - 1); }
  });

  return { open, menu, get shown() { return lesson !== null; }, close };
}
