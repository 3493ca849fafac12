// The list of the keys, and the switch that lets single ones act.

import { el } from "./dom.js";

const LIST = [
  ["Space", "play or pause"], ["← →", "one step back or forward; with Shift ten"], ["Home  End", "first or last step"],
  ["[  ]", "slower or faster"], ["1 – 6", "colour by order, confidence, …"], ["G", "best guesses on or off"],
  ["P", "pause the live run, or let it go on"], [".", "one step of a paused run"], ["B", "set a breakpoint"],
  ["D", "signs of a comparison on or off"], ["M", "colours say the difference of two runs, B − A"], ["N", "next difference"], ["S", "go to the scores"], ["O", "go to the order"], ["C", "go to the candidates"], ["T  R", "why this token: attribution, routes"], ["Enter", "pin a token; arrows move between tokens"],
  ["Esc", "unpin, close"], ["Page Up  Page Down", "in a lesson: step back or on"], ["/", "go to the prompt"], ["?", "this list"],
];

/** Returns the dialog; `switched.on` says whether single keys act. */
export function create(root, switched) {
  const check = el("input", { type: "checkbox", onchange: () => { switched.on = check.checked; } });
  check.checked = switched.on;
  const dialog = el("dialog", { class: "sheet", "aria-label": "Keyboard" },
    el("h3", { text: "Keyboard" }),
    el("dl", {}, ...LIST.flatMap(([keys, what]) => [el("dt", {}, el("kbd", { text: keys })), el("dd", { text: what })])),
    el("label", { class: "check" }, check, el("span", { text: "Single keys act" })),
    el("form", { method: "dialog" }, el("button", { class: "button", text: "Close" })));
  root.append(dialog);
  return dialog;
}
