// Two lanes: how each place compares, what sets the colours apart, and the panel between them. One lane needs none of it.

import { marksOf } from "./compare.js";
import * as difference from "./difference.js";
import { SIGNED_GRADIENT, signed } from "./diverging.js";
import { el } from "./dom.js";
import { gapsOf } from "./gap.js";
import { createLaneTabs } from "./lane_tabs.js";
import { besideOf, drawBeside } from "./signs.js";

/** `shared` holds the `traces`, `clock` and `select` of the page, `swap()` and `go(cell)`; `choose(name)` shows a lane where one fits. */
export function create({ traces, clock, select, swap, go, choose }) {
  const [a, b] = traces, tabs = createLaneTabs(choose);
  const panel = el("section", { class: "panel pair", "aria-label": "A against B", tabindex: "-1" });
  let marks = [], gaps = null;
  const view = difference.create(panel, { clock, select, traces, marks: () => marks, swap, go });

  /** Compare the lanes where the playhead stands; false while one of them is empty. */
  function look() {
    if (!a.start || !b.start) { marks = []; gaps = null; return false; }
    const unit = clock.unit === "step" ? "step" : "passes";
    marks = marksOf(a, b, clock.step(0), clock.step(1), unit);
    gaps = select.between ? gapsOf(a, b, clock.step(0), clock.step(1), select.layer, unit) : null;
    return true;
  }

  return {
    panel, row: tabs.row, show: (name) => { if (clock.shown === 2) tabs.show(name); }, look, draw: view.draw,
    /** Go to the next difference: of tokens, or where all are alike of moments. */
    next() { if (look()) view.next(marks.some(({ kind }) => kind === "differs") ? "differs" : "moved"); },
    /** What each place of the answer says of the other lane, as the views of a lane ask for it. */
    signs: {
      of: (rank, lane) => besideOf({ marks: select.signs ? marks : null, gaps }, rank, lane),
      draw: drawBeside,
      differs: (rank) => select.signs && marks[rank]?.kind === "differs",
      /** The scale of what sets the lanes apart; null while colours say each lane's own. */
      get scale() { return gaps && { gradient: SIGNED_GRADIENT, low: signed(-gaps.limit), high: signed(gaps.limit) }; },
    },
  };
}
