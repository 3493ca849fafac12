// The playhead: what is shown, how fast it moves, and whether it follows a running run. No DOM.
//
// One playhead serves both lanes. It is a value on the axis of the unit; each lane shows its last
// step at or before that value, so that two runs stand side by side after equal steps, passes,
// shares written or seconds.

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16];
export const UNITS = ["step", "passes", "share", "seconds"];
const PER_SECOND = 4; // steps or passes a second at 1x: slow enough to read what was written

export class Clock {
  constructor(...traces) {
    this.traces = traces;
    this.shown = 1;    // lanes on the page
    this.only = null;  // the lane that alone moves; null: all that are shown
    this.playing = false;
    this.following = false;
    this.speed = 1;
    this.unit = "step";
    this.autoReplay = true; // a run too fast to be seen is shown again, slowly
    this._value = 0; // the playhead in the unit's own measure
    this._steps = traces.map(() => 0);
    this._listeners = new Set();
  }

  onChange(listener) { this._listeners.add(listener); return () => this._listeners.delete(listener); }
  _changed() { this._listeners.forEach((listener) => listener()); }

  /** The lanes that the playhead moves. */
  get lanes() {
    if (this.only !== null && this.only < this.shown) return [this.only];
    return Array.from({ length: this.shown }, (_, lane) => lane);
  }

  get lane() { return this.lanes[0]; }
  get t() { return this._steps[0]; }
  step(lane) { return this._steps[lane]; }
  get value() { return this._value; }
  get live() { return this.lanes.some((lane) => this.traces[lane].live); }
  get steps() { return Math.max(...this.lanes.map((lane) => this.traces[lane].steps)); }
  get atEnd() { return this.lanes.every((lane) => this._steps[lane] >= this.traces[lane].steps); }

  /** Where a step lies on the axis of the unit. */
  at(step, lane = this.lane) {
    const trace = this.traces[lane];
    if (this.unit === "passes") return trace.passes[step] ?? step;
    if (this.unit === "seconds") return trace.elapsed[step] ?? 0;
    if (this.unit === "share") return trace.free ? (trace.reached[step] ?? 0) / trace.free : 0;
    return step;
  }

  /** The last step that lies at or before `value` on the axis of the unit. */
  stepAt(value, lane = this.lane) {
    let low = 0, high = this.traces[lane].steps;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.at(middle, lane) <= value) low = middle; else high = middle - 1;
    }
    return low;
  }

  get length() { return Math.max(...this.lanes.map((lane) => this.at(this.traces[lane].steps, lane))); }

  /** Show a step of one lane, and of the others what stands at the same place of the axis. */
  seek(step, lane = this.lane) {
    this.following = false;
    this._steps[lane] = Math.max(0, Math.min(this.traces[lane].steps, Math.round(step)));
    if (this.lanes.includes(lane)) this._align(this.at(this._steps[lane], lane), lane);
    this._changed();
  }

  seekValue(value) {
    this.following = false;
    this._align(value);
    this._changed();
  }

  _align(value, exact = null) {
    this._value = value;
    for (const lane of this.lanes) if (lane !== exact) this._steps[lane] = this.stepAt(value, lane);
  }

  toEnd() {
    this.following = false;
    this._align(this.length);
    for (const lane of this.lanes) this._steps[lane] = this.traces[lane].steps;
    this._changed();
  }

  /** The newest steps: of the runs that go on, while one does; a run that is over stands beside them. */
  _last() {
    const running = this.lanes.filter((lane) => this.traces[lane].live);
    const lead = running.length ? running : this.lanes;
    const value = Math.max(...lead.map((lane) => this.at(this.traces[lane].steps, lane)));
    this._align(value);
    for (const lane of lead) this._steps[lane] = this.traces[lane].steps;
  }

  /** Go on or back by so many moments: steps of one lane, or of whichever lane comes next. */
  move(places) {
    if (this.lanes.length === 1) { this.seek(this._steps[this.lane] + places); return; }
    this.following = false;
    for (let n = Math.abs(places); n > 0; n--) { if (places > 0) this._next(); else this._previous(); }
    this._value = Math.max(...this.lanes.map((lane) => this.at(this._steps[lane], lane)));
    this._changed();
  }

  _next() {
    const open = this.lanes.filter((lane) => this._steps[lane] < this.traces[lane].steps);
    const soonest = Math.min(...open.map((lane) => this.at(this._steps[lane] + 1, lane)));
    for (const lane of open) if (this.at(this._steps[lane] + 1, lane) <= soonest) this._steps[lane] += 1;
  }

  _previous() {
    const begun = this.lanes.filter((lane) => this._steps[lane] > 0);
    const latest = Math.max(...begun.map((lane) => this.at(this._steps[lane], lane)));
    for (const lane of begun) if (this.at(this._steps[lane], lane) >= latest) this._steps[lane] -= 1;
  }

  play() {
    if (this.steps === 0) return;
    if (this.atEnd && !this.live) this._align(0);
    this._value = Math.max(...this.lanes.map((lane) => this.at(this._steps[lane], lane)));
    this.following = false;
    this.playing = true;
    this._changed();
  }

  pause() {
    this.playing = false;
    this.following = false;
    this._changed();
  }

  toggle() { if (this.playing || this.following) this.pause(); else this.play(); }

  follow() {
    this.playing = false;
    this.following = true;
    this._last();
    this._changed();
  }

  setSpeed(speed) { this.speed = speed; this._changed(); }

  faster(places) {
    const next = SPEEDS.indexOf(this.speed) + places;
    this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, next))]);
  }

  setUnit(unit) {
    const lead = this.lane;
    this.unit = unit;
    this._align(this.at(this._steps[lead], lead), lead);
    this._changed();
  }

  /** Let one lane move alone (null: all together, aligned again). */
  setOnly(lane) {
    this.only = lane;
    const lead = this.lane;
    this._align(this.at(this._steps[lead], lead), lead);
    this._changed();
  }

  /** One lane or two are on the page. */
  show(count) {
    if (this.shown === count) return;
    this.shown = count;
    this.only = null;
    this._changed();
  }

  /** A new run begins: show it as it comes. */
  restart() {
    this.playing = false;
    this.following = true;
    this._steps.fill(0);
    this._value = 0;
    this._changed();
  }

  /** Move on by `ms`; tells whether another frame is needed. */
  advance(ms) {
    if (this.following) {
      const before = this._steps.join();
      this._last();
      if (this._steps.join() !== before) this._changed();
      if (!this.live) { this.following = false; this._changed(); }
      return false;
    }
    if (!this.playing) return false;
    const rate = this.unit === "seconds" ? 1 : this.unit === "share" ? PER_SECOND / Math.max(1, this.steps) : PER_SECOND;
    const before = this._steps.join();
    this._align(Math.min(this._value + (ms / 1000) * rate * this.speed, this.length));
    if (this._steps.join() !== before) this._changed();
    if (this.atEnd && !this.live) { this.playing = false; this._changed(); }
    return this.playing;
  }
}

/** The clock as the views of one lane see it. */
export class LaneClock {
  constructor(clock, lane) { this._clock = clock; this._lane = lane; }
  get t() { return this._clock.step(this._lane); }
  get playing() { return this._clock.playing; }
  get following() { return this._clock.following; }
  seek(step) { this._clock.seek(step, this._lane); }
  pause() { this._clock.pause(); }
}
