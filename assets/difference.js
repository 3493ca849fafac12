// What sets two runs apart: how many places are alike, a table of both, and the way from one difference to the next.

import { compare, countsOf, sideOf } from "./compare.js";
import { el, help, number, setText } from "./dom.js";

const HELP = [
  "Both runs answer the same prompt with the same seed. The time line shows them after equal forward passes; its unit can be changed.",
  "≠ under a token: the other run has another token there. ◂3: this run wrote the same token 3 passes earlier than the other; 3▸: 3 later. ·: the other run has not written this place yet. No sign: the same token at the same moment.",
  "Press a count (or N) to go from one such place to the next; D hides the signs.",
];

const SIGNS = { same: "=", moved: "◂▸", differs: "≠", only: "·" };
const NAMES = { same: "same, same moment", moved: "same, other moment", differs: "other token", only: "one only" };
const OF = { same: ["same"], moved: ["moved"], differs: ["differs"], only: ["only_a", "only_b"] };

/** `shared` holds the clock, the selection, `traces`, `marks()` of the moment, and `swap()`. */
export function create(root, { clock, select, traces, marks, swap, go }) {
  const kinds = Object.keys(OF).map((kind) => el("button", { type: "button", class: "kind", "data-kind": kind, onclick: () => next(kind) },
    el("b", { "aria-hidden": "true", text: SIGNS[kind] }), el("span", { class: "n" }), el("span", { text: NAMES[kind] })));
  const only = el("select", { "aria-label": "What the time line moves", onchange: () => clock.setOnly({ both: null, a: 0, b: 1 }[only.value]) },
    ...[["both", "A and B together"], ["a", "A alone"], ["b", "B alone"]].map(([value, text]) => el("option", { value, text })));
  const exchange = el("button", { type: "button", class: "button", text: "Swap A and B", onclick: swap });
  const rows = Object.fromEntries(["passes", "rate", "written", "rows", "time", "consistency", "verdict"].map((name) => [name, { a: el("td"), b: el("td") }]));
  const row = (name, label) => el("tr", {}, el("th", { scope: "row", text: label }), rows[name].a, rows[name].b);
  const tau = el("p"), fork = el("p"), origin = el("p", { class: "origin" });
  const table = el("table", {},
    el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col", class: "of-a", text: "A" }), el("th", { scope: "col", class: "of-b", text: "B" }))),
    el("tbody", {}, row("passes", "forward passes"), row("rate", "tokens per pass"), row("written", "tokens written"), row("rows", "positions computed"), row("time", "time"), row("consistency", "mean consistency"), row("verdict", "verdict")));
  root.append(
    el("header", { class: "panel-head" }, el("h3", { text: "A against B" }), help("A against B", ...HELP)),
    origin, el("div", { class: "kinds", role: "group", "aria-label": "Places of the answer; press one to go to its next place" }, ...kinds),
    table, tau, fork,
    el("p", { class: "caption", text: "Both runs take turns on one machine: compare passes, not seconds." }),
    el("div", { class: "pair-tools" }, el("label", {}, el("span", { text: "Time line moves" }), only), exchange));
  let said = "", shown = "";

  /** Pin the next place of a kind, after the pinned one and round again. */
  function next(kind) {
    const list = marks();
    const first = traces[0].start.prompt_length;
    const from = select.pin === null ? -1 : select.pin - first;
    for (let k = 1; k <= list.length; k++) {
      const rank = (from + k) % list.length;
      if (!OF[kind].includes(list[rank].kind)) continue;
      if (select.pin !== first + rank) select.togglePin(first + rank, select.lane);
      go(first + rank);
      return;
    }
  }

  function draw() {
    const [a, b] = traces;
    if (!a.start || !b.start) return;
    const counts = countsOf(marks());
    for (const button of kinds) {
      const count = OF[button.dataset.kind].reduce((sum, kind) => sum + counts[kind], 0);
      setText(button.children[1], String(count));
      button.disabled = count === 0;
    }
    if (only !== document.activeElement) only.value = clock.only === null ? "both" : ["a", "b"][clock.only];
    exchange.disabled = a.live || b.live;
    fill();
    conclude();
  }

  function fill() {
    const [a, b] = traces;
    const key = [a.epoch, b.epoch, clock.step(0), clock.step(1), a.end !== null, b.end !== null].join("|");
    if (key === said) return;
    said = key;
    for (const [name, trace, t] of [["a", a, clock.step(0)], ["b", b, clock.step(1)]]) {
      const side = sideOf(trace, t);
      setText(rows.passes[name], String(side.passes));
      setText(rows.rate[name], side.passes ? number(side.tokensPerPass) : "–");
      setText(rows.written[name], `${side.written} of ${trace.free}`);
      setText(rows.rows[name], String(side.rows));
      setText(rows.time[name], `${number(trace.elapsed[t] ?? 0)} s`);
      setText(rows.consistency[name], side.consistency === null ? "–" : number(side.consistency, 3));
      const judged = t === trace.steps ? trace.end?.verdict : null;
      setText(rows.verdict[name], judged ? (judged.right ? "✓ right" : "✗ wrong") : "–");
    }
  }

  /** What needs both runs whole: the difference of their orders, and where they part. */
  function conclude() {
    const [a, b] = traces;
    const key = [a.epoch, b.epoch, a.end !== null, b.end !== null].join("|");
    if (key === shown) return;
    shown = key;
    setText(origin, originOf(a, b));
    if (!a.end || !b.end) { setText(tau, ""); setText(fork, "Where they part is told when both have ended."); return; }
    const whole = compare(a, b);
    setText(tau, whole.tau === null ? "Their orders of writing cannot be compared." : `Order of writing: Kendall's τ = ${number(whole.tau)} (1: the same order, −1: the reverse).`);
    const place = whole.firstDifferent;
    setText(fork, whole.fork === null ? "They are equal at every step."
      : `They part at step ${whole.fork}. ${place === null ? "Both end with the same answer." : `The first token that stays different is at position ${a.start.prompt_length + place}.`}`);
  }

  return { draw, next, destroy() { root.replaceChildren(); } };
}

