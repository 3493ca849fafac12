// The playhead: which step is shown, how fast it moves, and whether it follows a running run. No DOM.

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16];
export const UNITS = ["step", "passes", "seconds"];
const PER_SECOND = 4; // steps or passes a second at 1x: slow enough to read what was written

export class Clock {
  constructor(trace) {
    this.trace = trace;
    this.t = 0;
    this.playing = false;
    this.following = false;
    this.speed = 1;
    this.unit = "step";
    this.autoReplay = true; // a run too fast to be seen is shown again, slowly
    this._at = 0; // the playhead in the unit's own measure
    this._listeners = new Set();
  }

  onChange(listener) { this._listeners.add(listener); return () => this._listeners.delete(listener); }
  _changed() { this._listeners.forEach((listener) => listener()); }

  /** Where a step lies on the axis of the unit. */
  at(step) {
    if (this.unit === "passes") return this.trace.passes[step] ?? step;
    if (this.unit === "seconds") return this.trace.elapsed[step] ?? 0;
    return step;
  }

  /** The last step that lies at or before `value` on the axis of the unit. */
  stepAt(value) {
    let low = 0, high = this.trace.steps;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.at(middle) <= value) low = middle; else high = middle - 1;
    }
    return low;
  }

  get length() { return this.at(this.trace.steps); }

  seek(step) {
    this.following = false;
    this._go(step);
  }

  _go(step) {
    this.t = Math.max(0, Math.min(this.trace.steps, Math.round(step)));
    this._at = this.at(this.t);
    this._changed();
  }

  play() {
    if (this.trace.steps === 0) return;
    if (this.t >= this.trace.steps && !this.trace.live) this.t = 0;
    this._at = this.at(this.t);
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
    this._go(this.trace.steps);
  }

  setSpeed(speed) { this.speed = speed; this._changed(); }

  faster(places) {
    const next = SPEEDS.indexOf(this.speed) + places;
    this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, next))]);
  }

  setUnit(unit) { this.unit = unit; this._at = this.at(this.t); this._changed(); }

  /** A new run begins: show it as it comes. */
  restart() {
    this.playing = false;
    this.following = true;
    this.t = 0;
    this._at = 0;
    this._changed();
  }

  /** Move on by `ms`; tells whether another frame is needed. */
  advance(ms) {
    if (this.following) {
      if (this.t !== this.trace.steps) this._go(this.trace.steps);
      if (!this.trace.live) { this.following = false; this._changed(); }
      return false;
    }
    if (!this.playing) return false;
    const rate = this.unit === "seconds" ? 1 : PER_SECOND;
    this._at += (ms / 1000) * rate * this.speed;
    const step = this.stepAt(this._at);
    if (step !== this.t) { this.t = step; this._changed(); }
    if (this.t >= this.trace.steps && !this.trace.live) { this.playing = false; this._changed(); }
    this._at = Math.min(this._at, this.length);
    return this.playing;
  }
}
