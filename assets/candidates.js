// Candidates: what the model considered for one place, how that moved, and why it was written when it was.

import { el, help, probability, quoted, reading, setText, svg } from "./dom.js";
import { HELP } from "./words.js";

const HISTORY = 192; // steps that the course looks back: fewer than source.js keeps
const KEPT = 8, WIDTH = 336, HEIGHT = 132, PAD = { left: 32, right: 8, top: 6, bottom: 22 };

export function create(root, { trace, clock, select, want }) {
  const place = el("h3"), unpin = el("button", { type: "button", class: "quiet", text: "Unpin", onclick: () => select.clear() });
  const token = el("p", { class: "token-line" });
  const list = el("ol", { class: "bars", "aria-label": "Most probable tokens" });
  const why = el("p", { class: "why" });
  const values = el("dl", { class: "values" });
  const chart = svg("svg", { class: "course", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "Probability of each candidate over the steps" });
  const caption = el("p", { class: "caption", text: "probability of each candidate, step by step" });
  root.append(el("header", { class: "panel-head" }, place, help("Candidates", ...HELP.candidates), unpin), token, list, chart, caption, el("h4", { text: "Why now?" }), why, values);
  for (let k = 0; k < KEPT; k++) {
    list.append(el("li", { onpointerenter: () => mark(k), onpointerleave: () => mark(-1) },
      el("code", { class: "name" }), el("span", { class: "track" }, el("i")), el("span", { class: "prob" })));
  }
  let drawn = "", charted = "", marked = [];

  /** The place to speak of: pointed at, pinned, or else what this step wrote first. */
  function subject(t) {
    if (select.cell !== null && trace.cells[select.cell]) return select.cell;
    for (let step = t; step > 0; step--) if (trace.written[step].length) return trace.written[step][0];
    return trace.response(t)[0] ?? null;
  }

  function draw(t) {
    if (!trace.start) return;
    const cell = subject(t);
    if (cell === null) return;
    const seenAt = Math.min(select.step ?? t, trace.steps);
    const state = trace.state(cell, seenAt);
    const step = state.masked ? seenAt : state.step;
    const last = state.masked ? trace.nextWrite(cell, seenAt) || trace.steps : state.step;
    want(Math.max(1, last - HISTORY + 1), Math.max(1, last));
    const known = trace.candidates(cell, step);
    const key = [trace.epoch, cell, seenAt, t, select.pin, known ? known.ids.length : 0].join("|");
    if (key !== drawn) { drawn = key; describe(cell, seenAt, step, state, known); }
    course(cell, step, last, state);
  }

  function describe(cell, t, step, state, known) {
    setText(place, `Position ${trace.position(cell, t)}`);
    unpin.hidden = select.pin === null;
    const name = state.id === trace.start.eos ? "end of sequence" : quoted(trace.text(state.id));
    setText(token, state.masked ? `Still masked after step ${t}` : state.step === 0 ? `${name}, fixed from the start` : `${name}, at step ${state.step} with probability ${probability(state.prob)}`);
    [...list.children].forEach((row, k) => {
      const id = known?.ids[k];
      const prob = known?.probs[k] ?? 0;
      row.classList.toggle("empty", id === undefined);
      row.classList.toggle("chosen", id !== undefined && !state.masked && id === state.id);
      row.dataset.id = id ?? "";
      setText(row.children[0], id === undefined ? "" : name_(id));
      row.children[1].firstChild.style.transform = `scaleX(${prob})`;
      setText(row.children[2], id === undefined ? "" : probability(prob));
    });
    explain(cell, t, step, state);
  }

  function name_(id) {
    if (id === trace.start.eos) return "∎ end";
    if (id === trace.start.mask) return "mask";
    return trace.text(id).replace(/^ /, "·").replace(/\n/g, "⏎");
  }

  function explain(cell, t, step, state) {
    const next = trace.nextWrite(cell, t);
    const told = trace.notes[step]?.why ?? "";
    let text = "";
    if (state.step === 0 && !state.masked) text = "It was given with the prompt; the decoder never changes it.";
    else if (state.masked && t === 0) text = "Nothing is decided before the first forward pass.";
    else if (state.masked) text = `Not yet. Step ${t}: ${told}${next && next <= trace.steps ? ` This place is written at step ${next}.` : ""}`;
    else text = `Step ${step}: ${told}`;
    setText(why, text);
    const shown = [...trace.scores.values()].map(({ measure }) => [measure.title, trace.score(measure.name, cell, step), measure]);
    values.replaceChildren(...shown.map(([title, share, measure]) => el("div", {}, el("dt", { text: title }), el("dd", {
      text: Number.isNaN(share) ? "–" : reading(measure, trace.value(measure.name, share)),
    }))));
  }

  /** Crossing lines: the eight tokens that were ever most probable here, up to the moment of writing. */
  function course(cell, step, last, state) {
    const columns = Math.max(2, trace.horizon);
    let loaded = 0;
    for (let k = 1; k <= last; k++) if (trace.candidates(cell, k)) loaded++;
    const key = [trace.epoch, cell, last, loaded, columns, step].join("|");
    if (key === charted) return;
    charted = key;
    const x = (k) => PAD.left + ((k - 1) / (columns - 1)) * (WIDTH - PAD.left - PAD.right);
    const y = (p) => HEIGHT - PAD.bottom - p * (HEIGHT - PAD.top - PAD.bottom);
    const best = new Map();
    for (let k = 1; k <= last; k++) {
      trace.candidates(cell, k)?.ids.forEach((id, at) => best.set(id, Math.max(best.get(id) ?? 0, trace.candidates(cell, k).probs[at])));
    }
    const tokens = [...best].sort((a, b) => b[1] - a[1]).slice(0, KEPT).map(([id]) => id);
    const chosen = trace.cells[cell].ids[trace.at(cell, last)];
    const lines = tokens.map((id) => line(cell, id, last, x, y, id === chosen));
    const moment = chosen !== trace.start.mask && trace.candidates(cell, last) ? [svg("circle", { class: "moment", cx: x(last), cy: y(trace.state(cell, last).prob || 0), r: 4.5 })] : [];
    const ticks = [...new Set([1, Math.round((columns + 1) / 2), columns])];
    chart.replaceChildren(
      ...[0, 0.5, 1].flatMap((p) => [svg("line", { class: "rule", x1: PAD.left, x2: WIDTH - PAD.right, y1: y(p), y2: y(p) }), svg("text", { x: PAD.left - 6, y: y(p) + 4, "text-anchor": "end", text: p === 0.5 ? ".5" : String(p) })]),
      ...ticks.map((k) => svg("text", { x: x(k), y: HEIGHT - 6, "text-anchor": k === columns ? "end" : k === 1 ? "start" : "middle", text: k === 1 ? "step 1" : String(k) })),
      svg("line", { class: "now", x1: x(Math.max(1, step)), x2: x(Math.max(1, step)), y1: PAD.top, y2: HEIGHT - PAD.bottom }),
      ...lines, ...moment,
    );
    marked = lines;
  }

  function line(cell, id, last, x, y, chosen) {
    let path = "", drawing = false;
    for (let k = 1; k <= last; k++) {
      const known = trace.candidates(cell, k);
      const at = known ? known.ids.indexOf(id) : -1;
      if (at < 0) { drawing = false; continue; }
      path += `${drawing ? "L" : "M"}${x(k).toFixed(1)} ${y(known.probs[at]).toFixed(1)}`;
      if (!drawing && !trace.candidates(cell, k + 1)) path += "h.1";
      drawing = true;
    }
    return svg("path", { d: path || "M0 0", class: chosen ? "line chosen" : "line", "data-id": id });
  }

  function mark(k) {
    const id = k < 0 ? null : list.children[k].dataset.id;
    for (const path of marked) path.classList.toggle("marked", id !== null && path.dataset.id === id);
  }


  return { draw, destroy() { root.replaceChildren(); } };
}
