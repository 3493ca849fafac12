// What sets two runs apart, place by place; backend/comparing.py holds the same numbers for Python. No DOM.
//
// A *place* is a rank in the answer, so that runs whose prompts have different lengths stand side by side.

/** Same token at the same moment, at another moment, another token, written in one run only, in none. */
export const KINDS = ["same", "moved", "differs", "only_a", "only_b", "open"];

/** The moment of a step: marks are counted in whole passes or steps. */
function moment(trace, step, unit) { return unit === "step" || step === 0 ? step : trace.passes[step]; }

/** What a token says in any vocabulary: the end of sequence, or its text. */
function says(trace, id) { return id === null ? null : id === trace.start.eos ? "\u0000end" : `=${trace.text(id)}`; }

function equal(a, b, x, y) {
  return a.start.model.weights_hash === b.start.model.weights_hash ? x === y : says(a, x) === says(b, y);
}

/** What stands at each place at step `t`: its token (null: masked or absent), and the step that wrote it. */
function places(trace, t) {
  return trace.response(t).map((cell) => {
    const { id, step, masked } = trace.state(cell, t);
    return { cell, token: masked ? null : id, step };
  });
}

const ABSENT = { cell: null, token: null, step: 0 };

function paired(a, b) {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, rank) => [a[rank] ?? ABSENT, b[rank] ?? ABSENT]);
}

/** A mark per place: `{kind, by}`; `by` is A's moment minus B's, below 0 where A came first. */
export function marksOf(a, b, ta, tb, unit = "passes") {
  return paired(places(a, ta), places(b, tb)).map(([x, y]) => {
    if (x.token === null || y.token === null) {
      return { kind: x.token === y.token ? "open" : x.token === null ? "only_b" : "only_a", by: 0 };
    }
    if (!equal(a, b, x.token, y.token)) return { kind: "differs", by: 0 };
    const by = moment(a, x.step, unit) - moment(b, y.step, unit);
    return { kind: by ? "moved" : "same", by };
  });
}

export function countsOf(marks) {
  const counts = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  for (const { kind } of marks) counts[kind] += 1;
  return counts;
}

/** One run up to a step: what it cost and wrote; `consistency` is the mean over the written places, or null. */
export function sideOf(trace, t) {
  const written = trace.writtenCount[t], passes = trace.passes[t];
  const values = [];
  if (trace.scores.has("consistency")) {
    for (const { cell, token, step } of places(trace, t)) {
      const share = token === null || step === 0 ? NaN : trace.score("consistency", cell, step);
      if (!Number.isNaN(share)) values.push(trace.value("consistency", share));
    }
  }
  return {
    steps: t, passes, rows: trace.rows[t], written, tokensPerPass: passes ? written / passes : 0,
    consistency: values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null,
  };
}

/** Kendall's tau-b of the orders of writing over the places written in both; null where it is not defined. */
export function tauOf(a, b, ta, tb) {
  const both = paired(places(a, ta), places(b, tb)).filter(([x, y]) => x.token !== null && y.token !== null && x.step && y.step);
  const pairs = (both.length * (both.length - 1)) / 2;
  let agree = 0, tiesA = 0, tiesB = 0;
  for (let i = 0; i < both.length; i++) {
    for (let j = 0; j < i; j++) {
      const inA = Math.sign(both[i][0].step - both[j][0].step), inB = Math.sign(both[i][1].step - both[j][1].step);
      agree += inA * inB;
      if (inA === 0) tiesA += 1;
      if (inB === 0) tiesB += 1;
    }
  }
  return pairs > tiesA && pairs > tiesB ? agree / Math.sqrt((pairs - tiesA) * (pairs - tiesB)) : null;
}

/** The first step after which the two answers were not equal (a run that is over keeps its last), or null. */
export function forkOf(a, b) {
  const whole = (step) => paired(places(a, Math.min(step, a.steps)), places(b, Math.min(step, b.steps))).every(([x, y]) => equal(a, b, x.token, y.token));
  // Where no place is ever inserted, what was equal stays so but for what a step changed.
  const still = a.orders.length === 1 && b.orders.length === 1;
  const alike = (step) => [a, b].every((trace) => changedAt(trace, step).every((rank) => equal(a, b, tokenAt(a, rank, step), tokenAt(b, rank, step))));
  for (let step = 0; step <= Math.max(a.steps, b.steps); step++) if (!(still && step ? alike(step) : whole(step))) return step;
  return null;
}

function changedAt({ written, erased, start }, step) {
  return [...(written[step] ?? []), ...(erased[step] ?? [])].map((cell) => cell - start.prompt_length);
}

function tokenAt(trace, rank, step) {
  const cell = trace.start.prompt_length + rank;
  if (cell >= trace.cells.length) return null;
  const { id, masked } = trace.state(cell, step);
  return masked ? null : id;
}

/** The place of the first different token, the one that either run wrote earliest, or null. */
export function firstDifferent(a, b, ta, tb) {
  const pairs = paired(places(a, ta), places(b, tb));
  let found = null, earliest = Infinity;
  pairs.forEach(([x, y], rank) => {
    if (x.token === null || y.token === null || equal(a, b, x.token, y.token)) return;
    const step = Math.min(x.step, y.step);
    if (step < earliest) { earliest = step; found = rank; }
  });
  return found;
}

/** Everything at once, as `compare` of backend/comparing.py gives it. */
export function compare(a, b, ta = a.steps, tb = b.steps, unit = "passes") {
  return {
    marks: marksOf(a, b, ta, tb, unit), a: sideOf(a, ta), b: sideOf(b, tb), tau: tauOf(a, b, ta, tb),
    fork: forkOf(a, b), firstDifferent: firstDifferent(a, b, ta, tb),
  };
}
