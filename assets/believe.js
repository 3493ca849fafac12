// Can I believe it? The attribution of the pinned token against random rankings, on the canvas that it explains.

import { ask, Refused } from "./asking.js";
import { el, help, number, probability, setText } from "./dom.js";
import { theme, token } from "./palette.js";
import { addTab } from "./why.js";

const HELP = [
  "An explanation ranks the visible tokens. If it is right, masking its top tokens should hurt the choice more than masking random ones (comprehensiveness: the mean loss of probability, more is better), and its top tokens alone should restore the choice sooner (sufficiency: what is still missing, less is better).",
  "Both are measured here and now: the model runs on every partly masked canvas, for this explanation and for rankings drawn at random. The band holds the middle 95 % of the random ones. Whatever the objective, the curves are of the probability of the explained token.",
];
const WAIT_MS = 200; // a pin that is on its way elsewhere starts nothing

addTab({ name: "believe", title: "Can I believe it?", create });

export function create(root, { select }) {
  const method = el("select", { "aria-label": "Explanation to be tested", onchange: () => draw(subject) });
  const verdict = el("p", { class: "believe-verdict", role: "status" }), numbers = el("dl", { class: "believe-numbers" });
  const curve = (title, how) => {
    const field = el("div", { class: "chart" });
    return { field, view: null, figure: el("figure", {}, el("h4", { text: title }), el("p", { class: "caption", text: how }), field) };
  };
  const deletion = curve("Masking the top tokens", "The faster the line falls below the band, the better the explanation found what matters.");
  const insertion = curve("Showing the top tokens alone", "The sooner the line rises above the band, the better.");
  const legend = el("div", { class: "settled-legend" }, el("span", { class: "key" }, el("i", { class: "line" }), el("span", { text: "this explanation" })),
    el("span", { class: "key" }, el("i", { class: "line dashed" }), el("span", { text: "random rankings, mean" })), el("span", { class: "key" }, el("i", { class: "band" }), el("span", { text: "their middle 95 %" })));
  const figures = el("div", { class: "believe-grid", hidden: true }, deletion.figure, insertion.figure);
  root.append(el("div", { class: "settled-choice" }, el("label", {}, el("span", { text: "Test " }), method), help("Can I believe it?", ...HELP)), verdict, numbers, figures, legend);
  let subject = null, asked = "", shown = "", found = null, stop = null, timer = 0, offered = "", kit = null;
  legend.hidden = true;

  async function offer(run) {
    offered = run;
    const { methods } = await ask(run, "explanations", {}, null);
    method.replaceChildren(...methods.map((way) => el("option", { value: way.name, text: way.title, disabled: Boolean(way.lacking), title: way.lacking || way.help })));
    method.value = methods.find((way) => way.name === select.method && !way.lacking)?.name ?? methods.find((way) => !way.lacking)?.name;
  }

  function fail(error) {
    if (error.name === "AbortError") return;
    setText(verdict, error instanceof Refused ? `${error.message} ${error.remedy}`.trim() : error.message);
    root.dataset.state = "refused";
  }

  async function test(key, { run, position, step }) {
    stop?.abort();
    stop = new AbortController();
    found = null;
    root.dataset.state = "busy";
    figures.hidden = legend.hidden = true;
    numbers.replaceChildren();
    setText(verdict, "Masking and showing its top tokens, and random ones …");
    try {
      const answer = await ask(run, "faithfulness", { position, step, method: method.value }, stop.signal);
      if (key !== asked) return;
      found = answer;
      tell();
      draw(subject);
    } catch (error) { fail(error); }
  }

  function tell() {
    setText(verdict, found.verdict);
    const line = (title, { value, mean, low, high }, better) => [el("dt", { text: title }),
      el("dd", { text: `${number(value, 3)} · chance ${number(mean, 3)} [${number(low, 3)}, ${number(high, 3)}] · ${better}` })];
    numbers.replaceChildren(...line("Comprehensiveness", found.comprehensiveness, "more is better"), ...line("Sufficiency", found.sufficiency, "less is better"),
      el("dt", { text: "Whole canvas" }), el("dd", { text: `p = ${probability(found.whole)} · ${found.rankings} random rankings · intervals hold the middle 95 % of them` }));
  }

  async function paint() {
    kit ??= await import("./chart.js");
    figures.hidden = legend.hidden = false;
    const draws = [[deletion, found.deletion, "visible tokens masked", true], [insertion, found.insertion, "visible tokens shown", false]];
    for (const [part, curves, title, begins] of draws) {
      part.view ??= kit.chart(part.field, { label: `${title}: probability of the explained token; the measures are given above as text` });
      const from = begins ? [0] : [], first = begins ? [found.whole] : [], x = [...from, ...found.counts];
      const line = (values, more) => ({ type: "scatter", mode: "lines", x, y: [...first, ...values], hoverinfo: "none", ...more });
      const edge = { line: { width: 0, color: token("muted") } };
      await part.view.show([
        line(curves.low, edge), line(curves.high, { ...edge, fill: "tonexty", fillcolor: band() }),
        line(curves.mean, { line: { color: token("muted"), width: 1.5, dash: "dash" } }),
        line(curves.values, { mode: "lines+markers", line: { color: token("lane-a"), width: 2.5 }, marker: { color: token("lane-a"), size: 6 } }),
      ], { xaxis: kit.axis(title, { rangemode: "tozero", tickformat: "d" }), yaxis: kit.axis("probability", { range: [-0.02, 1.02] }) }, asked);
    }
    root.dataset.state = "drawn";
  }

  async function draw(next) {
    subject = next;
    if (!subject) return;
    if (offered !== subject.run) { try { await offer(subject.run); } catch (error) { fail(error); return; } }
    if (!subject) return;
    const key = [subject.run, subject.step, subject.position, method.value].join("|");
    if (key !== asked) {
      asked = key;
      clearTimeout(timer);
      const about = subject;
      timer = setTimeout(() => test(key, about), WAIT_MS);
      return;
    }
    const drawn = `${key}|${theme.epoch}`;
    if (found && drawn !== shown) { shown = drawn; paint().catch(fail); }
  }

  return { draw, destroy() { clearTimeout(timer); stop?.abort(); deletion.view?.destroy(); insertion.view?.destroy(); root.replaceChildren(); } };
}

/** The colour of the band, translucent. */
function band() {
  const [r, g, b] = token("muted").match(/\w\w/g).map((pair) => parseInt(pair, 16));
  return `rgba(${r}, ${g}, ${b}, 0.22)`;
}
