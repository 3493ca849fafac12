// Where there is room for one lane only, a tab says which is seen: A, B, or what sets them apart.

import { el } from "./dom.js";

const TABS = [["a", "A"], ["b", "B"], ["diff", "A against B"]];

/** `choose(name)` shows a lane. Returns the row of tabs, and `show(name)`. */
export function createLaneTabs(choose) {
  const row = el("div", { class: "lane-tabs", role: "tablist", "aria-label": "Lane", onkeydown: turn });
  const buttons = TABS.map(([name, text]) => el("button", { type: "button", role: "tab", "data-name": name, text, onclick: () => { show(name); chosen().focus(); } }));
  row.append(...buttons);

  const chosen = () => row.querySelector("[aria-selected=true]");

  function show(name) {
    for (const button of buttons) {
      const on = button.dataset.name === name;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    choose(name);
  }

  function turn(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    show(buttons.at((buttons.indexOf(chosen()) + move) % buttons.length).dataset.name);
    chosen().focus();
    event.preventDefault();
    event.stopPropagation();
  }

  return { row, show };
}
