// What many runs have in common, as charts: the order of writing, its distance from reading order, the scores.

import { axis as plain, colours, figure, whenSeen } from "./chart.js";

/** Of these figures the labels may be of any length. */
const axis = (title, more = {}) => plain(title, { automargin: true, zeroline: false, ...more });
const at = (id) => document.getElementById(id);
const TAU_BINS = 20;
let shown = null;

export function drawAll(view) {
  shown = view;
  const choice = at("many-score");
  const before = choice.value;
  choice.replaceChildren(...view.measures.map(({ name, title }) => new Option(title, name, false, name === before)));
  whenSeen(at("many-order"), () => figure(at("many-order"), () => order(shown)));
  whenSeen(at("many-tau"), () => figure(at("many-tau"), () => tau(shown)));
  whenSeen(at("many-scores"), () => figure(at("many-scores"), () => scores(shown)));
}

at("many-score").addEventListener("change", () => figure(at("many-scores"), () => scores(shown)));

function order({ places }) {
  const { a, line } = colours();
  const known = places.filter(({ step }) => step);
  const x = known.map(({ position }) => position);
  const pick = (key) => known.map(({ step }) => step[key]);
  const band = `${a}22`;
  return {
    data: [
      { type: "scatter", mode: "lines", x, y: pick("high"), line: { width: 0, shape: "hvh" }, showlegend: false, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x, y: pick("low"), line: { width: 0, shape: "hvh" }, fill: "tonexty", fillcolor: band, name: "earliest to latest", hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x: [0, Math.max(1, places.length - 1)], y: [1, places.length], line: { dash: "dash", color: line }, name: "left to right", hoverinfo: "skip" },
      { type: "scatter", mode: "markers", x, y: pick("mean"), name: "mean step ± 1 s.d.", marker: { color: a, size: 7 },
        error_y: { type: "data", array: pick("deviation"), color: a, thickness: 1, width: 3 },
        customdata: known.map(({ step }) => [step.deviation, step.low, step.high, step.count]),
        hovertemplate: "place %{x}: step %{y:.1f} ± %{customdata[0]:.1f}, %{customdata[1]} to %{customdata[2]}, %{customdata[3]} runs<extra></extra>" },
    ],
    layout: { height: 380, xaxis: axis("place in the answer"), yaxis: axis("step of writing", { rangemode: "tozero" }) },
  };
}

function bars(counts, low, high, title, unit) {
  const { a } = colours();
  const width = (high - low) / counts.length;
  return {
    data: [{ type: "bar", x: counts.map((_, k) => low + (k + 0.5) * width), y: counts, width: counts.map(() => width * 0.92), marker: { color: a }, showlegend: false,
      customdata: counts.map((_, k) => [low + k * width, low + (k + 1) * width]), hovertemplate: `%{customdata[0]:.2f} to %{customdata[1]:.2f}: %{y} ${unit}<extra></extra>` }],
    layout: { height: 280, xaxis: axis(title, { range: [low, high], title: { text: title, standoff: 8, font: { size: 12 } } }), yaxis: axis(unit, { rangemode: "tozero", tickformat: "d" }) },
  };
}

function tau({ taus }) {
  const counts = Array(TAU_BINS).fill(0);
  for (const value of taus) if (value !== null) counts[Math.min(TAU_BINS - 1, Math.floor(((value + 1) / 2) * TAU_BINS))] += 1;
  return bars(counts, -1, 1, "Kendall's tau-b", "runs");
}

function scores({ histograms, measures }) {
  const name = at("many-score").value || measures[0].name;
  const { title, unit, higher, low, high } = measures.find((measure) => measure.name === name);
  return bars(histograms[name], low, high, `${title.toLowerCase()}, ${unit}; to the right = ${higher}`, "tokens");
}
