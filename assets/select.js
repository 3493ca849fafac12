// What the visitor points at, shared by every view: hover passes, a pin stays. No DOM.

export class Select {
  constructor() {
    this.hover = null; // {cell, step}: step is null where the playhead's step is meant
    this.pin = null;   // a cell
    this.pinLane = 0;  // the lane in which it was pinned
    this.lane = 0;     // the lane pointed at last; cells are those of the first lane
    this.layer = "order";
    this.guesses = true;
    this.signs = true; // of a comparison
    this.between = false; // colours say what sets two runs apart, B − A
    this._listeners = new Set();
  }

  onChange(listener) { this._listeners.add(listener); return () => this._listeners.delete(listener); }
  _changed() { this._listeners.forEach((listener) => listener()); }

  /** The cell in question: the one pointed at, else the pinned one, else null. */
  get cell() { return this.hover?.cell ?? this.pin; }
  get step() { return this.hover?.step ?? null; }

  point(cell, step = null, lane = 0) {
    if (this.hover?.cell === cell && this.hover?.step === step && this.lane === lane) return;
    if (cell === null && this.hover === null) return;
    this.hover = cell === null ? null : { cell, step };
    if (cell !== null) this.lane = lane;
    else if (this.pin !== null) this.lane = this.pinLane; // what was pinned is looked at again
    this._changed();
  }

  togglePin(cell, lane = 0) {
    this.pin = this.pin === cell && this.pinLane === lane ? null : cell;
    this.lane = this.pinLane = lane;
    this._changed();
  }

  setLayer(name) { this.layer = name; this._changed(); }
  setGuesses(on) { this.guesses = on; this._changed(); }
  setBetween(on) { this.between = on; this._changed(); }
  setSigns(on) { this.signs = on; this._changed(); }
  clear() { this.hover = null; this.pin = null; this._changed(); }
}

/** The selection as one lane sees it: a place of the answer has the same rank in both, not the same cell. */
export class LaneSelect {
  /** `shift()` is how many cells further right the answer of this lane begins. */
  constructor(select, lane, shift) { Object.assign(this, { _select: select, _lane: lane, _shift: shift }); }

  _own(cell) { return cell === null || cell === undefined ? null : cell + this._shift(); }
  get active() { return this._select.lane === this._lane; }
  get hover() {
    const { hover } = this._select;
    return hover && { cell: this._own(hover.cell), step: this.active ? hover.step : null };
  }
  get pin() { return this._own(this._select.pin); }
  get cell() { return this._own(this._select.cell); }
  get step() { return this.active ? this._select.step : null; }
  get layer() { return this._select.layer; }
  get guesses() { return this._select.guesses; }
  point(cell, step = null) { this._select.point(cell === null ? null : cell - this._shift(), step, this._lane); }
  togglePin(cell) { this._select.togglePin(cell - this._shift(), this._lane); }
  setGuesses(on) { this._select.setGuesses(on); }
  clear() { this._select.clear(); }
}
