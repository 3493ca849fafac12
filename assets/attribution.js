// Attribution: which visible tokens pushed the choice of the pinned one, and by how much.

import { ask } from "./asking.js";
import { createBoard } from "./board.js";
import { createControls } from "./why_controls.js";
import { SIGNED_GRADIENT, signed, signedCss } from "./diverging.js";
import { el, number, plural, quoted, setText } from "./dom.js";
import { createMatrix } from "./matrix.js";
import { GRADIENT } from "./palette.js";
import { createWaiting } from "./waiting.js";

const STRONGEST = 8, GOOD = 0.01, FAIR = 0.05;
const N_FIRST = 32, N_MOST = 256, PATIENT_S = 10; // points of the path: doubled while the scores are not sure and the wait is short

export function create(root, context) {
  const waiting = createWaiting(root);
  const controls = createControls(root, context, () => context.redraw());
  const title = el("h4", { class: "why-title" }), how = el("p", { class: "why-how" });
  const scale = el("span", { class: "scale", "aria-hidden": "true" }), low = el("span"), high = el("span"), unit = el("span", { class: "unit" });
  const legend = el("div", { class: "ramp" }, low, scale, high, unit);
  const board = el("div", { class: "why-board" }), sum = el("p", { class: "why-sum" }), warned = el("p", { class: "why-warned", role: "status" });
  const badge = el("span", { class: "why-badge" }), more = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => controls.set("n_steps", String(2 * found.n_steps)) });
  const strongest = el("ol", { class: "why-strongest", "aria-label": "Strongest sources" });
  const matrixBox = el("div", { class: "why-matrix" });
  const shown = el("div", { class: "why-found", hidden: true },
    el("div", { class: "why-head" }, el("div", {}, title, how), legend),
    el("div", { class: "why-split" }, el("div", {}, board, sum, warned, el("p", { class: "why-check" }, badge, more)),
      el("div", {}, el("h4", { text: "Strongest sources" }), strongest)), matrixBox);
  root.append(shown);
  const chips = createBoard(board, context);
  const matrix = createMatrix(matrixBox, context, () => show());
  let asked = "", abort = null, found = null, subject = null;

  function draw(next) {
    controls.prepare(next);
    const key = next && controls.ready(next) ? [next.run, next.cell, next.step, controls.key()].join("|") : "";
    if (key !== asked) {
      asked = key;
      subject = next;
      abort?.abort();
      if (key) load();
      else clear();
    }
    chips.highlight();
    matrix.draw(context.t);
  }

  function clear() {
    found = null;
    shown.hidden = true;
    delete root.dataset.shown;
    if (!subject) waiting.done();
    if (!context.subject) matrix.stop(); // it goes on while another tab is read
  }

  /**
   * Ask with few points first, then with twice as many, and again while that changes what is shown.
   * A sum that comes out right does not tell that its parts do: errors of 13 % were seen behind a sum 2 % off.
   */
  async function load() {
    const mine = (abort = new AbortController()), of = subject, way = controls.values();
    delete root.dataset.shown;
    delete root.dataset.points;
    waiting.begin("Computing the attribution …");
    let points = way.n_steps === "auto" ? N_FIRST : Number(way.n_steps), before = null;
    try {
      for (;;) {
        const answer = await ask(of.run, "attribution", { ...way, n_steps: points, position: of.position, step: of.step }, mine.signal);
        if (mine.signal.aborted) return;
        found = Object.assign(answer, { moved: before && furthest(before.scores, answer.scores) });
        show();
        root.dataset.shown = [answer.step, answer.position, answer.method].join("|");
        if (way.n_steps !== "auto" || sure(answer) || last(answer)) break;
        points = 2 * answer.n_steps;
        before = answer;
        waiting.say(answer.relative_delta < FAIR ? `Checking the scores with ${points} points …`
          : `The sum is off by ${percent(answer.relative_delta)}: computing again with ${points} points …`);
      }
      waiting.done();
      settle(of, way);
    } catch (error) {
      if (error.name === "AbortError" || mine.signal.aborted) return;
      if (before) { // a check that fails takes nothing away from what was found
        waiting.refuse({ message: `The check with ${points} points could not be made: ${error.message}`, remedy: error.remedy });
        found.unchecked = true;
        check();
        settle(of, way);
        return;
      }
      clear();
      waiting.refuse(error);
      root.dataset.shown = "refused";
    }
  }

  /** None better is coming: other tabs test this way, and the matrix is computed in it. */
  function settle(of, way) {
    const settled = { ...way, n_steps: found.n_steps };
    root.dataset.points = String(found.n_steps);
    context.looked = { of, way: settled };
    matrix.offer(of, settled, found);
  }

  function show() {
    if (!found) return;
    shown.hidden = false;
    const { trace } = context;
    const most = matrix.most(found) || 1;
    const what = quoted(name(found.token, found.text));
    const over = found.against ? ` over ${quoted(name(found.against.token, found.against.text))}` : "";
    setText(title, found.signed ? `Which tokens pushed ${what}${over} up or down, at step ${found.step}` : `Where the model looked for position ${found.position}, at step ${found.step}`);
    setText(how, found.signed
      ? `The canvas as the model saw it then. Orange with + made the choice more likely, blue with − less; numbers are ${found.unit}.`
      : "The canvas as the model saw it then. Brighter means a larger share; this method knows no sign and no token.");
    scale.style.background = found.signed ? SIGNED_GRADIENT : GRADIENT;
    setText(low, found.signed ? signed(-most) : "0");
    setText(high, found.signed ? signed(most) : number(most));
    setText(unit, found.signed ? `${found.unit} · + pushed towards the token` : "share of 1");
    chips.show(found, subject, most, controls.words(), trace);
    setText(sum, found.complete ? equation(found, what, over) : found.sentence);
    setText(warned, found.warnings.join(" "));
    check();
    list(most);
    matrix.addRow(found);
  }

  /** log p(token | canvas) - log p(token | nothing), in numbers. */
  function equation(answer, what, over) {
    const f = { log_prob: `log p(${what}`, logit: `logit(${what}`, contrast: `lead(${what}${over}` }[answer.objective];
    const nothing = { mask: "nothing", pad: "padding", mean: "the mean embedding", zero: "zeros" }[answer.baseline];
    const gap = answer.value - answer.baseline_value, same = signed(answer.sum) === signed(gap) ? "=" : "≈";
    return `Sum of all scores ${signed(answer.sum)} ${same} ${f} | canvas) − ${f} | ${nothing}) = ${minus(answer.value)} − (${minus(answer.baseline_value)}) = ${signed(gap)}`;
  }

  function check() {
    const off = Math.max(found.relative_delta, found.moved ?? 0);
    badge.className = `why-badge ${!found.complete ? "none" : off < GOOD ? "good" : off < FAIR ? "fair" : "poor"}`;
    setText(badge, !found.complete ? "" : `${off < GOOD ? "✓" : off < FAIR ? "≈" : "!"} The sum misses ${signed(found.delta, 3)} (${percent(found.relative_delta)}) with ${found.n_steps} points${moves(found.moved)}.${off < FAIR ? "" : " Read the scores with care."}`);
    const open = found.unchecked || off >= FAIR && (controls.values().n_steps !== "auto" || last(found));
    more.hidden = !found.complete || !open || 2 * found.n_steps > N_MOST;
    if (!more.hidden) setText(more, `Compute with ${2 * found.n_steps} points`);
  }

  function list(most) {
    const units = chips.units().filter((item) => item.score).sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
    strongest.replaceChildren(...units.slice(0, STRONGEST).map((item) => el("li", { onpointerenter: () => context.select.point(item.cell), onpointerleave: () => context.select.point(null) },
      el("code", { class: "name", text: item.text }), el("span", { class: "where", text: `${item.place}` }),
      el("span", { class: "track" }, bar(item.score, most)), el("span", { class: "value", text: found.signed ? signed(item.score) : number(item.score) }))));
    if (!units.length) strongest.append(el("li", { class: "none", text: "No visible token had any effect." }));
    else if (units.length > STRONGEST) strongest.append(el("li", { class: "rest", text: `and ${plural(units.length - STRONGEST, "weaker one")}` }));
  }

  function bar(score, most) {
    const share = Math.min(1, Math.abs(score) / most);
    const half = found.signed ? 50 : 100, left = found.signed ? (score < 0 ? 50 - 50 * share : 50) : 0;
    return el("i", { style: `left: ${left}%; width: ${half * share}%; background: ${found.signed ? signedCss(Math.sign(score)) : "var(--muted)"}` });
  }

  function name(token, text) { return token === context.trace.start.eos ? "end of sequence" : text; }

  return { draw, destroy() { abort?.abort(); matrix.destroy(); root.replaceChildren(); } };
}

const sure = (found) => !found.complete || (found.moved !== null && Math.max(found.moved, found.relative_delta) < FAIR);
const last = (found) => 2 * found.n_steps > N_MOST || found.took_s * 2 > PATIENT_S;
const moves = (moved) => (moved === null || moved === undefined ? "" : `; doubling the points moved no score by more than ${percent(moved)} of the largest`);

/** The largest change of a score, as a share of the largest score. */
function furthest(before, after) {
  const largest = Math.max(...after.map(Math.abs));
  return largest ? Math.max(...after.map((score, at) => Math.abs(score - before[at]))) / largest : 0;
}

const percent = (share) => (share < 0.001 ? "under 0.1 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
const minus = (value) => value.toFixed(Math.abs(value) < 0.1 ? 4 : 2).replace("-", "−").replace(/^−?0\.0+$/, "0");
