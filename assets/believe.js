// Can I believe it? The attribution of the pinned token against random rankings, on the canvas that it explains.

import { ask } from "./asking.js";
import { el, help, number, probability, setText } from "./dom.js";
import { theme, token } from "./palette.js";
import { createWaiting } from "./waiting.js";

const HELP = [
  "An explanation ranks the visible tokens. If it is right, masking its top tokens should hurt the choice more than masking random ones (comprehensiveness: the mean loss of probability, more is better), and its top tokens alone should restore the choice sooner (sufficiency: what is still missing, less is better).",
  "Both are measured here and now: the model runs on every partly masked canvas, for this explanation and for rankings drawn at random. The band holds the middle 95 % of the random ones. Whatever the objective, the curves are of the probability of the explained token.",
];
const FIRST = { method: "integrated_gradients", objective: "log_prob", baseline: "mask", n_steps: 64 };
const WAIT_MS = 200; // a pin that is on its way elsewhere starts nothing

export function create(root, context) {
  const tested = el("p", { class: "why-how" }), verdict = el("p", { class: "believe-verdict", role: "status" }), numbers = el("dl", { class: "believe-numbers" });
  const curve = (title, how) => {
    const field = el("div", { class: "chart" });
    return { field, view: null, figure: el("figure", {}, el("h4", { text: title }), el("p", { class: "caption", text: how }), field) };
  };
  const deletion = curve("Masking the top tokens", "The faster the line falls, compared with the dashed one, the better the explanation found what matters.");
  const insertion = curve("Showing the top tokens alone", "The sooner the line rises, compared with the dashed one, the better the explanation found what is enough.");
  const key = (shape, text) => el("span", { class: "key" }, el("i", { class: shape }), el("span", { text }));
  const shown = el("div", { hidden: true }, tested, verdict, numbers, el("div", { class: "believe-grid" }, deletion.figure, insertion.figure),
    el("div", { class: "settled-legend" }, key("line", "this explanation"), key("line dashed", "random rankings, mean"), key("band", "their middle 95 %")));
  root.append(el("div", { class: "why-head" }, el("h4", { class: "why-title" }, el("span", { text: "Does the explanation do better than chance?" }), help("Can I believe it?", ...HELP))));
  const waiting = createWaiting(root);
  root.append(shown);
  let asked = "", drawn = "", found = null, stop = null, timer = 0;

  function draw(subject) {
    const way = subject ? wayOf(subject) : FIRST;
    const wanted = subject ? [subject.run, subject.step, subject.position, ...Object.values(way)].join("|") : "";
    if (wanted !== asked) {
      asked = wanted;
      clearTimeout(timer);
      stop?.abort();
      found = null;
      shown.hidden = true;
      delete root.dataset.shown;
      waiting.done();
      if (subject) timer = setTimeout(() => test(subject, way), WAIT_MS);
    } else if (found && drawn !== `${asked}|${theme.epoch}`) paint();
  }

  /** As was chosen under Attribution; a rival token is one of the place that it was chosen for. */
  function wayOf({ run, cell, step, token: chosen }) {
    if (!context.looked) return FIRST;
    const { of, way } = context.looked, { trace } = context;
    if (way.objective !== "contrast" || (of.run === run && of.cell === cell && of.step === step)) return way;
    const rival = trace.candidates(cell, step)?.ids.find((id) => id !== chosen && id !== trace.start.mask);
    return rival === undefined ? { ...way, objective: FIRST.objective, against: null } : { ...way, against: String(rival) };
  }

  async function test({ run, position, step }, way) {
    const mine = (stop = new AbortController());
    waiting.begin("Masking and showing its top tokens, and random ones …");
    try {
      const answer = await ask(run, "faithfulness", { position, step, ...way }, mine.signal);
      if (mine.signal.aborted) return;
      waiting.done();
      found = answer;
      tell();
      await paint();
    } catch (error) {
      if (error.name === "AbortError" || mine.signal.aborted) return;
      waiting.refuse(error);
      root.dataset.shown = "refused";
    }
  }

  function tell() {
    const line = (title, { value, mean, low, high }, better) => [el("dt", { text: title }),
      el("dd", { text: `${number(value, 3)} · chance ${number(mean, 3)} [${number(low, 3)}, ${number(high, 3)}] · ${better}` })];
    setText(tested, `Tested: ${found.title}, as chosen under Attribution, on the canvas as the model saw it then, against ${found.rankings} random rankings.`);
    setText(verdict, found.verdict);
    const { comprehensiveness: whole, sufficiency: rest } = found;
    verdict.classList.toggle("chance", whole.value <= whole.high && rest.value >= rest.low);
    numbers.replaceChildren(...line("Comprehensiveness", found.comprehensiveness, "more is better"), ...line("Sufficiency", found.sufficiency, "less is better"),
      el("dt", { text: "Whole canvas" }), el("dd", { text: `probability ${probability(found.whole)}` }));
  }

  async function paint() {
    drawn = `${asked}|${theme.epoch}`;
    shown.hidden = false;
    const kit = await import("./chart.js"), of = found;
    if (!of) return;
    for (const [part, curves, title, begin] of [[deletion, of.deletion, "visible tokens masked", of.whole], [insertion, of.insertion, "visible tokens shown", null]]) {
      part.view ??= kit.chart(part.field, { label: `${title}: probability of the explained token; the measures are given above as text` });
      const x = begin === null ? of.counts : [0, ...of.counts], last = of.counts.at(-1);
      const line = (values, more) => ({ type: "scatter", mode: "lines", x, y: begin === null ? values : [begin, ...values], hoverinfo: "none", ...more });
      await part.view.show([
        line(curves.low, { line: { width: 0 } }), line(curves.high, { line: { width: 0 }, fill: "tonexty", fillcolor: band() }),
        line(curves.mean, { line: { color: token("muted"), width: 1.5, dash: "dash" } }),
        line(curves.values, { mode: "lines+markers", line: { color: token("lane-a"), width: 2.5 }, marker: { color: token("lane-a"), size: 6 } }),
      ], { xaxis: kit.axis(title, { range: [0, last * 1.03], tickformat: "d", dtick: last > 40 ? 10 : last > 12 ? 5 : 1 }), yaxis: kit.axis("probability", { range: [-0.03, 1.03] }) }, asked);
    }
    root.dataset.shown = [of.step, of.position, of.method].join("|");
  }

  return { draw, destroy() { clearTimeout(timer); stop?.abort(); deletion.view?.destroy(); insertion.view?.destroy(); root.replaceChildren(); } };
}

/** The colour of the band, translucent. */
function band() {
  const [r, g, b] = token("muted").match(/\w\w/g).map((pair) => parseInt(pair, 16));
  return `rgba(${r}, ${g}, ${b}, 0.22)`;
}
