// What the trajectory charts can show: each entry says what it is, how to read it, and makes Plotly's data. No DOM beyond legends.

import { el } from "./dom.js";
import { CSS } from "./palette.js";

const FLOOR = 0.001; // nats: below, two distributions are the same for a reader

/** Where a step is in the records of a course, -1 if nowhere: mostly they have no gap. */
export function placeOf(course, step) {
  const guess = course ? step - course.steps[0] : -1;
  return course?.steps[guess] === step ? guess : course ? course.steps.indexOf(step) : -1;
}

function grid({ rows, trace, byPosition }, value) {
  const columns = Array.from({ length: trace.steps }, (_, at) => at + 1);
  return {
    x: columns, y: rows,
    z: rows.map((position) => columns.map((step) => value(byPosition.get(position), position, step))),
  };
}

const heat = (more) => ({ type: "heatmap", hoverinfo: "none", xgap: 1, ygap: 1, hoverongaps: false, ...more });

/** Marks over a map: when a position settled, and when it was written. */
function moments({ kit, found }) {
  const courses = found.courses.filter((course) => course.written !== null);
  const points = (key, marker) => ({
    type: "scatter", mode: "markers", hoverinfo: "skip", x: courses.map((course) => course[key]), y: courses.map((course) => course.position), marker,
  });
  return [
    points("settled", { symbol: "circle", size: 8, color: "#FFFFFF", line: { color: "#000000", width: 1.5 } }),
    points("written", { symbol: "square-open", size: 9, color: kit.PLUS, line: { color: kit.PLUS, width: 2 } }),
  ];
}

const swatch = (colour, text, shape = "") => el("span", { class: "key" }, el("i", { class: shape, style: `--c: ${colour}` }), el("span", { text }));
const momentKeys = () => [swatch("#FFFFFF", "settled", "dot"), swatch("#B8560F", "written", "box")];

export const MAPS = [
  {
    name: "favourite", title: "Favourite: final or not",
    says: () => "Was the favourite of each step already the one that was written?",
    how: "One row is one position, one column one step. Where the bright part of a row begins for good (the dot), the place had settled; it was written at the square.",
    legend: () => [swatch(CSS[255], "the favourite is the token that was written"), swatch(CSS[0], "the favourite is another token"), ...momentKeys()],
    data: (state) => [heat({ ...grid(state, (course, _, step) => {
      const at = placeOf(course, step);
      return at < 0 ? null : Number(course.favourites[at] === (course.token ?? course.favourites.at(-1)));
    }), zmin: 0, zmax: 1, colorscale: state.kit.TWO, showscale: false }), ...moments(state)],
  },
  {
    name: "kl", title: "KL to the last distribution", continuous: true,
    says: () => "How far was each step from the last distribution of its position?",
    how: "Dark = nothing changed any more, bright = far away; every step of the scale is a factor of 10. Dots mark settling, squares writing.",
    legend: momentKeys,
    data: (state) => [heat({ ...grid(state, (course, _, step) => {
      const at = placeOf(course, step);
      return at < 0 ? null : Math.log10(Math.max(FLOOR, course.kl[at]));
    }), zmin: -3, zmax: 1, colorscale: state.kit.SEQUENTIAL, colorbar: state.kit.colorbar("nats", { tickvals: [-3, -2, -1, 0, 1], ticktext: ["≤ .001", "0.01", "0.1", "1", "10"] }) }),
    ...moments(state)],
  },
];

/** The map of a recorded score, on its declared range. */
export function scoreMap({ name, title, low, high, unit, higher }) {
  return {
    name: `score-${name}`, title, continuous: true,
    says: () => `${title} of every masked position at every step`,
    how: `Bright = ${higher}. An empty place was not masked any more, or not computed. Dots mark settling, squares writing.`,
    legend: momentKeys,
    data: (state) => [heat({ ...grid(state, (_, position, step) => {
      const share = state.trace.score(name, state.cellAt(position), step);
      return Number.isNaN(share) ? null : state.trace.value(name, share);
    }), zmin: low, zmax: high, colorscale: state.kit.SEQUENTIAL, colorbar: state.kit.colorbar(unit) }), ...moments(state)],
  };
}

const bars = (x, y, color) => [{ type: "bar", orientation: "h", hoverinfo: "none", x, y, marker: { color } }];

export const BARS = [
  {
    name: "regret", title: "Regret", axis: "regret, nats", says: "Would the model still write it?",
    how: "Orange, to the right: the finished canvas makes the token less probable than when it was written. Blue, to the left: more probable.",
    data: ({ kit, regrets }) => bars(regrets.map((item) => item.nats), regrets.map((item) => item.position), regrets.map((item) => (item.nats > 0 ? kit.PLUS : kit.MINUS))),
    x: ({ regrets }) => { const most = Math.max(0.1, ...regrets.map((item) => Math.abs(item.nats))) * 1.05; return { range: [-most, most] }; },
  },
  {
    name: "flips", title: "Flips", axis: "flips", says: "How often did the favourite change?",
    how: "0 = the first favourite was kept to the end.",
    data: ({ kit, found }) => bars(found.courses.map((course) => course.flips), found.courses.map((course) => course.position), kit.MINUS),
    x: ({ found }) => ({ range: [0, Math.max(1, ...found.courses.map((course) => course.flips)) * 1.05], tickformat: "d" }),
  },
  {
    name: "waited", title: "Steps from settled to written", axis: "steps", says: "How long had it been settled before it was written?",
    how: "0 = it was written in the very step in which it settled; long bars could have been written earlier.",
    data: ({ kit, found }) => { const written = found.courses.filter((course) => course.waited !== null); return bars(written.map((course) => course.waited), written.map((course) => course.position), kit.MINUS); },
    x: ({ found }) => ({ range: [0, Math.max(1, ...found.courses.map((course) => course.waited ?? 0)) * 1.05], tickformat: "d" }),
  },
];
