// Made-up runs on the wire, for looking at the page and measuring it without Python or a model.

const MEASURES = [
  { name: "confidence", title: "Confidence", low: 0, high: 1, unit: "probability", higher: "surer", help: "The probability that the model gives to its favourite token for this place." },
  { name: "entropy", title: "Entropy", low: 0, high: Math.log(64), unit: "nats", higher: "less sure", help: "How spread out the belief is: 0 is a single possible token, ln V is every token alike." },
  { name: "margin", title: "Margin", low: 0, high: 1, unit: "probability", higher: "surer", help: "The favourite's probability minus the runner-up's: near 0 means a close race." },
  { name: "drift", title: "Drift", low: 0, high: 4, unit: "nats", higher: "moved more", help: "How much the last writes changed the belief about this place (Kullback-Leibler divergence)." },
  { name: "consistency", title: "Consistency", low: 0, high: 1, unit: "0 to 1", higher: "agrees with its past", help: "1 when the belief about this place is what it was over the last passes, 0 when it shares nothing with them." },
];

export const RUNS = {
  sudoku: { prompt: [..."sudoku: 1..4/..1./.3../4..1="], answer: [..."1324/4213/2431/3142", "[EOS]"].map((t) => t), vocabulary: [..."123456789/.", "[EOS]"], task: { name: "sudoku4", title: "Sudoku 4x4" }, perStep: 1, right: false, why: "row 4 column 1 should keep the clue 4, not 3" },
  sum: { prompt: [..."sum: 4821+977="], answer: [..."5798", ...Array(6).fill("[EOS]")], vocabulary: [..."0123456789", "[EOS]"], task: { name: "sum", title: "Sum" }, perStep: 2, right: true, why: "all 4 digits are right" },
  words: {
    prompt: ["json: ", "Ann", " has a ", "gold", " ", "bell", ". ", "Mia", " has a ", "white", " ", "ring", ". ", "Mia", "?"],
    answer: ['{"name":"', "Mia", '","color":"', "white", '","toy":"', "ring", '"}', ...Array(29).fill("[EOS]")],
    vocabulary: ['{"name":"', '","color":"', '","toy":"', '"}', "Mia", "Ann", "white", "gold", "ring", "bell", "[EOS]", "<img src=x onerror=alert(1)>"],
    task: { name: "json", title: "Text to JSON" }, perStep: 3, right: true, why: "the JSON is valid and every value is as the prompt says",
  },
  medium: { prompt: ["Write", " ", "a", " line"], answer: Array.from({ length: 128 }, (_, k) => ["the", " sea", " keeps", " its", " own", " counsel"][k % 6]), vocabulary: ["the", " sea", " keeps", " its", " own", " counsel", " old", " quiet"], task: null, perStep: 2, right: null, why: "" },
  long: { prompt: ["Write", " ", "a", " line"], answer: Array.from({ length: 512 }, (_, k) => ["the", " sea", " keeps", " its", " own", " counsel"][k % 6]), vocabulary: ["the", " sea", " keeps", " its", " own", " counsel", " old", " quiet"], task: null, perStep: 1, right: null, why: "" },
};

function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

function packed(length, values, { low, high }) {
  const bytes = new Uint8Array(length * 2).fill(255);
  for (const [position, value] of values) {
    const share = Math.round(Math.max(0, Math.min(1, (value - low) / (high - low))) * 65534);
    bytes[2 * position] = share & 255;
    bytes[2 * position + 1] = share >> 8;
  }
  return btoa(String.fromCharCode(...bytes));
}

