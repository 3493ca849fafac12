// What if? A change at one place of a finished run: the rest of the run is then decoded again, beside it.

import { el, probability, setText } from "./dom.js";

const VERBS = [["write", "write"], ["pin", "write and pin"], ["forbid", "forbid"], ["erase", "erase the token"], ["span", "mask a span"], ["hand", "choose by hand next"], ["decoder", "go on with"]];
const TOKENS = ["write", "pin", "forbid", "hand"], DECODERS = ["hand", "decoder"], BEGIN_ANEW = ["erase", "span", "hand", "decoder"];

const EXACT = "The run is decoded again with this change, and all else equal, the noise included; it is shown beside the first one.";
const ANEW = "The run is decoded again up to here with this change; the decoder then begins anew, with the same noise at every step and position. It is shown beside the first one.";
const OWN_LOOP = "The run is decoded again with this change. This decoder has a loop of its own, so what differs later may come from more than the change. It is shown beside the first one.";
const WAITS = "Another run is under way: a branch can be made once it has ended.";

export function create(root, { trace, clock, select, branch, canBranch, busy, choices, still }) {
  const verb = el("select", { "aria-label": "Change", onchange: refresh }, ...VERBS.map(([value, text]) => el("option", { value, text })));
  const token = el("select", { "aria-label": "Token", onchange: refresh });
  const decoder = el("select", { "aria-label": "Decoder that goes on", hidden: true, onchange: refresh });
  const last = el("input", { type: "number", "aria-label": "Last position of the span", hidden: true, oninput: refresh });
  const where = el("span"), go = el("button", { type: "submit", class: "button", text: "Branch here" });
  const form = el("form", { onsubmit: submit }, verb, token, last, decoder, where, go);
  const says = el("p");
  root.append(el("h4", { text: "What if?" }), form, says);
  root.hidden = true;
  let listed = "", seen = null, asked = null;

  /** The change that the form stands for: the step it happens at, and what happens. */
  function change() {
    const cell = select.pin, t = clock.t;
    const state = trace.state(cell, t);
    if (verb.value === "decoder") return { state, step: t, asked: { decoder: decoder.value } };
    if (verb.value === "span") return { state, step: t, asked: { edits: spanned(cell, t).map((position) => ["erase", position, null]) } };
    if (verb.value === "hand") { // the move is the step after this one; who goes on then begins anew
      const moves = `${trace.response(t).indexOf(cell)}=${token.value}`;
      return { state, step: t, asked: { decoder: "manual", settings: { moves }, then: decoder.value } };
    }
    // Another token is put where this one was chosen; what is still masked is decided now.
    const step = verb.value === "erase" || state.masked ? t : state.step;
    const id = verb.value === "erase" ? null : Number(token.value);
    return { state, step, id, asked: { edits: [[verb.value, trace.position(cell, step), id]] } };
  }

  /** The written positions from the pinned cell up to the one that was typed. */
  function spanned(cell, t) {
    const from = trace.position(cell, t), order = trace.order(t), positions = [];
    for (let at = from; at <= Math.min(Number(last.value), order.length - 1); at++) {
      const { masked, step } = trace.state(order[at], t);
      if (!masked && step > 0) positions.push(at);
    }
    return positions;
  }

  async function listDecoders() {
    try {
      const { decoders } = await choices();
      decoder.replaceChildren(...decoders.map(({ name, title }) => el("option", { value: name, text: title, selected: name === trace.start.decoder })));
    } catch { decoder.replaceChildren(el("option", { value: "", text: "The list could not be fetched" })); }
    refresh();
  }

  function list(cell, state, t) {
    const step = state.masked ? t : state.step;
    const known = trace.candidates(cell, step);
    if (document.activeElement !== last && seen !== cell) { seen = cell; last.value = String(trace.position(cell, t)); }
    const key = [trace.epoch, cell, step, known?.ids.length ?? 0, state.id].join("|");
    if (key === listed) return;
    listed = key;
    const rows = known ? known.ids.map((id, at) => ({ id, prob: known.probs[at] })).filter(({ id }) => id !== trace.start.mask) : [];
    token.replaceChildren(...rows.map(({ id, prob }) => el("option", { value: id, text: `${id === trace.start.eos ? "∎ end" : trace.text(id)}  ${probability(prob)}` })));
    const other = rows.find(({ id }) => id !== state.id);
    if (other && !state.masked) token.value = String(other.id);
  }

  function refresh() { draw(clock.t); }

  function draw(t) {
    const cell = select.pin;
    const rank = cell === null || !still() ? -1 : trace.response(t).indexOf(cell);
    const state = rank < 0 ? null : trace.state(cell, t);
    root.hidden = !canBranch() || !state || t === 0 || (!state.masked && state.step === 0) || trace.start.run === "example";
    if (root.hidden) return;
    list(cell, state, t);
    asked = change();
    token.hidden = !TOKENS.includes(verb.value);
    decoder.hidden = !DECODERS.includes(verb.value);
    last.hidden = verb.value !== "span";
    if (!decoder.hidden && !decoder.options.length) { decoder.append(el("option", { value: "", text: "…" })); listDecoders(); }
    setText(where, asked.step ? `at step ${asked.step + (verb.value === "hand" ? 1 : 0)}` : "");
    const useless = {
      decoder: () => !decoder.value, erase: () => state.masked, span: () => !asked.asked.edits.length,
      hand: () => !state.masked || !token.value || !decoder.value, write: () => !token.value || asked.id === state.id,
    }[verb.value] ?? (() => !token.value);
    go.disabled = useless() || busy();
    setText(says, busy() ? WAITS : BEGIN_ANEW.includes(verb.value) ? ANEW : trace.start.own_loop ? OWN_LOOP : EXACT);
  }

  function submit(event) {
    event.preventDefault();
    if (!go.disabled && asked) branch(asked.step, asked.asked);
  }

  return { draw, destroy() { root.replaceChildren(); } };
}
