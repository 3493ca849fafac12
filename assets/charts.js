// Charts of the pages beside the player: colours follow the page's tokens, and charts are drawn again when the theme changes.

import { token } from "./palette.js";
import { plotly } from "./chart_library.js";

const CLEAR = "rgba(0,0,0,0)";
const drawn = new Map();

/** Draw `make()` = {data, layout} into `root`; of calls that overtake each other the last one stands. */
export async function chart(root, make) {
  drawn.set(root, make);
  root.setAttribute("aria-busy", "true");
  try {
    const Plotly = await plotly();
    if (drawn.get(root) !== make) return;
    const { data, layout } = make();
    await Plotly.react(root, data, themed(layout), { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] });
    root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
  } catch {
    root.textContent = "The chart could not be drawn: its library did not load. The table holds the same values; reload to try again.";
  }
  root.removeAttribute("aria-busy");
}

/** Call `draw` once `root` comes near the window. */
export function whenSeen(root, draw) {
  const sight = new IntersectionObserver(([entry]) => { if (entry.isIntersecting) { sight.disconnect(); draw(); } }, { rootMargin: "200px" });
  sight.observe(root);
}

export function colours() {
  return { ink: token("ink"), muted: token("muted"), line: token("line"), hair: token("hair"), a: token("lane-a"), b: token("lane-b"), ok: token("ok"), bad: token("bad") };
}

export function axis(title, more = {}) {
  const { hair, line } = colours();
  return { title: { text: title, standoff: 8 }, gridcolor: hair, linecolor: line, zeroline: false, showline: true, ticks: "outside", tickcolor: line, automargin: true, ...more };
}

function themed(layout) {
  const { ink, muted } = colours();
  const narrow = innerWidth < 600;
  return {
    paper_bgcolor: CLEAR, plot_bgcolor: CLEAR, modebar: { bgcolor: CLEAR, color: muted, activecolor: ink }, margin: { l: 48, r: 8, t: 36, b: 44 }, hovermode: "closest", uirevision: "same",
    font: { family: '"IBM Plex Sans", ui-sans-serif, system-ui, sans-serif', size: narrow ? 12 : 13, color: ink }, dragmode: narrow ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, ...layout,
  };
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [root, make] of drawn) if (root.isConnected) chart(root, make);
});