/** Where a branch comes from, in words: of its parent only where that is the run beside it. */
export function originOf(a, b) {
  for (const [letter, branch, other, beside] of [["B", b, a, "A"], ["A", a, b, "B"]]) {
    const forks = forksOf(branch);
    if (forks.length && forks[0].parent && forks[0].parent === other.start.run) return `${letter} is the branch of ${beside} at step ${forks[0].step}: ${changesOf(branch)}. ${meaningOf(branch, forks)}`;
  }
  const forks = forksOf(b);
  return forks.length ? `B is a branch of another run, at step ${forks[0].step}: ${changesOf(b)}. That run is not the one beside it.` : "";
}

/** The forks that set a branch apart from its parent: one, or a move by hand and who goes on after it. */
export function forksOf(trace) {
  const forks = trace.start?.request?.forks ?? [], parent = forks.at(-1)?.parent;
  return parent ? forks.filter((fork) => fork.parent === parent) : forks.slice(-1);
}

/** What is changed in a branch, in words. */
export function changesOf(trace) {
  return forksOf(trace).flatMap((fork) => changed(trace, fork)).join("; ");
}

function changed(trace, { edits, decoder, settings }) {
  const name = (id) => `“${trace.text(id)}”`;
  const erased = edits.filter(([action]) => action === "erase").map(([, position]) => position);
  const told = erased.length > 1 ? [`${erased.length} positions from ${Math.min(...erased)} to ${Math.max(...erased)} are masked again`] : erased.map((position) => `position ${position} is masked again`);
  for (const [action, position, token] of edits) {
    if (action === "write") told.push(`position ${position} takes ${name(token)}`);
    if (action === "pin") told.push(`position ${position} is pinned to ${name(token)}`);
    if (action === "forbid") told.push(`${name(token)} is forbidden at position ${position}`);
  }
  const moves = decoder === "manual" ? [...String(settings?.moves ?? "").matchAll(/(\d+)=(\d+)/g)] : [];
  for (const [, place, id] of moves) told.push(`by hand, position ${trace.start.prompt_length + Number(place)} takes ${name(Number(id))}`);
  if (decoder && !moves.length) told.push(`${decoder} goes on`);
  return told;
}

/** What may be concluded from a difference: all of it is the change's only where nothing else began anew. */
function meaningOf(trace, forks) {
  if (forks.some(({ edits, decoder }) => decoder || edits.some(([action]) => action === "erase"))) return "The noise is the same at every step and position; the decoder begins anew there.";
  if (trace.start.own_loop) return "This decoder has a loop of its own, which does not go on decision by decision as in the first run: a difference may come from that, not only from this change.";
  return "A counterfactual of the same run: everything else, the noise included, is equal, so whatever differs is because of this change.";
}
