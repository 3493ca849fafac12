// What a cell shows of a comparison: the sign of its place, and the colour of what sets two runs apart there.

import { darkText, signed, signedCss, signedRgb } from "./diverging.js";
import { el } from "./dom.js";

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

/** What place `rank` of a lane shows, `{sign, gap, key, words}`; two of the same `key` are drawn alike. `gaps` may be null. */
export function besideOf({ marks, gaps }, rank, lane) {
  const mark = signOf(marks?.[rank], lane), value = gaps?.values[rank] ?? null;
  const apart = value === null ? "" : `, B minus A ${signed(value)}`;
  return { sign: mark?.sign ?? "", gap: gaps && { value, limit: gaps.limit }, key: `${mark?.sign}|${value}|${gaps?.limit}`, words: (mark ? `, ${mark.words}` : "") + apart };
}

/** Draw it on a cell that is painted by its own layer. */
export function drawBeside(node, { sign, gap }) {
  tint(node, gap);
  let own = node.querySelector("i");
  if (!sign) { own?.remove(); return; }
  if (!own) node.append(own = el("i", { class: "sign", "aria-hidden": "true" }));
  own.dataset.sign = sign;
  node.classList.toggle("differs", sign === "≠");
}

/** Colour a span by what sets its place apart in two runs, `{value, limit}`, sign printed; null: by its own layer. */
function tint(node, gap) {
  node.dataset.gap = gap && gap.value !== null ? signed(gap.value)[0].replace("0", "") : "";
  if (!gap) return;
  const share = gap.value === null ? null : gap.value / gap.limit;
  node.classList.toggle("scored", share !== null);
  node.classList.toggle("bright", share !== null && darkText(signedRgb(share)));
  node.style.setProperty("--c", share === null ? "transparent" : signedCss(share));
  node.style.setProperty("--share", share === null ? "0" : String(Math.abs(share)));
}
