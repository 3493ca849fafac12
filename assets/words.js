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
  orderView: [
    "One mark per written token: to the right is later, downwards is further right in the text. Writing from left to right would follow the dashed line.",
    "The bars count how many masked places each write skipped on its left. 0 = the leftmost free place was written.",
  ],
  heat: [
    "Every column is one step, every row one position of the answer. The colour is the chosen score at that moment. A row ends, hatched, where its token was written: from then on the model is not asked.",
    "Point at it to read the value; drag to move in time.",
  ],
  candidates: ["The tokens that the model found most probable for this place at this step, and how their probabilities moved until one was written. Each line is one token; the dot marks the moment of writing."],
  compare: [
    "Both runs answer the same prompt with the same seed. The time line shows them after equal forward passes; its unit can be changed.",
    "≠ under a token: the other run has another token there. ◂3: this run wrote the same token 3 passes earlier than the other; 3▸: 3 later. ·: the other run has not written this place yet. No sign: the same token at the same moment.",
    "Press a count (or N) to go from one such place to the next; D hides the signs.",
  ],
  tree: [
    "A search keeps several canvases at once. Every mark is a candidate: where it comes from is to its left, the best score of a round is on top.",
    "The thick line leads to the winner; grey candidates were let go. Point at one (or use the arrow keys) to read its score and see its whole canvas, with what it wrote itself in boxes; click it to go to its step.",
  ],
  settled: [
    "Favourite: the token that the model finds most probable for a masked place at a step.",
    "Settled: the step from which the favourite never changed again until the place was written. Flips: how often it changed before.",
    "KL to its last distribution: how far, in nats, the distribution at a step was from the one at the last step that still asked about the place. It is taken over the recorded candidates, everything else counting as one token, so the true value is at least this. 0 = nothing changed any more.",
    "Regret: log p of a written token when it was written, minus log p of it now, when it alone is masked again on the finished canvas; in nats. Above 0 the model would be less sure of it today. Two tokens that only support each other show no regret.",
  ],
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
