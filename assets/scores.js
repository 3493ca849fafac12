// Scores as they travel: 16 bits per cell and step over the declared range, 65535 = no score. No DOM.

const NONE = 65535;

export function unpack(base64) {
  const binary = atob(base64);
  const row = new Uint16Array(binary.length >> 1);
  for (let i = 0; i < row.length; i++) row[i] = binary.charCodeAt(2 * i) | (binary.charCodeAt(2 * i + 1) << 8);
  return row;
}

/** A matrix [step, cell] that grows by doubling; rows begin at step 1. */
export class ScoreRows {
  constructor(width) {
    this.width = Math.max(1, width);
    this.height = 16;
    this.data = new Uint16Array(this.height * this.width).fill(NONE);
  }

  set(step, row, cells) {
    let width = this.width, height = this.height;
    let last = 0;
    for (const cell of cells) if (cell > last) last = cell;
    while (last >= width) width *= 2;
    while (step > height) height *= 2;
    if (width !== this.width || height !== this.height) this._resize(width, height);
    const offset = (step - 1) * this.width;
    for (let i = 0; i < row.length; i++) this.data[offset + cells[i]] = row[i];
  }

  /** The share of the declared range, 0..1; NaN where nothing was recorded. */
  share(step, cell) {
    if (step < 1 || step > this.height || cell >= this.width) return NaN;
    const value = this.data[(step - 1) * this.width + cell];
    return value === NONE ? NaN : value / (NONE - 1);
  }

  _resize(width, height) {
    const data = new Uint16Array(width * height).fill(NONE);
    for (let row = 0; row < this.height; row++) {
      data.set(this.data.subarray(row * this.width, (row + 1) * this.width), row * width);
    }
    Object.assign(this, { width, height, data });
  }
}
