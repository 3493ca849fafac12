// Keyboard: single keys act when the focus is not in a field, and can be switched off.

import { el } from "./dom.js";

const STORED = "unmask-keys";
const LIST = [
  ["Space", "play or pause"], ["← →", "one step back or forward; with Shift ten"], ["Home  End", "first or last step"],
  ["[  ]", "slower or faster"], ["1 – 6", "colour by order, confidence, …"], ["G", "best guesses on or off"],
  ["P", "pause the live run, or let it go on"], [".", "one step of a paused run"], ["B", "set a breakpoint"],
  ["D", "signs of a comparison on or off"], ["M", "colours say the difference of two runs, B − A"], ["N", "next difference"], ["S", "go to the scores"], ["O", "go to the order"], ["C", "go to the candidates"], ["T  R", "why this token: attribution, routes"], ["Enter", "pin a token; arrows move between tokens"],
  ["Esc", "unpin, close"], ["Page Up  Page Down", "in a lesson: step back or on"], ["/", "go to the prompt"], ["?", "this list"],
];

const FIELDS = "input, textarea, select, button, a, summary, [contenteditable], [role=textbox], [role=listbox], [role=slider]";
const TYPED = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable], [role=textbox], [role=listbox]";

export function listen({ root, trace, clock, select, next, hold, layers, panels, explain }) {
  let on = true;
  try { on = localStorage.getItem(STORED) !== "off"; } catch { /* storage may be switched off */ }
  const check = el("input", { type: "checkbox", onchange: () => {
    on = check.checked;
    try { localStorage.setItem(STORED, on ? "on" : "off"); } catch { /* kept for this visit only */ }
  } });
  check.checked = on;
  const dialog = el("dialog", { class: "sheet", "aria-label": "Keyboard" },
    el("h3", { text: "Keyboard" }),
    el("dl", {}, ...LIST.flatMap(([keys, what]) => [el("dt", {}, el("kbd", { text: keys })), el("dd", { text: what })])),
    el("label", { class: "check" }, check, el("span", { text: "Single keys act" })),
    el("form", { method: "dialog" }, el("button", { class: "button", text: "Close" })));
  root.append(dialog);

  const go = (panel) => { panel.scrollIntoView({ block: "nearest" }); panel.focus({ preventScroll: true }); };
  const acts = {
    " ": () => clock.toggle(), ArrowLeft: (event) => clock.move(event.shiftKey ? -10 : -1),
    ArrowRight: (event) => clock.move(event.shiftKey ? 10 : 1), Home: () => clock.seekValue(0), End: () => clock.toEnd(),
    "[": () => clock.faster(-1), "]": () => clock.faster(1), g: () => select.setGuesses(!select.guesses),
    d: () => select.setSigns(!select.signs), m: () => select.setBetween(!select.between), n: next,
    s: () => go(panels().scores), o: () => go(panels().order), c: () => go(panels().candidates),
    t: () => explain("attribution"), r: () => explain("routes"),
    p: () => hold.toggle(), ".": () => hold.step(), b: () => hold.open(),
    "/": () => document.querySelector("#field-prompt textarea, #field-prompt input")?.focus(), "?": () => dialog.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open || event.target.closest?.("dialog[open], [popover]")) return;
    if (event.key === "Escape" && root.contains(event.target)) { select.clear(); return; }
    const inside = root.contains(event.target) || event.target === document.body;
    if (!on || event.target.closest?.(TYPED)) return;
    if (event.target.matches?.("input[type=range]") && /^(Arrow|Home|End|Page)/.test(event.key)) return; // a slider's own
    if (event.target.closest?.(FIELDS) && (event.key === " " || !inside)) return;
    const layer = /^[1-9]$/.test(event.key) ? layers()[Number(event.key) - 1] : null;
    const act = layer ? () => select.setLayer(layer.name) : acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || (!trace.start && !["/", "?", "b"].includes(event.key))) return;
    event.preventDefault();
    act(event);
  });

  return { showKeys: () => dialog.showModal() };
}
