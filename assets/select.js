// What the visitor points at, shared by every view: hover passes, a pin stays. No DOM.

export class Select {
  constructor() {
    this.hover = null; // {cell, step}: step is null where the playhead's step is meant
    this.pin = null;   // a cell
    this.layer = "order";
    this.guesses = true;
    this._listeners = new Set();
  }

  onChange(listener) { this._listeners.add(listener); return () => this._listeners.delete(listener); }
  _changed() { this._listeners.forEach((listener) => listener()); }

  /** The cell in question: the one pointed at, else the pinned one, else null. */
  get cell() { return this.hover?.cell ?? this.pin; }
  get step() { return this.hover?.step ?? null; }

  point(cell, step = null) {
    if (this.hover?.cell === cell && this.hover?.step === step) return;
    this.hover = cell === null ? null : { cell, step };
    this._changed();
  }

  togglePin(cell) { this.pin = this.pin === cell ? null : cell; this._changed(); }
  setLayer(name) { this.layer = name; this._changed(); }
  setGuesses(on) { this.guesses = on; this._changed(); }
  clear() { this.hover = null; this.pin = null; this._changed(); }
}
