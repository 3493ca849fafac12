// The canvas: one span per token. Sizes are fixed when the run starts; only changed spans are touched.

import { keyOf, label, look, paint, shown } from "./cells.js";
import { el, help } from "./dom.js";
import { boxClasses, chunks, layoutOf } from "./layout.js";
import { HELP } from "./words.js";

const RULER = 36, GAP = 3, SIGN = 8.4, EDGES = 12; // px: as in style.css

/** The width of a cell outside a puzzle: every cell holds its longest token, so nothing moves. */
function cellWidth(layout) { return layout.kind === "chars" ? 32 : Math.ceil(layout.width * SIGN + EDGES); }

export function create(root, { trace, lane, clock, select, horizon, beside }) {
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
  let spans = new Map(), seen = new Map(), classes = new Map(), focused = null, tabbed = null, outlined = { hover: null, pin: null };

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
    spans = new Map(); seen = new Map(); classes = new Map(); shape = tabbed = null; outlined = { hover: null, pin: null };
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

  function spanOf(cell, box) {
    if (!spans.has(cell)) {
      spans.set(cell, el("span", { class: "cell", role: "gridcell", tabindex: "-1", "data-cell": String(cell), text: " " }));
      classes.set(cell, box.includes("box-left") ? "cell box-left" : "cell");
    }
    return spans.get(cell);
  }

  function draw(t) {
    if (!trace.start) return;
    if (epoch !== trace.epoch) begin();
    const cells = trace.response(t);
    if (cells !== shape && (!shape || cells.length !== shape.length || trace.orders.length > 1 || !grid.firstChild)) arrange(cells);
    guesses.checked = select.guesses;
    const tail = trace.tail(t), fixed = new Set(trace.start.fixed), pair = beside();
    const { layer, guesses: showing } = select, span = Math.max(1, horizon() - 1), rows = layout.kind === "rows" ? layout.answer : 0;
    cells.forEach((cell, rank) => {
      const now = look(trace, cell, t, { guesses: showing, layer, span, fixed: fixed.has(cell), past: rank >= tail, last: rows > 0 && rank % rows === rows - 1 });
      const other = pair?.of(rank, lane), key = other ? `${keyOf(now)}|${other.key}` : keyOf(now);
      if (seen.get(cell) === key) return;
      seen.set(cell, key);
      const node = spans.get(cell);
      paint(node, trace, now, layout.width, classes.get(cell) + marksOf(cell));
      if (other) pair.draw(node, other);
      else single(node);
      node.setAttribute("aria-label", label(trace, cell, t, now, other?.words ?? ""));
    });
    focused ??= cells[0] ?? null;
    outline();
  }

  /** Of one run alone nothing is said of another: what a comparison drew on a cell goes. */
  function single(node) {
    node.firstElementChild?.remove();
    delete node.dataset.gap;
  }

  const marksOf = (cell) => (select.hover?.cell === cell ? " hover" : "") + (select.pin === cell ? " pin" : "");

  /** Mark what is pointed at and what is pinned, and put the one tab stop; only what changed is touched, and a place that is not there yet later. */
  function outline() {
    const now = { hover: select.hover?.cell ?? null, pin: select.pin };
    for (const name of ["hover", "pin"]) {
      if (now[name] === outlined[name]) continue;
      mark(outlined[name], name, false);
      mark(now[name], name, true);
      outlined[name] = spans.has(now[name]) ? now[name] : null;
    }
    if (tabbed === focused || !spans.has(focused)) return;
    spans.get(tabbed)?.setAttribute("tabindex", "-1");
    spans.get(focused).setAttribute("tabindex", "0");
    tabbed = focused;
  }

  function mark(cell, name, on) {
    const node = spans.get(cell);
    node?.classList.toggle(name, on);
    if (name === "pin" && on) node?.setAttribute("aria-selected", "true");
    else if (name === "pin") node?.removeAttribute("aria-selected");
  }

  /** The cell that an event is about; null also while another run is there whose first frame has not come: these are the cells of the last one. */
  function cellOf(event) {
    const node = epoch === trace.epoch ? event.target.closest?.("[data-cell]") : null;
    return node ? Number(node.dataset.cell) : null;
  }

  // A move, not an entry: what scrolls or grows under a pointer at rest, while somebody types elsewhere, is not pointed at.
  grid.addEventListener("pointermove", (event) => { const cell = cellOf(event); if (cell !== null) select.point(cell); });
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
