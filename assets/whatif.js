// What if? A change at one place of a finished run: the rest of the run is then decoded again, beside it.

import { el, probability, setText } from "./dom.js";

const VERBS = [["write", "write"], ["forbid", "forbid"], ["erase", "erase the token"], ["decoder", "go on with"]];

export function create(root, { trace, clock, select, branch, canBranch, choices, still }) {
  const verb = el("select", { "aria-label": "Change", onchange: refresh }, ...VERBS.map(([value, text]) => el("option", { value, text })));
  const token = el("select", { "aria-label": "Token", onchange: refresh });
  const decoder = el("select", { "aria-label": "Decoder that goes on", hidden: true, onchange: refresh });
  const where = el("span"), go = el("button", { type: "submit", class: "button", text: "Branch here" });
  const form = el("form", { onsubmit: submit }, verb, token, decoder, where, go);
  root.append(el("h4", { text: "What if?" }), form, el("p", { text: "The run is decoded again with this change, and all else equal, the noise included; it is shown beside the first one." }));
  root.hidden = true;
  let listed = "", asked = null;

  /** The change that the form stands for: the step it happens at, and what happens. */
  function change() {
    const cell = select.pin, t = clock.t;
    const state = trace.state(cell, t);
    if (verb.value === "decoder") return { state, step: t, asked: { decoder: decoder.value } };
    // Another token is put where this one was chosen; what is still masked is decided now.
    const step = verb.value === "erase" || state.masked ? t : state.step;
    const id = verb.value === "erase" ? null : Number(token.value);
    return { state, step, id, asked: { edits: [[verb.value, trace.position(cell, step), id]] } };
  }

  async function listDecoders() {
    try {
      const { decoders } = await choices();
      decoder.replaceChildren(...decoders.map(({ name, title }) => el("option", { value: name, text: title })));
    } catch { decoder.replaceChildren(el("option", { value: "", text: "The list could not be fetched" })); }
    refresh();
  }

  function list(cell, state, t) {
    const step = state.masked ? t : state.step;
    const known = trace.candidates(cell, step);
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
    token.hidden = verb.value === "erase" || verb.value === "decoder";
    decoder.hidden = verb.value !== "decoder";
    if (!decoder.hidden && !decoder.options.length) { decoder.append(el("option", { value: "", text: "…" })); listDecoders(); }
    setText(where, asked.step ? `at step ${asked.step}` : "");
    const useless = verb.value === "decoder" ? !decoder.value : verb.value === "erase" ? state.masked : !token.options.length || (verb.value === "write" && asked.id === state.id);
    go.disabled = useless;
  }

  function submit(event) {
    event.preventDefault();
    if (!go.disabled && asked) branch(asked.step, asked.asked);
  }

  return { draw, destroy() { root.replaceChildren(); } };
}
