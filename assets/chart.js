// Charts: drawn by Plotly, which is loaded when the first one is opened. `chart` is a live one of the player, whose marks
// move without redrawing it; `figure` is one of the pages beside it. Both have the colours of the page.

import { el } from "./dom.js";
import { CSS, token } from "./palette.js";
import { plotly as load } from "./chart_library.js";

/** Cividis and the diverging scale of the page, as Plotly takes them. */
export const SEQUENTIAL = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((at) => [at / 255, CSS[at]]);
export const MINUS = "#2C5AA0", PLUS = "#B8560F";
export const TWO = [[0, CSS[0]], [0.5, CSS[0]], [0.5, CSS[255]], [1, CSS[255]]];

export function axis(title, more = {}) {
  const line = token("line"), hair = token("hair");
  return {
    title: { text: title, standoff: 8 }, color: token("muted"), gridcolor: hair, linecolor: line, tickcolor: line, zerolinecolor: line,
    showline: true, ticks: "outside", ticklen: 4, automargin: false, fixedrange: false, ...more,
  };
}

export function colorbar(title, more = {}) {
  return {
    title: { text: title, side: "right", font: { size: 12 } }, thickness: 12, outlinewidth: 0, ticks: "outside", ticklen: 4,
    tickcolor: token("line"), tickfont: { color: token("muted"), size: 12 }, len: 1, x: 1.01, xpad: 4, ypad: 0, ...more,
  };
}

/**
 * A chart in `root`: `show(data, layout, revision)` builds it once and then changes it in place; zoom stays within a revision.
 * `hear` gets the point under the pointer, or null; `pick` the one that was clicked. Marks over it never redraw it.
 */
export function chart(root, { label, hear = () => {}, pick = () => {} }) {
  const field = el("div", { class: "chart-field", role: "figure", "aria-label": label });
  const head = el("i", { class: "chart-head", hidden: true }), row = el("i", { class: "chart-row", hidden: true });
  const pin = el("i", { class: "chart-row chart-pin", hidden: true });
  const over = el("div", { class: "chart-over", "aria-hidden": "true" }, head, row, pin);
  root.append(field, over);
  let plotly = null, built = false, gone = false, latest = null, places = {};
  const sizes = new ResizeObserver(() => { if (built && root.offsetParent) plotly.Plots.resize(field); });

  async function show(data, layout, revision) {
    latest = { data, layout: { ...base(), ...layout, uirevision: revision } };
    plotly ??= await load();
    if (gone) return;
    const { data: now, layout: as } = latest; // what was asked for last, while the library came
    await plotly.react(field, now, as, { displaylogo: false, displayModeBar: "hover", modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]], doubleClick: "reset" });
    if (built || gone) return;
    built = true;
    field.on("plotly_hover", ({ points: [point] }) => hear(point));
    field.on("plotly_unhover", () => hear(null));
    field.on("plotly_click", ({ points: [point] }) => pick(point));
    field.on("plotly_afterplot", () => mark(places));
    sizes.observe(root);
    mark(places);
  }

  /** Put the playhead at `x`, and outlines at the rows `hovered` and `pinned` (null: none). */
  function mark(where) {
    places = where;
    const size = built && field._fullLayout;
    if (!size?.xaxis) return;
    const { xaxis: x, yaxis: y } = size;
    span(head, where.x, x, y, (low, high) => ({ left: low, top: y._offset, width: high - low, height: y._length }));
    for (const [node, value] of [[row, where.hovered], [pin, where.pinned]]) {
      span(node, value, y, x, (low, high) => ({ left: x._offset, top: low, width: x._length, height: high - low }));
    }
  }

  /** Lay `node` over the cell around `value` on `along`, cut at the ends of the axis. */
  function span(node, value, along, across, box) {
    node.hidden = value === null || value === undefined;
    if (node.hidden) return;
    const ends = [along.l2p(value - 0.5), along.l2p(value + 0.5)].map((at) => Math.max(0, Math.min(along._length, at)) + along._offset).sort((a, b) => a - b);
    node.hidden = ends[1] - ends[0] < 1;
    for (const [name, length] of Object.entries(box(...ends))) node.style[name] = `${length}px`;
  }

  return { show, mark, destroy() { gone = true; sizes.disconnect(); if (built) plotly.purge(field); field.remove(); over.remove(); } };
}

const CLEAR = "rgba(0,0,0,0)";

function base() {
  return {
    paper_bgcolor: CLEAR, plot_bgcolor: CLEAR, font: { family: '"IBM Plex Sans", ui-sans-serif, system-ui, sans-serif', size: 12, color: token("muted") },
    margin: { l: 48, r: 8, t: 8, b: 44 }, hovermode: "closest", dragmode: "zoom", showlegend: false,
    modebar: { bgcolor: CLEAR, color: token("muted"), activecolor: token("ink"), orientation: "h" },
  };
}

const drawn = new Map(); // root -> what makes its figure

/** Draw `make()` = {data, layout} into `root`; of calls that overtake each other the last one stands, and a change of theme draws anew. */
export async function figure(root, make) {
  if (!drawn.size) matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((again, place) => { if (place.isConnected) figure(place, again); }));
  drawn.set(root, make);
  root.setAttribute("aria-busy", "true");
  let plotly = null;
  try { plotly = await load(); } catch { root.textContent = "The chart could not be drawn: its library did not load. The table holds the same values; reload to try again."; }
  try {
    if (plotly && drawn.get(root) === make) await put(plotly, root, make());
  } catch (error) {
    root.textContent = "The chart could not be drawn: these values do not fit it. The table holds them.";
    throw error; // a fault of ours: it belongs in the console, not under the library's name
  } finally {
    root.removeAttribute("aria-busy");
  }
}

async function put(plotly, root, { data, layout }) {
  const narrow = innerWidth < 600, shared = base();
  const own = {
    font: { ...shared.font, size: narrow ? 12 : 13, color: token("ink") }, margin: { ...shared.margin, t: 36 }, dragmode: narrow ? false : "zoom", showlegend: true,
    uirevision: "same", legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
  };
  await plotly.react(root, data, { ...shared, ...own, ...layout }, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] });
  root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
}

/** Call `draw` once `root` comes near the window. */
export function whenSeen(root, draw) {
  const sight = new IntersectionObserver(([entry]) => { if (entry.isIntersecting) { sight.disconnect(); draw(); } }, { rootMargin: "200px" });
  sight.observe(root);
}

export function colours() {
  return { muted: token("muted"), line: token("line"), a: token("lane-a"), b: token("lane-b") };
}
