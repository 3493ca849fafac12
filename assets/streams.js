// Which of the streams of batches is shown: one that was left for a kept run or a newer one never comes back. No DOM.

export class Streams {
  constructor() {
    this._current = "";
    this._begun = new Set();
  }

  /** Whether a batch belongs to the stream that is shown; the first batch of another one makes that the one. */
  takes({ runs }) {
    const name = runs.join();
    if (name !== this._current && this._begun.has(name)) return false;
    this._begun.add(name);
    this._current = name;
    return true;
  }

  /** Show something else: what still comes of the stream is not taken any more. */
  leave() { this._current = ""; }
}
