// The sheet of breakpoints: each says after which step a run is to stand.

import { el } from "./dom.js";

const MOST = 16;
const KINDS = [["step", "step"], ["written", "position written"], ["above", "written with a score above"], ["below", "written with a score below"]];
const SCORES = ["confidence", "entropy", "margin", "drift", "consistency"];

/** A form in `root` that adds to the list `breaks` and takes from it; `told()` is called whenever it changed. */
export function create(root, breaks, told) {
  const kind = el("select", { "aria-label": "Break at", onchange: shape }, ...KINDS.map(([value, text]) => el("option", { value, text })));
  const score = el("select", { "aria-label": "Score" }, ...SCORES.map((name) => el("option", { value: name, text: name })));
  const number = el("input", { type: "number", required: true, "aria-label": "Value" });
  const list = el("ul", { class: "breaks" }), none = el("p", { text: "None is set: a run goes through to its end." });
  const form = el("form", { onsubmit: add }, kind, score, number, el("button", { type: "submit", class: "button", text: "Set" }));
  root.append(el("p", { text: "A run pauses after the step that meets one of these." }), form, list, none);
  shape();

  function shape() {
    score.hidden = kind.value === "step" || kind.value === "written";
    number.step = score.hidden ? "1" : "any";
    number.min = kind.value === "step" ? "1" : kind.value === "written" ? "0" : "";
  }

  function add(event) {
    event.preventDefault();
    if (breaks.length >= MOST) return;
    const value = Number(number.value);
    breaks.push(score.hidden ? { kind: kind.value, at: value } : { kind: kind.value, score: score.value, value });
    number.value = "";
    changed();
    number.focus();
  }

  function changed() {
    list.replaceChildren(...breaks.map((item, at) => el("li", {}, el("span", { text: named(item) }),
      el("button", { type: "button", class: "quiet", text: "Remove", "aria-label": `Remove the breakpoint: ${named(item)}`, onclick: () => { breaks.splice(at, 1); changed(); (list.querySelectorAll("button")[at] ?? number).focus(); } }))));
    none.hidden = breaks.length > 0;
    told();
  }

  return { focus() { kind.focus(); }, destroy() { root.replaceChildren(); } };
}

function named({ kind, at, score, value }) {
  return kind === "step" ? `step ${at}` : kind === "written" ? `position ${at} written` : `written with ${score} ${kind} ${value}`;
}
