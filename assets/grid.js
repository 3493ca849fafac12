// The canvas: one span per token. Sizes are fixed when the run starts; only changed spans are touched.

import { keyOf, label, look, paint, shown, sign, signOf, tint } from "./cells.js";
import { el, help, setAttr } from "./dom.js";
import { boxClasses, chunks, layoutOf } from "./layout.js";
import { HELP } from "./words.js";

const RULER = 36, GAP = 3, SIGN = 8.4, EDGES = 12; // px: as in style.css

/** The width of a cell outside a puzzle: every cell holds its longest token, so nothing moves. */
function cellWidth(layout) { return layout.kind === "chars" ? 32 : Math.ceil(layout.width * SIGN + EDGES); }

export function create(root, { trace, lane, clock, select, horizon, marks, gaps }) {
  const promptBox = el("div", { class: "prompt-tokens", role: "group", "aria-label": "Prompt" });
  const grid = el("div", { class: "tokens", role: "grid", "aria-label": `Answer${lane === 1 ? " of run B" : ""}, one cell per token`, "aria-readonly": "true" });
  const guesses = el("input", { type: "checkbox", title: "Key G", onchange: () => select.setGuesses(guesses.checked) });
  root.append(
    el("section", { class: "prompt-part", "aria-label": "Prompt" },
      el("h3", { class: "part-title" }, el("span", { text: "Prompt" }), help("Prompt", ...HELP.prompt)), promptBox),
    el("section", { class: "answer-part", "aria-label": "Answer" },
      el("h3", { class: "part-title" }, el("span", { text: "Answer" }), help("Canvas", ...HELP.canvas),
        el("label", { class: "check" }, guesses, el("span", { text: "best guesses" }))), grid),
  );
  let epoch = -1, layout = null, columns = 0, width = 0, shape = null;
  let spans = new Map(), seen = new Map(), focused = null, outlined = [];

  const observer = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now !== width) { width = now; if (layout && fitting() !== columns) { shape = null; draw(clock.t); } }
  });
  observer.observe(grid);

  function fitting() {
    if (layout.answer) return layout.answer;
    return Math.max(1, Math.floor((width - RULER + GAP) / (cellWidth(layout) + GAP)));
  }

  function begin() {
    epoch = trace.epoch;
    layout = layoutOf(trace);
    for (const part of [promptBox, grid]) {
      part.dataset.kind = layout.kind;
      part.toggleAttribute("data-large", layout.answer > 5);
      if (layout.answer) part.style.removeProperty("--cell-width");
      else part.style.setProperty("--cell-width", `${cellWidth(layout)}px`);
    }
    root.dataset.kind = layout.kind;
    spans = new Map(); seen = new Map(); shape = null;
    focused = trace.response(0)[0] ?? null;
    width = Math.floor(grid.clientWidth);
    drawPrompt();
  }

  function drawPrompt() {
    const given = (cell, row = 0, column = 0) => {
      const text = trace.text(trace.id(cell, 0));
      const classes = ["cell", "given", ...(layout.rows.length ? boxClasses(layout.box, row, column) : [])];
      if (text === "/") classes.push("break");
      if (text === ".") classes.push("blank");
      return el("span", { class: classes.join(" "), text: text === "." ? "·" : shown(text) });
    };
    const flow = (cells) => el("div", { class: "flow" }, ...cells.map((cell) => el("span", { class: "chip", text: shown(trace.text(trace.id(cell, 0))) })));
    promptBox.replaceChildren(
      ...(layout.head.length && !layout.rows.length ? [flow(layout.head)] : []),
      ...layout.rows.map((row, at) => el("div", { class: rowClass(at) }, ...row.map((cell, column) => given(cell, at, column)))),
    );
    root.classList.toggle("no-prompt", trace.prompt.length === 0);
    promptBox.setAttribute("aria-label", !layout.rows.length ? "Tokens of the prompt" : layout.rows.map((row) => row.map((cell) => trace.text(trace.id(cell, 0))).join("")).join(", "));
  }

  function rowClass(at) { return `row${layout.box && at > 0 && at % layout.box[0] === 0 ? " box-top" : ""}`; }

  function arrange(cells) {
    shape = cells;
    columns = fitting();
    grid.replaceChildren(...chunks(cells, columns).map((row, at) => el("div", { role: "row", class: rowClass(at) },
      layout.kind === "rows" ? null : el("span", { class: "ruler", "aria-hidden": "true", text: String(trace.start.prompt_length + at * columns) }),
      ...row.map((cell, column) => spanOf(cell, layout.kind === "rows" ? boxClasses(layout.box, at, column) : [])))));
  }

  function spanOf(cell, classes) {
    if (!spans.has(cell)) {
      const span = el("span", { class: "cell", role: "gridcell", tabindex: "-1", "data-cell": String(cell) });
      if (classes.includes("box-left")) span.classList.add("box-left");
      spans.set(cell, span);
    }
    return spans.get(cell);
  }

  function draw(t) {
    if (!trace.start) return;
    if (epoch !== trace.epoch) begin();
    const cells = trace.response(t);
    if (cells !== shape && (!shape || cells.length !== shape.length || trace.orders.length > 1 || !grid.firstChild)) arrange(cells);
    guesses.checked = select.guesses;
    const tail = trace.tail(t), fixed = new Set(trace.start.fixed), compared = marks(), apart = gaps();
    const { layer, guesses: showing } = select, span = Math.max(1, horizon() - 1), rows = layout.kind === "rows" ? layout.answer : 0;
    cells.forEach((cell, rank) => {
      const now = look(trace, cell, t, { guesses: showing, layer, span, fixed: fixed.has(cell), past: rank >= tail, last: rows > 0 && rank % rows === rows - 1 });
      const mark = compared ? signOf(compared[rank], lane) : null, gap = apart && { value: apart.values[rank] ?? null, limit: apart.limit }, key = keyOf(now, mark, gap);
      if (seen.get(cell) === key) return;
      seen.set(cell, key);
      const node = spans.get(cell);
      paint(node, trace, now, layout.width);
      tint(node, gap);
      sign(node, mark);
      node.setAttribute("aria-label", label(trace, cell, t, now, mark, gap));
    });
    outline();
  }

  function outline() {
    for (const node of outlined) { node.classList.remove("hover", "pin"); node.removeAttribute("aria-selected"); }
    outlined = [];
    for (const [cell, name] of [[select.hover?.cell, "hover"], [select.pin, "pin"]]) {
      const node = spans.get(cell);
      if (!node) continue;
      node.classList.add(name);
      if (name === "pin") node.setAttribute("aria-selected", "true");
      outlined.push(node);
    }
    for (const [cell, node] of spans) setAttr(node, "tabindex", cell === focused ? "0" : "-1");
  }

  const cellOf = (event) => { const node = event.target.closest?.("[data-cell]"); return node ? Number(node.dataset.cell) : null; };
  grid.addEventListener("pointerover", (event) => { const cell = cellOf(event); if (cell !== null) select.point(cell); });
  grid.addEventListener("pointerleave", () => select.point(null));
  grid.addEventListener("focusin", (event) => { const cell = cellOf(event); if (cell !== null) { focused = cell; select.point(cell); } });
  grid.addEventListener("focusout", () => select.point(null));
  grid.addEventListener("click", (event) => { const cell = cellOf(event); if (cell === null) return; select.togglePin(cell); if (select.pin === cell) spans.get(cell)?.scrollIntoView({ block: "nearest" }); });
  grid.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { select.togglePin(focused); event.preventDefault(); return; }
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const cells = trace.response(clock.t);
    const to = Math.max(0, Math.min(cells.length - 1, cells.indexOf(focused) + move));
    event.preventDefault();
    event.stopPropagation();
    spans.get(cells[to])?.focus();
  });

  return { draw, destroy() { observer.disconnect(); root.replaceChildren(); } };
}
