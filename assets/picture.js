// The canvas as a picture: SVG of one step, PNG of the same, and an SVG that plays the whole run.
// Text of models goes through `textContent`; colours and marks are those of the page.

import { number, svg } from "./dom.js";
import { chunks, layoutOf } from "./layout.js";
import { CSS, DARK_TEXT, index, token } from "./palette.js";

const CELL = 34, GAP = 3, MARGIN = 16, HEAD = 64, FOOT = 28, ROW_MAX = 24, SIGN = 7.3, STEP_S = 0.4, HOLD_S = 2;
const FONT = "IBM Plex Mono, ui-monospace, Menlo, Consolas, monospace";

/** Return the element of the picture at step `t`, coloured by `layer`; `played` adds every other step as an animation. */
export function picture(trace, t, layer, { played = false } = {}) {
  const { rows, wide } = arranged(trace, t);
  const foot = legend(trace, layer), lines = [title(trace).length * 9.8, settingsLine(trace).length * SIGN, (foot.length + 20) * SIGN];
  const width = MARGIN * 2 + Math.ceil(Math.max(360, ...lines, ...rows.map((row) => row.length * (wide + GAP))));
  const height = HEAD + rows.length * (CELL + GAP) + FOOT + MARGIN;
  const shown = played ? Array.from({ length: trace.steps + 1 }, (_, step) => step) : [t];
  const cells = rows.flatMap((row, y) => row.map((cell, x) => place(trace, cell, MARGIN + x * (wide + GAP), HEAD + y * (CELL + GAP), wide, layer, shown)));
  const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "font-family": FONT, "font-size": 14 },
    svg("title", { text: `${title(trace)}, ${played ? "every step" : `step ${t} of ${trace.steps}`}` }),
    svg("rect", { width: "100%", height: "100%", fill: token("paper") }),
    svg("text", { x: MARGIN, y: 26, fill: token("ink"), "font-size": 16, "font-weight": 700, text: title(trace) }),
    svg("text", { x: MARGIN, y: 46, fill: token("muted"), "font-size": 12, text: settingsLine(trace) }),
    ...cells,
    svg("text", { x: MARGIN, y: height - 18, fill: token("muted"), "font-size": 12, text: foot }));
  if (played) root.append(progress(trace, width, height));
  else root.append(svg("text", { x: width - MARGIN, y: height - 18, fill: token("ink"), "font-size": 12, "text-anchor": "end", text: `step ${t} of ${trace.steps}` }));
  return root;
}

/** Return the picture as a file's text. */
export function asText(element) { return new XMLSerializer().serializeToString(element); }

/** Return the picture as a PNG, twice as large so that it stays sharp on slides. */
export async function asPng(element, scale = 2) {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([asText(element)], { type: "image/svg+xml" }));
  try {
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = element.getAttribute("width") * scale;
    canvas.height = element.getAttribute("height") * scale;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png"));
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** The cells of the answer in rows as on the page, and how wide one is drawn. */
function arranged(trace, t) {
  const layout = layoutOf(trace), cells = trace.response(t);
  if (layout.kind === "rows") return { rows: chunks(cells, layout.answer), wide: CELL };
  return layout.kind === "chars" ? { rows: chunks(cells, ROW_MAX), wide: CELL } : { rows: chunks(cells, 8), wide: 96 };
}

function place(trace, cell, x, y, wide, layer, steps) {
  const states = steps.map((t) => look(trace, cell, t, layer));
  const box = svg("rect", { x: x + 0.5, y: y + 0.5, width: wide - 1, height: CELL - 1, rx: 4 });
  const group = svg("g", {}, box);
  const runs = []; // stretches of steps in which the cell looks the same
  states.forEach((state, at) => { if (!runs.length || runs.at(-1).key !== state.key) runs.push({ key: state.key, state, from: at }); });
  paint(box, runs[0].state);
  for (const [number, { state, from }] of runs.entries()) {
    const text = svg("text", { x: x + wide / 2, y: y + CELL / 2 + 5, "text-anchor": "middle", fill: state.ink, text: state.text });
    if (runs.length > 1) {
      animate(text, "visibility", runs.map((_, at) => (at === number ? "visible" : "hidden")), runs, steps.length);
      if (from > 0) text.setAttribute("visibility", "hidden");
    }
    group.append(text);
  }
  if (runs.length > 1) {
    for (const name of ["fill", "stroke", "stroke-dasharray"]) animate(box, name, runs.map(({ state }) => state[name]), runs, steps.length);
  }
  return group;
}

function paint(box, state) { for (const name of ["fill", "stroke", "stroke-dasharray"]) box.setAttribute(name, state[name]); }

/** What a cell looks like at step `t`. */
function look(trace, cell, t, layer) {
  const { id, step, masked } = trace.state(cell, t);
  const share = layer === "order" ? (masked || step === 0 ? NaN : step / trace.horizon) : trace.shownScore(layer, cell, t);
  const colour = masked ? -1 : index(share), text = masked ? "" : id === trace.start.eos ? "∎" : trace.text(id).replace(/\n/g, "⏎").replace(/^ /, "·");
  const state = {
    text: clipped(text), ink: colour < 0 ? token("ink") : DARK_TEXT[colour] ? "#000" : "#fff",
    fill: colour < 0 ? token("surface") : CSS[colour], stroke: masked ? token("line") : colour < 0 ? token("hair") : CSS[colour],
    "stroke-dasharray": masked ? "3 3" : "none",
  };
  return { ...state, key: JSON.stringify(state) };
}

function clipped(text) { return [...text].length > 10 ? `${[...text].slice(0, 9).join("")}…` : text; }

/** Let an attribute jump to each value when its stretch begins; round and round, the last one held. */
function animate(node, name, values, runs, count) {
  const whole = count * STEP_S + HOLD_S;
  node.append(svg("animate", {
    attributeName: name, calcMode: "discrete", dur: `${whole.toFixed(2)}s`, repeatCount: "indefinite",
    values: values.join(";"), keyTimes: runs.map(({ from }) => ((from * STEP_S) / whole).toFixed(5)).join(";"),
  }));
}

function progress(trace, width, height) {
  const whole = (trace.steps + 1) * STEP_S + HOLD_S, span = width - 2 * MARGIN;
  return svg("rect", { x: MARGIN, y: height - 10, width: 0, height: 3, fill: token("playhead") },
    svg("animate", { attributeName: "width", dur: `${whole.toFixed(2)}s`, repeatCount: "indefinite", values: `0;${span};${span}`, keyTimes: `0;${((trace.steps * STEP_S) / whole).toFixed(5)};1` }));
}

function title({ start }) { return `${start.decoder_title ?? start.decoder} on ${start.model.name}`; }

function settingsLine({ start }) {
  const settings = Object.entries(start.request.settings ?? {}).map(([name, value]) => `${name} ${value}`);
  return [clippedLine(start.request.prompt ?? "token ids"), `seed ${start.request.seed}`, ...settings, `weights ${start.model.weights_hash}`].join(" · ");
}

function clippedLine(text) { return [...text].length > 60 ? `${[...text].slice(0, 59).join("")}…` : text; }

function legend(trace, layer) {
  if (layer === "order") return `colour: order of writing, 1 (dark) to ${trace.horizon} (bright)`;
  const { measure } = trace.scores.get(layer);
  return `colour: ${measure.title.toLowerCase()}, ${number(measure.low)} (dark) to ${number(measure.high)} (bright), ${measure.unit}`;
}
