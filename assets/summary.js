// What a run amounts to: readouts above the canvas; the answer, its judgement and a copy button below.

import { el, help, icon, number, plural, seconds, setText } from "./dom.js";
import { HELP } from "./words.js";

const RULES = { sourced: "rule from its source", reconstructed: "rule reconstructed", own: "a rule of its own" };

export function create(root, { trace }) {
  const title = el("h2", { class: "lane-title" }), model = el("p", { class: "lane-model" });
  const cells = {};
  const readout = (name, label, ...about) => {
    cells[name] = el("dd");
    return el("div", { class: `readout ${name}` }, el("dt", {}, el("span", { text: label }), about.length ? help(label, ...about) : null), cells[name]);
  };
  root.append(
    el("div", { class: "lane-name" }, el("i", { class: "lane-mark", "aria-hidden": "true" }), el("div", {}, title, model)),
    el("dl", { class: "readouts" },
      readout("written", "tokens written"),
      readout("passes", "forward passes", ...HELP.passes),
      readout("rate", "tokens per pass", ...HELP.rate),
      readout("time", "time")),
  );

  function draw(t) {
    const { start } = trace;
    if (!start) return;
    setText(title, start.decoder_title ?? start.decoder);
    setText(model, [start.task?.title, start.model?.name, RULES[start.mark], `seed ${start.request?.seed ?? 0}`].filter(Boolean).join(" · "));
    const written = trace.writtenCount[t] ?? 0, passes = trace.passes[t] ?? 0;
    setText(cells.written, `${written} of ${trace.free}`);
    setText(cells.passes, String(passes));
    setText(cells.rate, passes ? number(written / passes) : "–");
    setText(cells.time, seconds(trace.elapsed[t] ?? 0));
  }

  return { draw, destroy() { root.replaceChildren(); } };
}

/** The answer at the playhead, and after the last step what it is worth. */
export function createAnswer(root, { trace, beside }) {
  const text = el("pre", { class: "answer-text", tabindex: "0", role: "group", "aria-label": "Answer as text" });
  const count = el("p", { class: "count" });
  const copied = el("span", { text: "Copy" });
  const copy = el("button", { type: "button", class: "button", onclick: take }, icon("copy"), copied);
  const verdict = el("p", { class: "verdict" }, el("b"), el("span"));
  const why = help("How the answer is judged", ...HELP.verdict);
  root.append(
    el("header", { class: "panel-head" }, el("h3", { text: "Answer as text" }), help("Answer as text", ...HELP.answer), copy),
    text, count,
    el("div", { class: "verdict-line" }, verdict, why));

  /** The tokens before the first end-of-sequence at step `t`; masks as boxes. */
  function tokensAt(t) {
    return trace.response(t).slice(0, trace.tail(t)).map((cell) => (trace.isMask(cell, t) ? "▢" : trace.text(trace.id(cell, t))));
  }

  function textAt(t) { return tokensAt(t).join(""); }

  /** Beside another run the tokens that differ are marked. */
  function showDifferences(t, differs) {
    const tokens = tokensAt(t);
    const key = JSON.stringify(tokens.map((token, rank) => [token, differs(rank)]));
    if (key === text.dataset.shown) return;
    text.dataset.shown = key;
    text.replaceChildren(...tokens.map((token, rank) => (differs(rank) ? el("mark", { class: "other", text: token }) : token)));
  }

  const finished = (t) => trace.end !== null && t === trace.steps;

  async function take() {
    const answer = trace.end ? trace.end.text : textAt(trace.steps);
    try {
      await navigator.clipboard.writeText(answer);
      setText(copied, "Copied");
    } catch {
      // Without a secure address the clipboard is closed: select the text instead.
      getSelection().selectAllChildren(text);
      setText(copied, "Selected: press Ctrl+C");
    }
    setTimeout(() => setText(copied, "Copy"), 2000);
  }

  function draw(t) {
    if (!trace.start) return;
    const done = finished(t);
    const other = beside();
    if (other) showDifferences(t, other.differs);
    else { delete text.dataset.shown; setText(text, done && trace.end.reason === "done" ? trace.end.text : textAt(t)); }
    text.classList.toggle("partial", !done);
    const totals = trace.end?.totals;
    setText(count, done && totals
      ? `${plural(totals.answer_tokens, "answer token")}${totals.tail_tokens ? `, ${totals.tail_tokens} after end of sequence` : ""}`
      : `at step ${t}`);
    judge(done ? trace.end : null, t);
  }

  function judge(end, t) {
    const judged = end?.verdict;
    verdict.className = `verdict ${judged ? (judged.right ? "right" : "wrong") : "open"}`;
    why.hidden = !judged;
    const masked = trace.free - (trace.writtenCount[t] ?? 0);
    setText(verdict.firstChild, judged ? (judged.right ? "✓ Right" : "✗ Wrong") : "");
    setText(verdict.lastChild, judged ? judged.why
      : end && trace.start.task && end.reason !== "done" ? "Not judged: the answer is not finished."
        : end ? "No program can judge this answer." : masked > 0 ? `${plural(masked, "place")} still masked at this step.` : "");
  }

  return { draw, destroy() { root.replaceChildren(); } };
}
