// How one cell of the canvas looks: what holds for its token at a step, and how that is drawn on its span.

import { el, probability } from "./dom.js";
import { darkText, signed, signedCss, signedRgb } from "./diverging.js";
import { CSS, DARK_TEXT, index } from "./palette.js";

const MASKED = 1, NOW = 2, REWRITTEN = 4, FIXED = 8, TAIL = 16, DRAFT = 32, END = 64, BREAK = 128;
const CLASSES = [["masked", MASKED], ["now", NOW], ["rewritten", REWRITTEN], ["fixed", FIXED], ["tail", TAIL], ["draft", DRAFT], ["end", END], ["break", BREAK]];

/**
 * What is shown of a cell at step `t`: `{state, flags, colour, hint, guess, sure}`; `hint` is the token in a masked place, a draft or the best
 * `guess`, whose probability in percent is `sure`. `more` says what does not depend on the cell alone: `guesses` (are they shown), `layer`,
 * `span` (steps of the scale of order), `fixed`, `past` (is it after the end), and `last` (does a row of a puzzle end here).
 */
export function look(trace, cell, t, { guesses, layer, span, fixed, past, last }) {
  const state = trace.state(cell, t), { mask, eos } = trace.start;
  const draft = state.masked ? trace.drafts[t]?.get(cell) : undefined;
  const belief = state.masked ? trace.candidates(cell, t) : null;
  const favourite = belief ? belief.ids.findIndex((id) => id !== mask) : -1;
  const guess = favourite < 0 ? null : belief.ids[favourite];
  const share = layer !== "order" ? trace.shownScore(layer, cell, t) : state.masked || state.step === 0 ? NaN : (state.step - 1) / span;
  const hint = draft ?? (guesses ? guess : null);
  const ends = eos !== null && (state.masked ? hint : state.id) === eos;
  const flags = (state.masked ? MASKED : 0) | (!state.masked && t > 0 && state.step === t ? NOW : 0)
    | (state.writes > 1 ? REWRITTEN : 0) | (fixed ? FIXED : 0) | (!state.masked && past ? TAIL : 0)
    | (draft === undefined ? 0 : DRAFT) | (ends ? END : 0) | (last ? BREAK : 0);
  return { state, flags, colour: index(share), hint, guess, sure: guess === null ? 0 : Math.round(belief.probs[favourite] * 100) };
}

/** Names a look: two that are equal are drawn alike. */
export function keyOf({ state, flags, colour, hint, guess, sure }, mark, gap) {
  return `${state.id}|${flags}|${colour}|${hint}|${guess}|${sure}|${state.step}|${mark?.sign}|${gap?.value}|${gap?.limit}`;
}

/** Colour a span by what sets its place apart in two runs, `{value, limit}`, sign printed; null: by its own layer, as painted. */
export function tint(node, gap) {
  node.dataset.gap = gap && gap.value !== null ? signed(gap.value)[0].replace("0", "") : "";
  if (!gap) return;
  const share = gap.value === null ? null : gap.value / gap.limit;
  node.classList.toggle("scored", share !== null);
  node.classList.toggle("bright", share !== null && darkText(signedRgb(share)));
  node.style.setProperty("--c", share === null ? "transparent" : signedCss(share));
  node.style.setProperty("--share", share === null ? "0" : String(Math.abs(share)));
}

/** Draw a look on its span; `width` is in signs. */
export function paint(node, trace, { state, flags, colour, hint }, width) {
  const text = flags & END ? "" : state.masked ? (hint === null || hint === undefined ? "" : trace.text(hint)) : trace.text(state.id);
  for (const [name, bit] of CLASSES) node.classList.toggle(name, Boolean(flags & bit));
  node.classList.toggle("scored", colour >= 0);
  node.classList.toggle("bright", colour >= 0 && DARK_TEXT[colour]);
  node.classList.toggle("long", [...text].length > width + 1);
  node.classList.toggle("lead", text.length > 1 && text.startsWith(" "));
  node.style.setProperty("--c", colour < 0 ? "transparent" : CSS[colour]);
  node.style.setProperty("--share", colour < 0 ? "0" : String(colour / 255));
  const next = shown(text);
  if (node.textContent !== next) node.textContent = next;
}

/** The sign of a comparison stands beside the text, not in it. */
export function sign(node, mark) {
  const shows = mark?.sign ?? "";
  let own = node.querySelector("i");
  if (!shows) { own?.remove(); node.classList.remove("differs"); return; }
  if (!own) node.append(own = el("i", { class: "sign", "aria-hidden": "true" }));
  own.dataset.sign = shows;
  node.classList.toggle("differs", shows === "≠");
}

/** A cell in words. */
export function label(trace, cell, t, { state, guess, sure }, mark, gap) {
  const apart = gap && gap.value !== null ? `, B minus A ${signed(gap.value)}` : "";
  const place = `position ${trace.position(cell, t)}`, against = (mark?.words ? `, ${mark.words}` : "") + apart;
  if (state.masked) return (guess === null ? `${place}, masked` : `${place}, masked, best guess “${trace.text(guess)}” ${(sure / 100).toFixed(2)}`) + against;
  const token = state.id === trace.start.eos ? "end of sequence" : `“${trace.text(state.id)}”`;
  return (state.step === 0 ? `${place}, ${token}, fixed` : `${place}, ${token}, written at step ${state.step}, probability ${probability(state.prob)}`) + against;
}

/** A mark as one lane shows it: ◂n is n earlier than the other lane, n▸ later. */
export function signOf(mark, lane) {
  if (!mark || mark.kind === "same" || mark.kind === "open") return null;
  if (mark.kind === "differs") return { sign: "≠", words: "another token in the other run" };
  if (mark.kind === "moved") {
    const by = lane === 0 ? mark.by : -mark.by;
    return by < 0 ? { sign: `◂${-by}`, words: `${-by} earlier than in the other run` } : { sign: `${by}▸`, words: `${by} later than in the other run` };
  }
  return mark.kind === (lane === 0 ? "only_a" : "only_b") ? { sign: "·", words: "not written in the other run yet" } : null;
}

/** A token as a cell shows it: line ends and spaces have a sign of their own. */
export function shown(text) {
  if (text === " ") return "␣";
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ /, "");
}
