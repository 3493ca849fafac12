// Order: when each position was written, and how far that is from left to right.

import { el, help, plural, setText } from "./dom.js";
import { CSS, index, token } from "./palette.js";
import { plot } from "./plot.js";

const HELP = [
  "One mark per written token: to the right is later, downwards is further right in the text. Writing from left to right would follow the dashed line.",
  "The bars count how many masked places each write skipped on its left. 0 = the leftmost free place was written.",
];

const ASIDE = 132, BINS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, Infinity];

export function create(root, { trace, clock, select, horizon }) {
  const sentence = el("p", { class: "sentence" });
  const field = el("div");
  root.append(el("header", { class: "panel-head" }, el("h3", { text: "Order of writing" }), help("Order of writing", ...HELP), el("span", { class: "axis", text: "position ↓  step →" })), field, sentence);
  let skips = [], counted = 0, epoch = -1, told = "";

  /** Count on from the last step that was counted. */
  function count() {
    if (epoch !== trace.epoch) { epoch = trace.epoch; skips = []; counted = 0; }
    if (counted < trace.steps) skips.push(...skipped(trace, counted + 1));
    counted = trace.steps;
  }

  function paint(pen, size, from) {
    const { columns, x, y } = size;
    if (from === 1) ground(pen, size);
    const cells = trace.response(trace.steps);
    const rank = new Map(cells.map((cell, at) => [cell, at]));
    const wide = Math.max(2, x(1) - 2), tall = Math.max(2, y(1) - 2);
    const side = Math.min(wide, tall, 14);
    for (let step = from; step <= trace.steps; step++) {
      pen.fillStyle = CSS[index((step - 1) / Math.max(1, columns - 1))];
      pen.strokeStyle = token("ink");
      for (const cell of trace.written[step]) {
        const [left, top] = [x(step - 0.5) - side / 2, y(rank.get(cell) + 0.5) - side / 2];
        pen.fillRect(left, top, side, side);
        if (side > 5) pen.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
      }
      for (const cell of trace.erased[step]) cross(pen, x(step - 0.5), y(rank.get(cell) + 0.5), Math.max(2, side / 2));
    }
    histogram(pen, size);
  }

  /** What lies beneath the marks: the blocks, and the line that writing from left to right would follow. */
  function ground(pen, { plotWidth, plotHeight, y }) {
    pen.fillStyle = token("band");
    const first = trace.start.prompt_length;
    trace.start.blocks.forEach(([from, to], at) => { if (at % 2) pen.fillRect(0, y(from - first), plotWidth, y(to - from)); });
    pen.strokeStyle = token("line");
    pen.setLineDash([3, 4]);
    pen.beginPath();
    pen.moveTo(0, 0);
    pen.lineTo(plotWidth, plotHeight);
    pen.stroke();
    pen.setLineDash([]);
  }

  function cross(pen, x, y, half) {
    pen.strokeStyle = token("playhead");
    pen.beginPath();
    pen.moveTo(x - half, y - half); pen.lineTo(x + half, y + half);
    pen.moveTo(x + half, y - half); pen.lineTo(x - half, y + half);
    pen.stroke();
  }

  /** Bars at the side: how many writes skipped so many masked places on their left. */
  function histogram(pen, { plotWidth, plotHeight }) {
    count();
    const bins = BINS.slice(0, -1).map((low, at) => ({ low, high: BINS[at + 1] - 1, count: skips.filter((n) => n >= low && n < BINS[at + 1]).length }));
    while (bins.length > 4 && !bins.at(-1).count) bins.pop();
    pen.clearRect(plotWidth + 8, -8, ASIDE, plotHeight + 16);
    const most = Math.max(1, ...bins.map((bin) => bin.count));
    const left = plotWidth + 16, high = Math.min(20, (plotHeight - 22) / bins.length);
    pen.font = '12px "IBM Plex Mono", ui-monospace, monospace';
    pen.textBaseline = "middle";
    pen.fillStyle = token("muted");
    pen.textAlign = "left";
    pen.fillText("places skipped", left, 8);
    bins.forEach((bin, at) => {
      const middle = 22 + (at + 0.5) * high;
      pen.fillStyle = token("muted");
      pen.textAlign = "right";
      pen.fillText(bin.high === bin.low ? String(bin.low) : bin.high === Infinity ? `${bin.low}+` : `${bin.low}–${bin.high}`, left + 32, middle);
      pen.textAlign = "left";
      pen.fillStyle = token("lane-a");
      const length = (bin.count / most) * 48;
      pen.fillRect(left + 40, middle - high / 2 + 2, Math.max(bin.count ? 2 : 0, length), Math.max(2, high - 4));
      pen.fillStyle = token("ink");
      if (bin.count) pen.fillText(String(bin.count), left + 44 + length, middle);
    });
  }

  function readout(cell, step) {
    const state = trace.state(cell, trace.steps);
    const place = `position ${trace.position(cell, trace.steps)}`;
    return state.masked ? `${place}: not written yet` : state.step === 0 ? `${place}: fixed from the start` : `${place}: written at step ${state.step} of ${trace.horizon}`;
  }

  const view = plot(field, { trace, clock, select, horizon, paint, readout, aside: ASIDE, label: "Step of writing by position" });

  return {
    draw(t) {
      if (!trace.start) return;
      view.draw(t, "order");
      const key = `${trace.epoch}|${trace.steps}`;
      if (key === told) return;
      told = key;
      count();
      const straight = skips.filter((n) => n === 0).length;
      setText(sentence, skips.length
        ? `${straight} of ${plural(skips.length, "token")} went to the leftmost free place; the farthest jump skipped ${plural(Math.max(...skips), "place")}.`
        : "");
    },
    destroy() { view.destroy(); root.replaceChildren(); },
  };
}

/** For every write, the masked places on its left that the step left masked or wrote later in the row. */
function skipped(trace, from) {
  const counts = [];
  for (let step = from; step <= trace.steps; step++) {
    const cells = trace.response(step);
    const now = new Set(trace.written[step]);
    let left = 0;
    for (const cell of cells) {
      if (now.has(cell)) counts.push(left);
      else if (trace.isMask(cell, step)) left++;
    }
  }
  return counts;
}
