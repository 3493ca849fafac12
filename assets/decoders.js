// The measured table: one task at a time, sorted by any column, and the chart that is drawn from its rows.

import "./leaf.js";
import { axis as plain, colours, figure, whenSeen } from "./chart.js";

const table = document.getElementById("measured-table");
const field = document.getElementById("measured-chart");
const task = document.getElementById("measured-task");
const pointed = document.getElementById("measured-decoder");

const axis = (title, more = {}) => plain(title, { automargin: true, zeroline: false, ...more });
const TICKS = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000];

const number = (row, key) => (row.dataset[key] === undefined ? NaN : Number(row.dataset[key]));
const shown = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);

function narrow() {
  for (const row of table.tBodies[0].rows) row.hidden = row.dataset.group !== task.value;
  point();
}

function point() {
  for (const row of table.tBodies[0].rows) row.classList.toggle("pointed", Boolean(pointed.value) && row.dataset.decoder === pointed.value);
  if (field.dataset.drawn) draw();
}

function draw() { figure(field, measured); }

function points(rows, name, colour, symbol, labelled) {
  return {
    type: "scatter", name, mode: labelled ? "markers+text" : "markers", marker: { color: colour, symbol, size: labelled ? 10 : 7 },
    x: rows.map((row) => number(row, "passes")), y: rows.map((row) => number(row, "percent")),
    error_y: {
      type: "data", symmetric: false, color: colour, thickness: 1, width: 3,
      array: rows.map((row) => number(row, "high") - number(row, "percent")), arrayminus: rows.map((row) => number(row, "percent") - number(row, "low")),
    },
    text: labelled ? rows.map((row) => row.dataset.decoder) : undefined, textposition: "bottom right", cliponaxis: false,
    customdata: rows.map((row) => `${row.dataset.decoder}<br>${row.dataset.settings}`),
    hovertemplate: "%{customdata}<br>%{y:.1f} % right, %{x:.1f} passes<extra></extra>",
  };
}

function measured() {
  const { a, b, muted } = colours();
  const rows = shown();
  const leads = (row) => row.dataset.front !== undefined;
  const asked = (row) => pointed.value && row.dataset.decoder === pointed.value;
  const front = rows.filter(leads).sort((one, other) => number(one, "passes") - number(other, "passes"));
  const data = [
    points(rows.filter((row) => !leads(row) && !asked(row)), "other settings", muted, "circle-open", false),
    { type: "scatter", name: "Pareto front", mode: "lines", line: { shape: "hv", dash: "dot", color: a }, hoverinfo: "skip",
      x: front.map((row) => number(row, "passes")), y: front.map((row) => number(row, "percent")) },
    points(front.filter((row) => !asked(row)), "on the front", a, "circle", innerWidth >= 600 && !pointed.value),
  ];
  if (pointed.value) data.push(points(rows.filter(asked), pointed.value, b, "diamond", false));
  return {
    data,
    layout: {
      height: 440, xaxis: axis(innerWidth < 600 ? "passes per answer (log scale)" : "forward passes per answer (mean, log scale)", { type: "log", tickvals: TICKS, ticktext: TICKS.map(String) }),
      yaxis: axis("right answers, %", { range: [-4, 104] }),
    },
  };
}

function sort(header) {
  const falling = header.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const key = header.dataset.key;
  const worth = (row) => (key === "decoder" ? row.dataset.decoder : number(row, key));
  const order = (one, other) => {
    const [x, y] = [worth(one), worth(other)];
    if (typeof x === "string") return x.localeCompare(y);
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
  };
  const rows = [...table.tBodies[0].rows].sort((one, other) => (falling ? -1 : 1) * order(one, other));
  table.tBodies[0].append(...rows);
}

if (table) {
  task.addEventListener("change", narrow);
  pointed.addEventListener("change", point);
  table.tHead.addEventListener("click", (event) => { const header = event.target.closest("th"); if (header) sort(header); });
  narrow();
  whenSeen(field, draw);
}
document.documentElement.dataset.unmask = "ready";
