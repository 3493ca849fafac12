// The runs that came of each other in this visit: a run, its branches, theirs; each is shown beside its parent.

import { marksOf } from "./compare.js";
import { changesOf, forksOf } from "./difference.js";
import { el, plural, setAttr } from "./dom.js";

/** `load(run, lane)` shows a kept run; `busy()` tells whether a run is under way. */
export function create(root, { traces, shown, load, busy, say }) {
  const list = el("ul");
  root.append(el("section", { class: "panel family", "aria-label": "Branches", tabindex: "-1" },
    el("header", { class: "panel-head" }, el("h3", { text: "Branches" }), el("span", { class: "axis", text: "press one to see it beside its parent" })), list));
  root.hidden = true;
  const known = new Map(); // run -> {run, parent, step, words, differs, verdict}
  let drawn = "";

  function learn(trace) {
    const run = trace.start?.run;
    if (!run || run === "example") return;
    const forks = forksOf(trace), { decoder_title: title, request } = trace.start;
    const one = known.get(run) ?? { run, parent: forks[0]?.parent ?? null, step: forks[0]?.step ?? 0, differs: null };
    one.words = forks.length ? changesOf(trace) : `${title}, seed ${request.seed}`;
    one.verdict = trace.end?.verdict ? (trace.end.verdict.right ? "✓ right" : "✗ wrong") : trace.end && trace.end.reason !== "done" ? trace.end.reason : "";
    known.set(run, one);
  }

  /** How many places of a branch came out otherwise than its parent's; known once both were beside each other to the end. */
  function measure(parent, branch) {
    const one = known.get(branch.start?.run);
    if (!one || !parent.end || !branch.end || one.parent !== parent.start.run) return;
    one.differs = marksOf(parent, branch, parent.steps, branch.steps).filter(({ kind }) => kind !== "same" && kind !== "moved" && kind !== "open").length;
  }

  function rootOf(run) {
    let one = known.get(run);
    for (const seen = new Set(); one?.parent && known.has(one.parent) && !seen.has(one.run); one = known.get(one.parent)) seen.add(one.run);
    return one;
  }

  async function open(one) {
    try {
      if (one.parent && known.has(one.parent)) { await load(one.parent, 0); await load(one.run, 1); } else await load(one.run, 0);
    } catch { say("That run is not kept by the server any more. Run it again to have it back."); }
  }

  function item(one, here) {
    const told = [one.words, one.differs === null ? "" : one.differs ? `${plural(one.differs, "place")} other than its parent` : "the same answer as its parent", one.verdict].filter(Boolean).join(" · ");
    const letter = here.indexOf(one.run), below = [...known.values()].filter(({ parent }) => parent === one.run);
    return el("li", {},
      el("button", { type: "button", class: "quiet", "data-run": one.run, "aria-current": letter < 0 ? null : "true", onclick: () => open(one) },
        letter < 0 ? null : el("b", { class: `of-${"ab"[letter]}`, text: "AB"[letter] }), one.parent ? el("span", { class: "step", text: `step ${one.step}` }) : null, el("span", { text: told })),
      below.length ? el("ul", {}, ...below.map((child) => item(child, here))) : null);
  }

  function draw() {
    const [a, b] = traces, here = traces.slice(0, shown()).map((trace) => trace.start?.run);
    traces.slice(0, shown()).forEach(learn);
    if (shown() === 2 && a.start && b.start) { measure(a, b); measure(b, a); }
    const top = rootOf(here[0]), kin = [...known.values()].filter(({ run }) => top && rootOf(run) === top);
    root.hidden = kin.length < 2;
    if (root.hidden) return;
    const key = JSON.stringify([here, kin]);
    if (key !== drawn) {
      const focused = list.contains(document.activeElement) ? document.activeElement.dataset.run : null;
      drawn = key;
      list.replaceChildren(item(top, here));
      if (focused) list.querySelector(`[data-run="${focused}"]`)?.focus();
    }
    for (const button of list.querySelectorAll("button")) setAttr(button, "aria-disabled", String(busy()));
  }

  list.addEventListener("click", (event) => { if (busy()) { event.stopPropagation(); say("A run is under way: another one can be shown once it has ended."); } }, true);
  return { draw, destroy() { root.replaceChildren(); } };
}
