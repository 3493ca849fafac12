// One lane of a run: the events as they arrive, folded into any step. No DOM.
//
// A *cell* is a place on the canvas that keeps its identity when masks are inserted before it;
// a *position* is where a cell stands at a step. Without insertions the two are the same number.
// The state at a step is a binary search in the cell's short list of changes.

import { ScoreRows, unpack } from "./scores.js";

const INITIAL = 0;

export class Trace {
  constructor() {
    this.epoch = 0;
    this.texts = new Map();
    this.reset(null);
  }

  /** Forget everything and begin with a `start` object (null: an empty lane). */
  reset(start) {
    this.epoch += 1;
    this.start = start;
    this.end = null;
    this.texts = new Map();
    this.steps = 0;
    this.passes = [0];
    this.rows = [0];
    this.elapsed = [0];
    this.notes = [null];
    this.written = [[]];
    this.erased = [[]];
    this.drafts = [null];
    this.writtenCount = [0];
    this.reached = [0]; // the most that was ever written up to a step: never falls
    this.stamps = [null];
    this.scores = new Map();
    this.candidateSteps = new Map();
    this.pending = new Map();
    this.branches = new Map(); // of a search: node -> branch event
    this.cells = [];
    this.orders = [{ step: 0, cells: [] }];
    if (!start) return;
    this._learn(start.texts);
    start.canvas.forEach((id, cell) => {
      this.cells.push({ steps: [INITIAL], ids: [id], probs: [NaN] });
      this.orders[0].cells.push(cell);
    });
    this.free = start.canvas.filter((id) => id === start.mask).length;
    for (const measure of start.measures ?? []) {
      this.scores.set(measure.name, { measure, rows: new ScoreRows(start.canvas.length) });
    }
  }

  get live() { return this.start !== null && this.end === null; }

  /** Trade places with another lane's run; the views of both begin anew. */
  exchange(other) {
    const epoch = Math.max(this.epoch, other.epoch) + 1, mine = { ...this };
    Object.assign(this, other, { epoch });
    Object.assign(other, mine, { epoch });
  }

  /** Steps that are known to exist and have not arrived. */
  get lost() {
    if (!this.pending.size) return 0;
    return Math.max(...this.pending.keys()) - this.steps - this.pending.size;
  }

  /** The number of steps to leave room for: known at the end, an upper bound before. */
  get horizon() {
    if (!this.live) return Math.max(1, this.steps);
    const planned = this.start.settings?.steps;
    return Math.max(1, this.steps, Number.isInteger(planned) ? planned : this.free);
  }

  /** Take wire events in; repeated ones are ignored, early ones wait for their turn. */
  push(events, arrived = null) {
    for (const event of events) {
      if (event.kind === "start") {
        if (!this.start || this.start.run !== event.run) this.reset(event);
      } else if (event.kind === "step" && event.index > this.steps) {
        this.pending.set(event.index, { event, arrived });
      } else if (event.kind === "branch") {
        this.branches.set(event.node, event);
      } else if (event.kind === "end") {
        this.end = event;
      }
    }
    for (let next; (next = this.pending.get(this.steps + 1)); ) {
      this.pending.delete(next.event.index);
      this._step(next.event, next.arrived);
    }
  }

  _step(event, arrived) {
    const at = event.index;
    const before = this.order(at);
    for (const [name, packed] of Object.entries(event.scores ?? {})) {
      this.scores.get(name)?.rows.set(at, unpack(packed), before);
    }
    this.steps = at;
    this._learn(event.texts);
    this._grow(at, event.grows ?? []);
    const order = this.order(at);
    const mask = this.start.mask;
    this.erased[at] = (event.erases ?? []).map((position) => this._change(order[position], at, mask, NaN));
    this.written[at] = (event.writes ?? []).map(([position, id, prob]) => this._change(order[position], at, id, prob));
    this.drafts[at] = (event.drafts ?? []).length
      ? new Map(event.drafts.map(([position, id]) => [order[position], id])) : null;
    this.writtenCount[at] = this.writtenCount[at - 1] + this.written[at].length - this.erased[at].length;
    this.reached[at] = Math.max(this.reached[at - 1], this.writtenCount[at]);
    this.passes[at] = event.passes;
    this.rows[at] = event.rows;
    this.elapsed[at] = event.elapsed_s;
    this.notes[at] = event.notes ?? {};
    this.stamps[at] = { created: event.created ?? null, arrived };
    this.learnCandidates(at, event.candidates ?? []);
  }

