// The canvas on which a token was chosen, each token with its score: colour and printed number say the same.

import { darkText, signed, signedCss, signedRgb } from "./diverging.js";
import { el, number, quoted } from "./dom.js";
import { chunks, layoutOf } from "./layout.js";
import { CIVIDIS, CSS, DARK_TEXT, index } from "./palette.js";

export function createBoard(root, context) {
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Canvas with attributions, one button per token; arrows move, Enter explains a written token");
  let items = [], focused = 0, marked = "";

  /** Draw the scores of `found` for `subject`; `most` is the value of full colour. */
  function show(found, subject, most, whole, trace) {
    const order = trace.order(found.step), prompt = trace.start.prompt_length;
    const ranges = whole ? found.words : found.scores.map((score, at) => [at, at + 1, score]);
    items = ranges.map(([begin, end, score]) => {
      const cells = order.slice(begin, end), before = found.step - 1;
      const target = begin <= found.position && found.position < end;
      const states = cells.map((cell) => (trace.cells[cell].steps[0] > before ? { masked: true, step: 0 } : trace.state(cell, before)));
      const masked = states[0].masked;
      const text = target || masked ? "" : states.map((state) => token(trace, state.id)).join("");
      const place = target ? "this token" : masked ? "masked" : begin < prompt ? "prompt" : states[0].step ? `step ${states[0].step}` : "fixed";
      return { begin, end, score: score ?? 0, cell: cells[0], target, masked, text, place: `position ${begin} · ${place}`, given: begin < prompt, written: states[0].step };
    });
    const layout = layoutOf(trace);
    const nodes = items.map((item) => chip(item, found, subject, most));
    const part = (name, rows) => el("div", { class: "why-part" }, el("h5", { text: name }), ...rows.map((row) => el("div", { class: "why-row" }, ...row)));
    const given = nodes.filter((_, at) => items[at].given), answer = nodes.filter((_, at) => !items[at].given);
    const puzzle = layout.rows.length && !whole;
    const rowsOf = puzzle ? [given.slice(0, layout.head.length), ...chunks(given.slice(layout.head.length, given.length - layout.foot.length), layout.rows[0].length), given.slice(given.length - layout.foot.length)].filter((row) => row.length) : [given];
    root.toggleAttribute("data-puzzle", Boolean(puzzle));
    const had = root.contains(document.activeElement);
    root.replaceChildren(...(given.length ? [part("Prompt", rowsOf)] : []), part("Answer", puzzle ? chunks(answer, layout.answer) : [answer]));
    focused = Math.min(focused, items.length - 1);
    nodes.forEach((node, at) => { items[at].node = node; node.tabIndex = at === focused ? 0 : -1; });
    if (had) items[focused]?.node.focus();
    marked = "";
  }

  function chip(item, found, subject, most) {
    const share = item.score / most, colour = found.signed ? signedRgb(share) : CIVIDIS[index(Math.min(1, Math.max(0, share)))];
    const coloured = !item.masked && !item.target && item.score !== 0;
    const value = item.score === 0 ? "" : found.signed ? signed(item.score) : number(item.score);
    const dark = found.signed ? darkText(colour) : DARK_TEXT[index(Math.min(1, share))];
    const text = item.target ? (subject.token === context.trace.start.eos ? "∎" : subject.text) : item.text;
    const node = el("button", {
      type: "button", class: ["why-chip", item.masked && !item.target && "masked", item.target && "target", coloured && "coloured", coloured && !dark && "bright-ink"].filter(Boolean).join(" "),
      "aria-label": `${item.place}${item.masked ? "" : `, ${quoted(text)}`}, ${value ? `${value} ${found.unit}` : "no score"}`,
      "data-position": String(item.begin), onclick: () => pick(item),
    }, el("span", { class: "text", text: shown(text) }), el("span", { class: "score", text: value }));
    if (coloured) node.style.setProperty("--c", found.signed ? signedCss(share) : CSS[index(Math.min(1, Math.max(0, share)))]);
    node.addEventListener("pointerenter", () => context.select.point(item.cell));
    return node;
  }

  /** Explain another token: only what the decoder wrote was chosen. */
  function pick(item) {
    if (item.given || item.target || item.masked || !item.written) return;
    if (context.select.pin !== item.cell) context.select.togglePin(item.cell);
    context.seek(item.written);
  }

  root.addEventListener("pointerleave", () => context.select.point(null));
  root.addEventListener("focusin", (event) => {
    const at = items.findIndex((item) => item.node === event.target);
    if (at < 0) return;
    items[focused]?.node.setAttribute("tabindex", "-1");
    focused = at;
    items[at].node.tabIndex = 0;
    context.select.point(items[at].cell);
  });
  root.addEventListener("focusout", () => context.select.point(null));
  root.addEventListener("keydown", (event) => {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowLeft: focused - 1, ArrowRight: focused + 1, Home: 0, End: items.length - 1, ArrowUp: across(-1), ArrowDown: across(1) }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    items[Math.max(0, Math.min(items.length - 1, to))].node.focus();
  });

  /** The chip of the next line that lies nearest below or above. */
  function across(way) {
    const here = items[focused]?.node.getBoundingClientRect();
    if (!here) return 0;
    const lines = items.map(({ node }, at) => ({ at, box: node.getBoundingClientRect() })).filter(({ box }) => way * (box.top - here.top) > 4);
    if (!lines.length) return focused;
    const top = way > 0 ? Math.min(...lines.map(({ box }) => box.top)) : Math.max(...lines.map(({ box }) => box.top));
    const line = lines.filter(({ box }) => Math.abs(box.top - top) < 4);
    return line.reduce((best, one) => (Math.abs(one.box.left - here.left) < Math.abs(best.box.left - here.left) ? one : best)).at;
  }

  function highlight() {
    const { cell, pin } = context.select;
    const key = `${cell}|${pin}`;
    if (key === marked) return;
    marked = key;
    for (const item of items) item.node?.classList.toggle("linked", item.cell === cell && cell !== pin);
  }

  return { show, highlight, units: () => items.filter((item) => !item.target) };
}

function token(trace, id) { return id === trace.start.eos ? "∎" : trace.text(id); }

/** A token as a chip shows it: line ends and a lone space have a sign of their own. */
function shown(text) {
  if (text === " ") return "␣";
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ /, "·");
}
