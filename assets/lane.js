// One lane: a run, where its events come from, and the views that draw it. Lane 0 is A, lane 1 is B.
//
// A view module exports `create(root, shared) -> {draw(t), destroy()}`; `shared` holds the lane's own
// `trace`, `clock` and `select`, `want(from, to)` for candidates, the page's `announce`, and what two lanes share:
// `horizon()`, `beside()`, `busy()` and `branch(step, asked)`. To add a view: a part in `parts`, a line in `viewsOf`
// or, where it tells of one token, in `inspectorOf`. What the first sight of a page does not show comes on demand.

import * as candidates from "./candidates.js";
import { LaneClock } from "./clock.js";
import { el } from "./dom.js";
import * as grid from "./grid.js";
import { nearness, onDemand } from "./later.js";
import { LaneSelect } from "./select.js";
import { Source } from "./source.js";
import * as summary from "./summary.js";

export const LETTERS = ["A", "B"];

export class Lane {
  /** `on` as in source.js. */
  constructor(number, base, trace, on) {
    this.number = number;
    this.letter = LETTERS[number];
    this.trace = trace;
    this.source = new Source(base, trace, on);
    this.reported = 0;
    this.ended = null; // the end of the run of this go, once it came
  }

  /** Build the views; `shared` holds what all lanes share. */
  build({ clock, select, announce, horizon, beside, branch, canBranch, busy, choices, holds, shift, redraw }) {
    const shared = {
      trace: this.trace, lane: this.number, announce, horizon, beside, redraw,
      clock: new LaneClock(clock, this.number), select: new LaneSelect(select, this.number, shift),
      canBranch, choices, still: () => this.trace.end !== null || holds(this.number),
      busy: () => busy(this), branch: (step, asked) => branch(this, step, asked),
      want: (from, to) => { const held = holds(this.number); if (held || !clock.following) this.source.want(from, to, held); },
    };
    this.shared = shared;
    this.at = parts(this.letter);
    this.root = el("div", { class: "lane", "data-lane": String(this.number) }, this.at.head, el("div", { class: "lane-body" }, this.at.canvas, this.at.answer));
    this.views = viewsOf(this.at, shared);
    this.inspector = inspectorOf(this.at, shared);
  }

  draw(t) {
    const { select, want } = this.shared;
    if (select.guesses && t > 0) want(t, Math.min(this.trace.steps, t + 4));
    for (const view of this.views) view.draw(t);
    if (!this.at.candidates.hidden) for (const view of this.inspector) view.draw(t);
    this.root.dataset.painted = String(t);
    this.root.dataset.lost = String(this.trace.lost);
    this.root.classList.toggle("empty", !this.trace.start);
  }

  /** The steps that came since the last call, once the newest of them is shown. */
  fresh(t) {
    if (this.trace.steps <= this.reported || t !== this.trace.steps) return [];
    const steps = this.trace.stamps.slice(this.reported + 1).map((stamp, at) => ({ step: this.reported + 1 + at, ...stamp }));
    this.reported = this.trace.steps;
    return steps;
  }
}

function parts(letter) {
  const named = (name) => (letter === "A" ? name : `${name}, lane ${letter}`);
  const part = (name) => el("div", { class: name });
  const panel = (name, label) => el("section", { class: `panel ${name} of-lane-${letter.toLowerCase()}`, "aria-label": named(label), tabindex: "-1" });
  return {
    head: part("lane-head"), canvas: part("lane-canvas"), answer: panel("answer", "Answer as text"),
    candidates: panel("inspector", "Candidates"), scores: panel("scores", "Scores over time"), order: panel("order", "Order of writing"),
    tree: hidden(panel("search", "Search tree")),
  };
}

function hidden(part) { part.hidden = true; return part; }

/** What is told about one token; of two lanes one is asked at a time. */
function inspectorOf(at, shared) {
  const { trace, select, canBranch, still } = shared, place = hidden(el("div", { class: "whatif" }));
  const told = candidates.create(at.candidates, shared);
  at.candidates.append(place);
  return [told, onDemand(place, () => import("./whatif.js"), shared, () => select.pin !== null && canBranch() && still() && trace.start?.run !== "example")];
}

function viewsOf(at, shared) {
  const seen = (place) => { const near = nearness(place, shared.redraw); return () => shared.trace.start !== null && near(); };
  return [
    summary.create(at.head, shared), grid.create(at.canvas, shared), summary.createAnswer(at.answer, shared),
    onDemand(at.scores, () => import("./heat.js"), shared, seen(at.scores)),
    onDemand(at.order, () => import("./order.js"), shared, seen(at.order)),
    onDemand(at.tree, () => import("./tree.js"), shared, () => shared.trace.branches.size > 0),
  ];
}
