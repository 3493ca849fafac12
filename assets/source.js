// Where events come from: the page's carrier, and requests for kept runs, gaps and candidates. No DOM.

const CHUNK = 16, KEPT_CHUNKS = 16, SILENCE_MS = 10000, AGAIN_MS = 2000, RETRIES_MS = [1000, 2000, 4000];

export class Source {
  /** `on` holds start, begun, queue, paused, ended, gap, filled, offline and changed. */
  constructor(base, trace, on) {
    Object.assign(this, { base, trace, on });
    this.run = null;
    this.next = 0;
    this._chunks = new Map(); // first step -> "asked", "known", `upto` which step, or when to ask again; oldest first
    this._heard = 0;
    this._timer = 0;
    this._filling = null; // the run whose lost steps are being fetched
    this._loads = 0;
  }

  /** Take a batch as the carrier brings it. */
  push(batch) {
    if (!batch) return;
    this._heard = performance.now();
    const gap = batch.run === this.run ? batch.n > this.next : batch.n > 0;
    this.run = batch.run;
    this.next = batch.n + 1;
    this._take(batch.events, (performance.timeOrigin + this._heard) / 1000);
    if (gap || this.trace.lost) this.fill();
    this._watch();
  }

  /** Trade places with another lane's source, as their traces do. */
  exchange(other) {
    [this.run, other.run] = [other.run, this.run];
    [this.next, other.next] = [other.next, this.next];
    [this._chunks, other._chunks] = [other._chunks, this._chunks];
    for (const source of [this, other]) source._chunks = new Map([...source._chunks].filter(([, state]) => state !== "asked")); // their answers go to the other lane
  }

  _ours(run) { return this.trace.start?.run === run; }

  _take(events, arrived) {
    for (const event of events) {
      if (event.kind === "queue") this.on.queue(event.ahead, event.wait_s);
      else if (event.kind === "pause") this.on.paused(event);
      else if (event.kind === "start" && !this._ours(event.run)) { this._chunks.clear(); this.on.start(); }
    }
    // Without its start a run cannot be read: its steps are asked for again, together with it.
    if (!this._ours(this.run) && !events.some((event) => event.kind === "start")) {
      const end = events.find((event) => event.kind === "end");
      if (end) this.on.ended(end);
      return;
    }
    const ended = this.trace.end, epoch = this.trace.epoch;
    this.trace.push(events, arrived);
    if (this.trace.epoch !== epoch) this.on.begun();
    if (this.trace.end && this.trace.end !== ended) this.on.ended(this.trace.end);
    this.on.changed();
  }

  /** Show a kept run; a visitor's own run that began meanwhile goes first, and so does a kept one that was asked for later. */
  async load(id) {
    const before = this.run, turn = ++this._loads;
    const answer = await this._get(`runs/${encodeURIComponent(id)}`);
    if (this.run !== before || this._loads !== turn) return false;
    clearTimeout(this._timer);
    this.run = answer.run;
    this._chunks.clear();
    this.trace.reset(null);
    this._take(answer.events, null);
    return true;
  }

  /** Ask again for the steps that did not arrive. */
  async fill() {
    const { run } = this;
    if (!run || this._filling === run) return;
    this._filling = run;
    this.on.gap();
    for (const wait of [0, ...RETRIES_MS]) {
      if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
      try {
        const answer = await this._get(`runs/${run}?from=${this._ours(run) ? this.trace.steps + 1 : 1}`);
        const before = this.trace.steps;
        if (run === this.run) { this._take(answer.events, null); this.on.filled(before); }
        this._filled(run);
        return;
      } catch { /* try again; after the last try the visitor is told */ }
      if (run !== this.run) return this._filled(run);
    }
    this._filled(run);
    this.on.offline();
  }

  _filled(run) { if (this._filling === run) this._filling = null; }

  _watch() {
    clearTimeout(this._timer);
    if (this.trace.live) this._timer = setTimeout(async () => { await this.fill(); this._watch(); }, SILENCE_MS);
  }

  /** See to it that the candidates of steps `from` to `to` are there; they come with the next frame. `still`: the run is paused. */
  want(from, to, still = false) {
    if (!this.trace.start) return;
    const last = Math.min(to, this.trace.steps);
    for (let first = from - ((from - 1) % CHUNK); first <= last; first += CHUNK) {
      const whole = !this.trace.live || first + CHUNK - 1 <= this.trace.steps;
      if ((whole || still) && this._missing(first)) this._fetch(first, whole);
    }
  }

  /** Whether a chunk is neither there nor asked for; one that failed is asked for again after a while, a part once there is more. */
  _missing(first) {
    const state = this._chunks.get(first);
    if (state?.upto !== undefined) return this.trace.steps > state.upto;
    return state === undefined || (typeof state === "number" && performance.now() > state);
  }

  /** Ask for a chunk of the run that is shown: while a next one waits in the queue, that is not `run`. */
  async _fetch(first, whole) {
    const { run } = this.trace.start, { steps } = this.trace;
    const ours = () => this._ours(run);
    this._chunks.set(first, "asked");
    try {
      const answer = await this._get(`runs/${run}/candidates?from=${first}&to=${first + CHUNK - 1}`);
      if (!ours()) return;
      for (const [step, list] of Object.entries(answer.steps)) this.trace.learnCandidates(Number(step), list, answer.texts);
      this._chunks.set(first, whole ? "known" : { upto: steps });
      this._forget();
      this.on.changed();
    } catch { // until then the view shows the candidates of the written tokens, which came with the steps
      if (ours()) this._chunks.set(first, performance.now() + AGAIN_MS);
    }
  }

  _forget() {
    const known = [...this._chunks].filter(([, state]) => state === "known").map(([first]) => first);
    for (const first of known.slice(0, Math.max(0, known.length - KEPT_CHUNKS))) {
      this._chunks.delete(first);
      for (let step = first; step < first + CHUNK; step++) this.trace.forgetCandidates(step);
    }
  }

  async _get(path) {
    const answer = await fetch(new URL(path, this.base), { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }
}
