// How a canvas is laid out, decided once when a run starts so that nothing moves while it fills. No DOM.

const BOXES = { sudoku4: [2, 2], sudoku6: [2, 3] }; // rows and columns of a box
const PIECE = /^[0-9./]$/;

/**
 * Return `{kind, width, head, rows, foot, answer, box}`.
 * kind `rows`: the prompt holds rows parted by "/" and the answer repeats their form (a puzzle);
 * `chars`: every token is one sign; `words`: tokens of any length. `width` is in signs per cell.
 */
export function layoutOf(trace) {
  const prompt = trace.prompt;
  const texts = prompt.map((cell) => trace.text(trace.id(cell, 0)));
  const puzzle = puzzleOf(texts, trace.start.length);
  if (puzzle) {
    const { from, to, size } = puzzle;
    return {
      kind: "rows", width: 1, box: BOXES[trace.start.task?.name] ?? null,
      head: prompt.slice(0, from), foot: prompt.slice(to),
      rows: chunks(prompt.slice(from, to), size + 1), answer: size + 1,
    };
  }
  const longest = Math.max(0, ...texts.map((text) => [...text].length));
  const kind = longest <= 1 || trace.start.model.vocab_size < 100 ? "chars" : "words";
  return {
    kind, width: kind === "chars" ? 2 : Math.max(9, Math.min(12, longest)), box: null,
    head: prompt, foot: [], rows: [], answer: 0,
  };
}

/** The range of `texts` that holds equal rows of digits and dots, when an answer of `length` can repeat them. */
function puzzleOf(texts, length) {
  let to = texts.length;
  while (to > 0 && !PIECE.test(texts[to - 1])) to--;
  let from = to;
  while (from > 0 && PIECE.test(texts[from - 1])) from--;
  const rows = texts.slice(from, to).join("").split("/");
  const size = rows[0].length;
  if (rows.length < 2 || size < 2 || rows.some((row) => row.length !== size)) return null;
  const whole = rows.length * (size + 1); // a row's cells and the sign that ends it
  return length >= whole - 1 && length <= whole + size + 1 ? { from, to, size } : null;
}

export function chunks(list, size) {
  const parts = [];
  for (let at = 0; at < list.length; at += size) parts.push(list.slice(at, at + size));
  return parts;
}

/** Classes of a cell inside a puzzle: where a box ends. */
export function boxClasses(box, row, column) {
  if (!box) return [];
  const classes = [];
  if (row > 0 && row % box[0] === 0) classes.push("box-top");
  if (column > 0 && column % box[1] === 0) classes.push("box-left");
  return classes;
}
