// The attribution matrix: a row per written token in the order of writing, a column per place it could look at.

import { askInParts } from "./asking.js";
import { signed } from "./diverging.js";
import { el, help, number, quoted, setText } from "./dom.js";
import { paintMatrix } from "./matrix_paint.js";
import { theme } from "./palette.js";

const AUTO_S = 20; // a matrix that takes no longer is computed unasked
const HELP = [
  "Every row is one written token, the first one at the top; every column is one place of the canvas. The colour says how much that place pushed the row's token up (orange) or down (blue) at the moment it was written.",
  "Places that were still masked then have no colour: a row can only have looked at what was there. Rows below the playhead are pale: they are written later.",
];

export function createMatrix(root, context, changed) {
  const title = el("h4", { class: "why-title", text: "All written tokens: where each of them looked" });
  const run = el("button", { type: "button", class: "button", hidden: true, onclick: () => compute() });
  const stop = el("button", { type: "button", class: "button", text: "Cancel", hidden: true, onclick: () => cancel() });
  const state = el("span", { class: "why-wait", role: "status" });
  const canvas = el("canvas", { "aria-hidden": "true" });
  const later = el("i", { class: "matrix-later" }), row = el("i", { class: "matrix-row", hidden: true }), column = el("i", { class: "matrix-column", hidden: true });
  const field = el("div", { class: "matrix-field", role: "img", tabindex: "0" }, later, row, column);
  const box = el("div", { class: "matrix" }, canvas, field), reading = el("p", { class: "reading" });
  root.append(el("header", { class: "panel-head" }, title, help("Attribution matrix", ...HELP), el("span", { class: "axis", text: "written token, in order ↓  place it looked at →" }), run, stop, state), box, reading);
  let rows = [], width = 0, values = new Map(), way = "", subject = null, settings = null, estimate = 0, whole = false, abort = null, painted = "", size = null, moved = "", largest = 0, offered = null;

  const observer = new ResizeObserver(() => draw(context.t));
  observer.observe(box);

  const keyOf = (step, position) => `${step}|${position}`;

  function layRows() {
    const { trace } = context;
    rows = [];
    for (let step = 1; step <= trace.steps; step++) for (const cell of trace.written[step]) rows.push({ step, cell, position: trace.position(cell, step), id: trace.id(cell, step) });
    width = trace.order(trace.steps).length;
  }

  /** Forget the rows of another run or of another way of computing. */
  function begin(next, found) {
    const other = [next.run, found.method, found.objective, found.baseline].join("|");
    if (other === way) return;
    cancel();
    offered = null;
    way = other;
    values = new Map();
    largest = 0;
    whole = false;
    painted = "";
  }

  function addRow(found) {
    if (!subject && !context.subject) return;
    begin(context.subject ?? subject, found);
    layRows();
    if (!whole) { values.set(keyOf(found.step, found.position), { scores: found.scores, signed: found.signed }); rank(); }
    painted = "";
    draw(context.t);
  }

  /** After one token is explained: the others are, at once where that is quick, else when asked for. */
  function offer(next, chosen, found) {
    subject = next;
    layRows();
    settings = { method: chosen.method, objective: chosen.objective, baseline: chosen.baseline, n_steps: chosen.n_steps };
    estimate = found.took_s * rows.length;
    const ended = !context.trace.live;
    offered = ended ? null : { next, chosen, found }; // made again once the run has ended
    if (whole || abort) return;
    if (ended && estimate <= AUTO_S) { compute(); return; }
    run.hidden = !ended;
    setText(run, `Compute all ${rows.length} rows (about ${estimate < 90 ? `${Math.ceil(estimate)} s` : `${Math.ceil(estimate / 60)} min`})`);
    setText(state, ended ? "" : "All rows can be computed once the run has ended.");
  }

  async function compute() {
    const mine = (abort = new AbortController()), of = subject, mineWay = way;
    run.hidden = true;
    stop.hidden = false;
    setText(state, `0 of ${rows.length} rows`);
    try {
      const answer = await askInParts(of.run, "attribution_matrix", settings, mine.signal, ({ done, total }) => { if (total) setText(state, `${done} of ${total} rows`); });
      if (mine.signal.aborted || way !== mineWay) return;
      take(answer);
      setText(state, settings.method.includes("integrated") ? `every row with ${settings.n_steps} points` : "");
    } catch (error) {
      if (error.name === "AbortError" || mine.signal.aborted) return;
      setText(state, `${error.message} ${error.remedy ?? ""}`);
    } finally {
      if (abort === mine) { abort = null; stop.hidden = true; }
    }
    changed();
  }

  function take(answer) {
    const bytes = Uint8Array.from(atob(answer.scores), (sign) => sign.charCodeAt(0));
    const all = new Float32Array(bytes.buffer);
    const plain = !["attention_rollout", "flow_relevance"].includes(settings.method);
    answer.rows.forEach(([step, position], at) => values.set(keyOf(step, position), { scores: all.subarray(at * answer.columns, (at + 1) * answer.columns), signed: plain }));
    whole = true;
    rank();
    root.dataset.rows = String(answer.rows.length);
    painted = "";
    draw(context.t);
  }

  function cancel() {
    abort?.abort();
    abort = null;
    stop.hidden = true;
    setText(state, "");
    run.hidden = !settings || whole;
  }

  /** The value of full colour: one for chips and matrix. One value in fifty may lie beyond it. */
  function rank() {
    const sizes = [...values.values()].flatMap(({ scores }) => Array.from(scores, (value) => Math.abs(value ?? 0))).filter((value) => value > 0).sort((a, b) => a - b);
    largest = sizes.length ? sizes[Math.min(sizes.length - 1, Math.ceil(0.98 * sizes.length))] : 0;
  }

  function most(found) {
    const own = Math.max(...found.scores.map((value) => Math.abs(value ?? 0)));
    return whole && way.includes(found.method) ? largest : own;
  }

  function paint() { size = paintMatrix({ box, field, canvas }, { rows, width, full: largest || 1, known: (one) => values.get(keyOf(one.step, one.position)), trace: context.trace }); }

  const x = (position) => (position / width) * size.width, y = (rank) => (rank / rows.length) * size.height;

  function draw(t) {
    if (offered && !context.trace.live) {
      const { next, chosen, found } = offered;
      offered = null;
      if (next.run === context.trace.start.run) offer(next, chosen, found);
    }
    if (!way || !rows.length || !box.clientWidth) return;
    const key = [way, values.size, whole, largest, theme.epoch, box.clientWidth, rows.length].join("|");
    if (key !== painted) { painted = key; paint(); moved = ""; }
    const { select, trace } = context, pinned = rows.findIndex((one) => one.cell === select.pin && one.step === context.subject?.step);
    const over = select.hover?.cell ?? null, at = over === null ? -1 : trace.order(trace.steps).indexOf(over);
    const seen = rows.filter((one) => one.step <= t).length;
    const now = [pinned, at, seen].join("|");
    if (now === moved) return;
    moved = now;
    later.style.transform = `translateY(${y(seen)}px)`;
    later.style.height = `${size.height - y(seen)}px`;
    row.hidden = pinned < 0;
    column.hidden = at < 0;
    Object.assign(row.style, { transform: `translateY(${y(Math.max(0, pinned))}px)`, height: `${Math.max(3, y(1))}px` });
    Object.assign(column.style, { transform: `translateX(${x(Math.max(0, at))}px)`, width: `${Math.max(3, x(1))}px` });
    root.dataset.row = pinned < 0 ? "" : String(pinned);
    field.setAttribute("aria-label", `Attribution matrix, ${rows.length} written tokens by ${width} positions, ${values.size} rows known. ${pinned < 0 ? "" : `Row ${pinned + 1}, ${describe(rows[pinned])}, is explained above.`} Arrows up and down choose a row.`);
  }

  const describe = (one) => `${one.id === context.trace.start.eos ? "end of sequence" : quoted(context.trace.text(one.id))} at position ${one.position}, step ${one.step}`;

  function under(event) {
    const place = field.getBoundingClientRect();
    return { at: Math.min(rows.length - 1, Math.max(0, Math.floor(((event.clientY - place.top) / place.height) * rows.length))), position: Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - place.left) / place.width) * width))) };
  }

  function go(at) {
    const one = rows[Math.max(0, Math.min(rows.length - 1, at))];
    if (context.select.pin !== one.cell) context.select.togglePin(one.cell);
    context.seek(one.step);
  }

  field.addEventListener("pointermove", (event) => {
    if (!rows.length) return;
    const { at, position } = under(event), one = rows[at], { trace } = context;
    const cell = trace.order(one.step)[position], known = values.get(keyOf(one.step, one.position));
    context.select.point(cell ?? null);
    if (cell === undefined) return;
    const there = trace.cells[cell].steps[0] > one.step - 1 || trace.isMask(cell, one.step - 1) ? "masked then" : quoted(trace.text(trace.id(cell, one.step - 1)));
    const value = known?.scores[position];
    setText(reading, `${describe(one)} ← position ${position} (${there}): ${value === undefined || value === null ? "not computed" : known.signed ? signed(value, 3) : number(value, 3)}`);
  });
  field.addEventListener("pointerleave", () => { context.select.point(null); setText(reading, ""); });
  field.addEventListener("click", (event) => { if (rows.length) go(under(event).at); });
  field.addEventListener("keydown", (event) => {
    const move = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!move || event.shiftKey || !rows.length) return;
    event.preventDefault();
    go(Number(root.dataset.row || 0) + move);
  });

  return { addRow, offer, most, draw, stop: cancel, destroy() { cancel(); observer.disconnect(); root.replaceChildren(); } };
}
