// How one cell of the canvas looks: what holds for its token at a step, and how that is drawn on its span.

import { probability } from "./dom.js";
import { CSS, DARK_TEXT, index } from "./palette.js";

const WIDE = /[^ -~]/; // what may be wider or higher than a letter
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
export function keyOf({ state, flags, colour, hint, guess, sure }) {
  return `${state.id}|${flags}|${colour}|${hint}|${guess}|${sure}|${state.step}`;
}

/** Draw a look on its span; `width` is in signs, `own` holds the classes that do not come of the look. */
export function paint(node, trace, { state, flags, colour, hint }, width, own) {
  const text = flags & END ? "" : state.masked ? (hint === null || hint === undefined ? "" : trace.text(hint)) : trace.text(state.id);
  let classes = own;
  for (const [name, bit] of CLASSES) if (flags & bit) classes += ` ${name}`;
  if (colour >= 0) classes += DARK_TEXT[colour] ? " scored bright" : " scored";
  if (text.length > width + 1 && [...text].length > width + 1) classes += " long";
  if (WIDE.test(text)) classes += " wide";
  if (text.length > 1 && text.startsWith(" ")) classes += " lead";
  node.className = classes; // all at once: every change of a class costs a look at the style sheets
  node.style.setProperty("--c", colour < 0 ? "transparent" : CSS[colour]);
  node.style.setProperty("--share", colour < 0 ? "0" : String(colour / 255));
  const next = shown(text);
  if (node.firstChild.data !== next) node.firstChild.data = next;
}

/** A cell in words; `against` says how it compares. */
export function label(trace, cell, t, { state, guess, sure }, against) {
  const place = `position ${trace.position(cell, t)}`;
  if (state.masked) return (guess === null ? `${place}, masked` : `${place}, masked, best guess “${trace.text(guess)}” ${(sure / 100).toFixed(2)}`) + against;
  const token = state.id === trace.start.eos ? "end of sequence" : `“${trace.text(state.id)}”`;
  return (state.step === 0 ? `${place}, ${token}, fixed` : `${place}, ${token}, written at step ${state.step}, probability ${probability(state.prob)}`) + against;
}

/** A token as a cell shows it: line ends and spaces have a sign of their own. */
export function shown(text) {
  if (text === " ") return "␣";
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ /, "");
}