/** Return `{events, candidates}`: the wire events of a run, and per step the candidates of all masked positions. */
export function mock(name, { id = name, seed = 7, reason = "done", lane = 0, other = [] } = {}) {
  const { prompt, answer: usual,  vocabulary, task, perStep, right, why } = RUNS[name];
  // At the ranks `other` the run ends with another token: something to compare.
  const answer = usual.map((text, rank) => (other.includes(rank) ? vocabulary.find((each) => each !== text) : text));
  const draw = random(seed);
  const ids = new Map(["[MASK]", ...new Set([...vocabulary, ...answer, ...prompt])].map((text, at) => [text, at]));
  const texts = Object.fromEntries([...ids].map(([text, at]) => [at, text]));
  const P = prompt.length, G = answer.length, L = P + G;
  const start = {
    lane: 0, kind: "start", run: id, decoder: "llada", decoder_title: "LLaDA: the surest, on an even schedule", mark: "sourced",
    model: { name: task && task.name !== "json" ? "tiny-diffusion" : "tiny-words", family: "llada", kind: "masked", weights_hash: "0", vocab_size: 200 },
    canvas: [...prompt.map((t) => ids.get(t)), ...Array(G).fill(0)], prompt_length: P, length: G, mask: 0, eos: ids.get("[EOS]") ?? null,
    fixed: [], blocks: G > 64 ? Array.from({ length: G / 32 }, (_, k) => [P + 32 * k, P + 32 * k + 32]) : [[P, L]],
    settings: { steps: Math.ceil(G / perStep) }, request: { decoder: "llada", prompt: prompt.join(""), length: G, settings: {}, seed, top_k: 8 },
    texts, measures: MEASURES, task,
  };
  const ease = answer.map((text) => (text === "/" || text === "[EOS]" ? 0.9 : 0.1) + 0.5 * draw());
  const rivals = answer.map((text) => [text, ...[...vocabulary].sort(() => draw() - 0.5).filter((other) => other !== text)].slice(0, 8));
  const left = new Set(answer.keys());
  const events = [start], candidates = {};
  let elapsed = 0;
  for (let step = 1; left.size; step++) {
    const masked = [...left];
    const sure = new Map(masked.map((k) => [k, Math.min(0.999, 0.12 + 0.75 * ease[k] * (step * perStep / G) ** 0.5 + 0.3 * ease[k] + 0.08 * draw())]));
    const chosen = masked.sort((a, b) => sure.get(b) - sure.get(a)).slice(0, perStep);
    elapsed += 0.008 + 0.004 * draw();
    const all = [...left].sort((a, b) => a - b).map((k) => {
      const p = sure.get(k), list = rivals[k];
      const wrong = !chosen.includes(k) && p < 0.35 && step < 6;
      const order = wrong && list[1] ? [list[1], list[0], ...list.slice(2)] : list;
      let rest = 1 - p;
      const probs = order.map((_, r) => (r === 0 ? p : (rest *= 0.55)));
      return [P + k, order.map((t) => ids.get(t)), probs];
    });
    candidates[step] = all;
    const score = {
      confidence: (k) => sure.get(k), entropy: (k) => 3.2 * (1 - sure.get(k)), margin: (k) => Math.max(0, 1.6 * sure.get(k) - 0.6),
      drift: (k) => (step === 1 ? NaN : 2 * draw() * (1 - ease[k])), consistency: (k) => (step === 1 ? NaN : 0.6 + 0.4 * sure.get(k)),
    };
    const scores = Object.fromEntries(MEASURES.map((m) => [m.name, packed(L, [...left].map((k) => [P + k, score[m.name](k)]).filter(([, v]) => !Number.isNaN(v)), m)]));
    events.push({
      lane: 0, kind: "step", index: step, passes: step, rows: step * L, elapsed_s: elapsed,
      writes: chosen.map((k) => [P + k, ids.get(answer[k]), sure.get(k)]), erases: [], drafts: [], rejects: [], grows: [],
      notes: { why: `${chosen.length} of ${left.size} masked positions written: the most confident.` }, texts: {}, scores,
      candidates: all.filter(([position]) => chosen.includes(position - P)),
    });
    chosen.forEach((k) => left.delete(k));
    if (reason !== "done" && step >= G / perStep / 2) break;
  }
  const steps = events.length - 1, cut = answer.indexOf("[EOS]");
  events.push({
    lane: 0, kind: "end", reason, message: reason === "error" ? "The model gave scores that are not finite numbers. Load it in float32, or check its weights." : "",
    text: answer.slice(0, cut < 0 ? G : cut).join(""),
    totals: { steps, passes: steps, rows: steps * L, elapsed_s: elapsed, written: G - left.size, tokens_per_pass: G / steps, answer_tokens: cut < 0 ? G : cut, answer_tokens_per_pass: 1, tail_tokens: cut < 0 ? 0 : G - cut },
    verdict: right === null || reason !== "done" ? null : { task: task.name, title: task.title, right, why },
  });
  for (const event of events) event.lane = lane;
  return { events, candidates, texts };
}
