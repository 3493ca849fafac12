// Plain-language texts: what a newcomer would ask.

export const INTRO = "Each box is one token of the answer. They are filled in an order of their own, step by step; dashed boxes are still masked.";

export const STATUS = {
  recorded: "A recorded run. Press Run for a live one.",
  live: "Running: every step is drawn as it is decided.",
  finished: "Finished. Move the time line to see any step again; point at a token to see what else was possible.",
};

export const HELP = {
  prompt: ["What the model was given. These tokens are locked: the model reads them and never changes them."],
  canvas: [
    "The answer starts as a row of masks. At every step the model looks at the whole row at once and proposes a token for every masked place; the decoder decides which of these proposals are written now.",
    "A dashed box is masked. The pale sign in it is the model's best guess at this step, the bar below it the chosen score. A filled box is written and keeps its token; a ring marks what was written at this very step.",
    "Point at a box to see what else the model considered. Click it, or press Enter, to keep it in view.",
  ],
  passes: ["One forward pass is one run of the model over the whole canvas: the cost of decoding. A decoder that writes several tokens per pass is faster and takes more risk."],
  rate: ["Tokens written divided by forward passes. A left-to-right model always has 1."],
  answer: [
    "The answer ends at the first end-of-sequence token (∎). Whatever stands after it is filler: it is greyed on the canvas, left out of the copied text and counted apart.",
  ],
  verdict: ["This task has a checkable answer: a small program, not a model, reads the answer and judges it."],
  order: ["The step at which a token was written: dark = early, bright = late. Masked places have no value yet."],
  candidates: ["The tokens that the model found most probable for this place at this step, and how their probabilities moved until one was written. Each line is one token; the dot marks the moment of writing."],
  units: ["The unit of the time line. “step”: one decision of the decoder. “passes”: forward passes of the model, the fair measure of cost. “share”: how much of the answer is written. “seconds”: the time that the run really took."],
  layer: (measure) => [
    measure.help,
    `Unit: ${measure.unit}. Higher means ${measure.higher}. A masked place shows its value at this step, a written token the value it had when it was written.`,
  ],
};

export const REASONS = {
  done: "",
  cancelled: "stopped by you",
  budget: "stopped at the limit",
  error: "stopped by an error",
};