  _change(cell, step, id, prob) {
    const { steps, ids, probs } = this.cells[cell];
    // An erase and a write of one step are one change.
    if (steps[steps.length - 1] === step) { steps.pop(); ids.pop(); probs.pop(); }
    steps.push(step); ids.push(id); probs.push(prob);
    return cell;
  }

  _grow(step, grows) {
    if (!grows.length) return;
    const cells = [...this.order(step)];
    for (const [position, count] of grows) {
      const fresh = Array.from({ length: count }, (_, k) => this.cells.length + k);
      for (let k = 0; k < count; k++) this.cells.push({ steps: [step], ids: [this.start.mask], probs: [NaN] });
      cells.splice(position, 0, ...fresh);
    }
    this.orders.push({ step, cells });
  }

  _learn(texts) {
    for (const [id, text] of Object.entries(texts ?? {})) this.texts.set(Number(id), text);
  }

  /** The cells at step `t`, from left to right. */
  order(t) {
    let k = this.orders.length - 1;
    while (k > 0 && this.orders[k].step > t) k--;
    return this.orders[k].cells;
  }

  position(cell, t) {
    return this.orders.length === 1 ? cell : this.order(t).indexOf(cell);
  }

  /** The index in the cell's list of changes that holds at step `t`. */
  at(cell, t) {
    const { steps } = this.cells[cell];
    let low = 0, high = steps.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (steps[middle] <= t) low = middle; else high = middle - 1;
    }
    return low;
  }

  id(cell, t) { return this.cells[cell].ids[this.at(cell, t)]; }
  isMask(cell, t) { return this.id(cell, t) === this.start.mask; }
  text(id) { return this.texts.get(id) ?? `⟨${id}⟩`; }

  /** What stands in a cell at step `t`, and since when; `step` 0 is "from the start". */
  state(cell, t) {
    const { steps, ids, probs } = this.cells[cell];
    const k = this.at(cell, t);
    let writes = 0;
    for (let i = 1; i <= k; i++) if (ids[i] !== this.start.mask) writes++;
    return { id: ids[k], step: steps[k], prob: probs[k], masked: ids[k] === this.start.mask, writes };
  }

  /** The step at which the cell is written next after `t`, or 0. */
  nextWrite(cell, t) {
    const { steps, ids } = this.cells[cell];
    for (let k = 0; k < steps.length; k++) if (steps[k] > t && ids[k] !== this.start.mask) return steps[k];
    return 0;
  }

  canvas(t) { return this.order(t).map((cell) => this.id(cell, t)); }
  response(t) { return this.order(t).slice(this.start?.prompt_length ?? 0); }
  get prompt() { return this.orders[0].cells.slice(0, this.start?.prompt_length ?? 0); }

  /** The score at the pass of `step` (NaN: none), and the one to show at `t`: a written token keeps its own. */
  score(name, cell, step) { return this.scores.get(name)?.rows.share(step, cell) ?? NaN; }
  shownScore(name, cell, t) {
    const { step, masked } = this.state(cell, t);
    return this.score(name, cell, masked ? t : step);
  }

  value(name, share) {
    const { low, high } = this.scores.get(name).measure;
    return low + share * (high - low);
  }

  /** Where the response ends at `t`: the rank of the first end-of-sequence, or its length. */
  tail(t) {
    const cells = this.response(t);
    const ends = [...(this.start?.model?.stop_ids ?? []), this.start?.eos ?? null];
    const cut = cells.findIndex((cell) => ends.includes(this.id(cell, t)));
    return cut < 0 ? cells.length : cut;
  }

  learnCandidates(step, list, texts) {
    this._learn(texts);
    const order = this.order(step - 1);
    const known = this.candidateSteps.get(step) ?? new Map();
    for (const [position, ids, probs] of list) known.set(order[position] ?? position, { ids, probs });
    this.candidateSteps.set(step, known);
  }

  /** Let go of what was fetched for a step; what its writes brought stays. */
  forgetCandidates(step) {
    const known = this.candidateSteps.get(step);
    if (known) this.candidateSteps.set(step, new Map([...known].filter(([cell]) => this.written[step]?.includes(cell))));
  }

  candidates(cell, step) { return this.candidateSteps.get(step)?.get(cell) ?? null; }
}

/** The canvas ids after `n` steps of wire `events`. */
export function fold(events, n) {
  const trace = new Trace();
  trace.push(events);
  return trace.canvas(n);
}
