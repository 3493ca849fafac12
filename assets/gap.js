// The difference of a layer between two runs, B − A, place by place, each at its own step of the shared playhead. No DOM.

/** How far apart two runs are: `values[rank]` in the layer's unit (null: not in both), and `limit`, where the scale ends. */
export function gapsOf(a, b, ta, tb, layer, unit = "passes") {
  const of = (trace, t) => {
    if (layer !== "order" && !trace.scores.has(layer)) return [];
    return trace.response(t).map((cell) => (layer === "order" ? moment(trace, cell, t, unit) : score(trace, cell, t, layer)));
  };
  const own = of(a, ta), other = of(b, tb);
  const values = Array.from({ length: Math.max(own.length, other.length) }, (_, rank) => difference(own[rank], other[rank]));
  return { values, limit: nice(Math.max(0, ...values.map((value) => Math.abs(value ?? 0)))) };
}

function moment(trace, cell, t, unit) {
  const { step, masked } = trace.state(cell, t);
  if (masked || step === 0) return NaN;
  return unit === "step" ? step : trace.passes[step];
}

function score(trace, cell, t, layer) {
  const share = trace.shownScore(layer, cell, t);
  return Number.isNaN(share) ? NaN : trace.value(layer, share);
}

function difference(one, two) {
  const value = (two ?? NaN) - (one ?? NaN);
  return Number.isNaN(value) ? null : value;
}

/** The next of 1, 2, 5, 10, … (times a power of ten) that is not below `value`; 1 for nothing. */
export function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value)), part = value / power;
  return power * (part <= 1 + 1e-9 ? 1 : part <= 2 + 1e-9 ? 2 : part <= 5 + 1e-9 ? 5 : 10);
}
