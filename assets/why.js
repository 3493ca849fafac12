// Why this token? A panel with tabs that explain the pinned token: each tab asks for one thing and draws it.
// Another explanation is one module and one line of `TABS`; it is fetched when a token is first explained by it.

import { el, help, probability, quoted, setText } from "./dom.js";
import { createLater } from "./later.js";

/**
 * A tab's module exports `create(root, context)`, which returns `{draw(subject, t), destroy()}`. `draw` is called while
 * the tab is in view and the panel open. `subject` is what is explained: `{run, cell, step, position, token, text, probability}`,
 * the writing of the pinned cell at or before the playhead, else the next one; or null. `context` holds, of the lane in
 * question, `trace`, `select`, `t`, `subject`, `seek(step)`, `redraw()` and `announce`: read them anew, a lane may change.
 */
const TABS = [
  { name: "attribution", title: "Attribution", load: () => import("./attribution.js") },
  { name: "routes", title: "Routes", load: () => import("./flow.js") },
  { name: "believe", title: "Can I believe it?", load: () => import("./believe.js") },
];

const HELP = [
  "A pinned token is explained on the very canvas on which the model chose it: what was masked then is masked here.",
  "“Attribution” says which visible tokens pushed the choice up or down. “Routes” says where, layer by layer, the vector came from that the token was read from. The first is about why this token, the second about where the model looked for it; they may differ.",
];
const HINT = "Click a token of the answer, or press Enter on it, to pin it: this panel then says why it was chosen.";

/** `lane()` is what the views of the lane share in which a token is pinned. */
export function create(root, { lane }) {
  const context = {
    get announce() { return lane().announce; }, get trace() { return lane().trace; }, get select() { return lane().select; },
    get t() { return lane().clock.t; }, get subject() { return subjectAt(context.t); },
    seek(step) { lane().clock.pause(); lane().clock.seek(step); },
    redraw() { draw(); },
  };
  const toggle = el("button", { type: "button", class: "why-toggle", "aria-expanded": "true", onclick: () => setOpen(!open) },
    el("span", { class: "chevron", "aria-hidden": "true" }), el("span", { text: "Why this token?" }));
  const subjectLine = el("p", { class: "why-subject" });
  const tablist = el("div", { class: "why-tabs", role: "tablist", "aria-label": "Ways to explain" });
  const body = el("div", { class: "why-body" });
  const panel = el("section", { class: "panel why-panel", "aria-label": "Why this token?", tabindex: "-1" },
    el("header", { class: "panel-head" }, el("h3", {}, toggle), help("Why this token?", ...HELP), subjectLine), tablist, body);
  root.append(panel);
  // In a narrow window the pinned token's candidates lie over the page: they give way to the panel that is read.
  const sight = new IntersectionObserver(([entry]) => panel.toggleAttribute("data-read", entry.isIntersecting), { rootMargin: "0px 0px -65% 0px" });
  sight.observe(panel);
  let open = true, shown = null;

  const tabs = TABS.map((tab) => {
    const page = el("div", { id: `why-${tab.name}`, class: `why-page why-${tab.name}`, role: "tabpanel", "aria-label": tab.title, hidden: true });
    const button = el("button", {
      type: "button", role: "tab", class: "why-tab", id: `why-tab-${tab.name}`, "aria-controls": page.id, text: tab.title,
      onclick: () => show(tab.name),
    });
    tablist.append(button);
    body.append(page);
    return { ...tab, page, button, later: createLater(page, tab.load, (module) => module.create(page, context), () => draw()) };
  });
  tablist.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move || event.shiftKey) return;
    event.preventDefault();
    const at = tabs.findIndex((tab) => tab.name === shown);
    const next = tabs[(at + move + tabs.length) % tabs.length];
    show(next.name);
    next.button.focus();
  });

  function show(name) {
    shown = name;
    for (const tab of tabs) {
      const chosen = tab.name === name;
      tab.page.hidden = !chosen;
      tab.button.setAttribute("aria-selected", String(chosen));
      tab.button.tabIndex = chosen ? 0 : -1;
    }
    draw();
  }

  function setOpen(on) {
    open = on;
    toggle.setAttribute("aria-expanded", String(on));
    body.hidden = tablist.hidden = !on;
    draw();
  }

  /** The writing that is explained: the last one up to the playhead, else the next. */
  function subjectAt(t) {
    const { trace, select } = context, cell = select.pin;
    if (cell === null || !trace.start || !trace.cells[cell]) return null;
    const now = trace.state(cell, t);
    const step = now.masked ? trace.nextWrite(cell, t) : now.step;
    if (!step) return null;
    const { id, prob } = trace.state(cell, step);
    const text = id === trace.start.eos ? "end of sequence" : trace.text(id);
    return { run: trace.start.run, cell, step, position: trace.position(cell, step), token: id, text, probability: prob };
  }

  function sentence(subject, t) {
    const { trace, select } = context;
    if (!subject && select.pin === null) return HINT;
    if (!subject) return !trace.cells[select.pin] || trace.isMask(select.pin, t) ? "This place is not written in this run so far: there is no choice to explain." : "This token was given, not chosen: there is nothing to explain.";
    const when = subject.step > t ? `, written later, at step ${subject.step}` : `, written at step ${subject.step}`;
    return `${quoted(subject.text)} at position ${subject.position}${when} with probability ${probability(subject.probability)}`;
  }

  function draw() {
    if (!context.trace.start) return;
    const { t } = context; // of the pinned token's lane, which may not be the first
    const subject = subjectAt(t);
    setText(subjectLine, sentence(subject, t));
    subjectLine.classList.toggle("hint", !subject);
    body.classList.toggle("no-subject", !subject);
    for (const { name, later } of tabs) {
      const seen = open && name === shown && subject ? subject : null; // out of sight nothing is computed
      (seen ? later.view() : later.made)?.draw(seen, t);
    }
  }

  show(tabs[0].name);
  return { draw, open(name) { setOpen(true); show(name); panel.scrollIntoView({ block: "nearest" }); panel.focus({ preventScroll: true }); }, destroy() { sight.disconnect(); tabs.forEach(({ later }) => later.destroy()); panel.remove(); } };
}
