// Scores: position by step, one pixel per value, scaled; hatched where no score was recorded.

import { el, help, reading, setText } from "./dom.js";
import { layersOf } from "./legend.js";
import { index, PIXELS, token } from "./palette.js";
import { hatch, plot } from "./plot.js";

const HELP = [
  "Every column is one step, every row one position of the answer. The colour is the chosen score at that moment. A row ends, hatched, where its token was written: from then on the model is not asked.",
  "Point at it to read the value; drag to move in time.",
];

export function create(root, { trace, clock, select, horizon }) {
  const title = el("span");
  const table = el("a", { class: "quiet", target: "_blank", rel: "noopener", text: "Canvas as a table" });
  const field = el("div");
  root.append(el("header", { class: "panel-head" }, el("h3", {}, title), help("Scores over time", ...HELP), el("span", { class: "axis", text: "position ↓  step →" }), table), field);
  const pixels = document.createElement("canvas");

  // The order of writing is not a score: the heat map then shows the confidence behind it.
  const name = () => (select.layer === "order" || !trace.scores.has(select.layer) ? "confidence" : select.layer);

  function paint(pen, { plotHeight, rows, x }, from) {
    const left = x(from - 1), width = x(trace.steps) - left, count = trace.steps - from + 1;
    pen.fillStyle = hatch(pen);
    pen.fillRect(left, 0, width, plotHeight);
    if (!trace.scores.has(name())) return;
    pixels.width = count;
    pixels.height = rows;
    const brush = pixels.getContext("2d");
    const image = brush.createImageData(count, rows), field = new Uint32Array(image.data.buffer);
    const cells = trace.response(trace.steps), scores = trace.scores.get(name()).rows;
    for (let rank = 0; rank < rows; rank++) {
      for (let column = 0; column < count; column++) {
        const colour = index(scores.share(from + column, cells[rank]));
        if (colour >= 0) field[rank * count + column] = PIXELS[colour];
      }
    }
    brush.putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(pixels, left, 0, width, plotHeight);
    separate(pen, { plotHeight, rows, x }, from);
  }

  /** Lines of paper between the values, when they are large enough to be told apart. */
  function separate(pen, { plotHeight, rows, x }, from) {
    pen.strokeStyle = token("surface");
    pen.lineWidth = 1;
    pen.beginPath();
    if (plotHeight / rows >= 6) for (let rank = 1; rank < rows; rank++) { const y = (rank / rows) * plotHeight; pen.moveTo(x(from - 1), y); pen.lineTo(x(trace.steps), y); }
    if (x(1) >= 6) for (let step = Math.max(1, from - 1); step < trace.steps; step++) { pen.moveTo(x(step), 0); pen.lineTo(x(step), plotHeight); }
    pen.stroke();
  }

  function readout(cell, step) {
    const values = [...trace.scores.values()].map(({ measure }) => {
      const share = trace.score(measure.name, cell, step);
      return Number.isNaN(share) ? null : `${measure.name} ${reading(measure, trace.value(measure.name, share))}`;
    }).filter(Boolean);
    const place = `position ${trace.position(cell, step)}, step ${step}`;
    return values.length ? `${place}: ${values.join(" · ")}` : `${place}: no score, ${trace.isMask(cell, step) ? "not recorded" : "already written"}`;
  }

  const view = plot(field, { trace, clock, select, horizon, paint, readout, label: "Score by position and step; the values of the position in question are given as text below" });

  return {
    draw(t) {
      if (!trace.start) return;
      const layer = layersOf(trace).find((item) => item.name === name());
      setText(title, layer ? `${layer.title} over time` : "Scores over time");
      const href = new URL(`../runs/${trace.start.run}/table?step=${t}`, import.meta.url).href;
      if (table.href !== href) table.href = href;
      view.draw(t, name());
    },
    destroy() { view.destroy(); root.replaceChildren(); },
  };
}
