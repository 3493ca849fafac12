// The canvas: one span per token. Sizes are fixed when the run starts; only changed spans are touched.

import { el, help, probability, setAttr } from "./dom.js";
import { boxClasses, chunks, layoutOf } from "./layout.js";
import { CSS, DARK_TEXT, index } from "./palette.js";
import { HELP } from "./words.js";

const MASKED = 1, NOW = 2, REWRITTEN = 4, FIXED = 8, TAIL = 16, DRAFT = 32, END = 64, BREAK = 128;
const CLASSES = [["masked", MASKED], ["now", NOW], ["rewritten", REWRITTEN], ["fixed", FIXED], ["tail", TAIL], ["draft", DRAFT], ["end", END], ["break", BREAK]];

const RULER = 36, GAP = 3, SIGN = 8.4, EDGES = 12; // px: as in style.css

/** The width of a cell outside a puzzle: every cell holds its longest token, so nothing moves. */
function cellWidth(layout) { return layout.kind === "chars" ? 32 : Math.ceil(layout.width * SIGN + EDGES); }

export function create(root, { trace, lane, clock, select, horizon, marks }) {
  const promptBox = el("div", { class: "prompt-tokens" });
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
    if (layout.rows.length) promptBox.setAttribute("aria-label", layout.rows.map((row) => row.map((cell) => trace.text(trace.id(cell, 0))).join("")).join(", "));
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
    const tail = trace.tail(t), fixed = new Set(trace.start.fixed);
    const span = Math.max(1, horizon() - 1), compared = marks();
    cells.forEach((cell, rank) => {
      const state = trace.state(cell, t);
      const draft = state.masked ? trace.drafts[t]?.get(cell) : undefined;
      const belief = state.masked ? trace.candidates(cell, t) : null;
      const favourite = belief ? belief.ids.findIndex((id) => id !== trace.start.mask) : -1;
      const guess = favourite < 0 ? null : belief.ids[favourite];
      const share = select.layer === "order"
        ? (state.masked || state.step === 0 ? NaN : (state.step - 1) / span)
        : trace.shownScore(select.layer, cell, t);
      const hint = draft ?? (select.guesses ? guess : null);
      const eos = (state.masked ? hint : state.id) === trace.start.eos && trace.start.eos !== null;
      const flags = (state.masked ? MASKED : 0) | (!state.masked && t > 0 && state.step === t ? NOW : 0)
        | (state.writes > 1 ? REWRITTEN : 0) | (fixed.has(cell) ? FIXED : 0) | (!state.masked && rank >= tail ? TAIL : 0)
        | (draft === undefined ? 0 : DRAFT) | (eos ? END : 0)
        | (layout.kind === "rows" && rank % layout.answer === layout.answer - 1 ? BREAK : 0);
      const sure = guess === null ? 0 : Math.round(belief.probs[favourite] * 100);
      const colour = index(share);
      const mark = compared ? signOf(compared[rank], lane) : null;
      const key = `${state.id}|${flags}|${colour}|${hint}|${guess}|${sure}|${state.step}|${mark?.sign}`;
      if (seen.get(cell) === key) return;
      seen.set(cell, key);
      paint(spans.get(cell), state, flags, colour, hint);
      sign(spans.get(cell), mark);
      spans.get(cell).setAttribute("aria-label", label(cell, t, state, guess, sure) + (mark?.words ? `, ${mark.words}` : ""));
    });
    outline();
  }

  function paint(node, state, flags, colour, hint) {
    const text = flags & END ? "" : state.masked ? (hint === null || hint === undefined ? "" : trace.text(hint)) : trace.text(state.id);
    for (const [name, bit] of CLASSES) node.classList.toggle(name, Boolean(flags & bit));
    node.classList.toggle("scored", colour >= 0);
    node.classList.toggle("bright", colour >= 0 && DARK_TEXT[colour]);
    node.classList.toggle("long", [...text].length > layout.width + 1);
    node.classList.toggle("lead", text.length > 1 && text.startsWith(" "));
    node.style.setProperty("--c", colour < 0 ? "transparent" : CSS[colour]);
    node.style.setProperty("--share", colour < 0 ? "0" : String(colour / 255));
    const next = shown(text);
    if (node.textContent !== next) node.textContent = next;
  }

  /** The sign of a comparison stands beside the text, not in it. */
  function sign(node, mark) {
    const shows = mark?.sign ?? "";
    let own = node.querySelector("i");
    if (!shows) { own?.remove(); node.classList.remove("differs"); return; }
    if (!own) node.append(own = el("i", { class: "sign", "aria-hidden": "true" }));
    own.dataset.sign = shows;
    node.classList.toggle("differs", shows === "≠");
  }

  function label(cell, t, state, guess, sure) {
    const place = `position ${trace.position(cell, t)}`;
    if (state.masked) return guess === null ? `${place}, masked` : `${place}, masked, best guess “${trace.text(guess)}” ${(sure / 100).toFixed(2)}`;
    const token = state.id === trace.start.eos ? "end of sequence" : `“${trace.text(state.id)}”`;
    return state.step === 0 ? `${place}, ${token}, fixed` : `${place}, ${token}, written at step ${state.step}, probability ${probability(state.prob)}`;
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

/** A mark as one lane shows it: ◂n is n earlier than the other lane, n▸ later. */
function signOf(mark, lane) {
  if (!mark || mark.kind === "same" || mark.kind === "open") return null;
  if (mark.kind === "differs") return { sign: "≠", words: "another token in the other run" };
  if (mark.kind === "moved") {
    const by = lane === 0 ? mark.by : -mark.by;
    return by < 0 ? { sign: `◂${-by}`, words: `${-by} earlier than in the other run` } : { sign: `${by}▸`, words: `${by} later than in the other run` };
  }
  return mark.kind === (lane === 0 ? "only_a" : "only_b") ? { sign: "·", words: "not written in the other run yet" } : null;
}

/** A token as a cell shows it: line ends and spaces have a sign of their own. */
function shown(text) {
  if (text === " ") return "␣";
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ /, "");
}
