// Colour by: which score the canvas and the heat map show, and how to read its colours.

import { el, help, number, setText } from "./dom.js";
import { GRADIENT } from "./palette.js";
import { HELP } from "./words.js";

/** The layers of a run: the order of writing, then every score that it declares. */
export function layersOf(trace, horizon = trace.horizon) {
  const order = {
    name: "order", title: "Order", low: 1, high: horizon, unit: "step", higher: "written later",
    help: HELP.order[0],
  };
  return [order, ...[...trace.scores.values()].map(({ measure }) => measure)];
}

export function create(root, { trace, select, clock, horizon, beside, two }) {
  const choices = el("div", { class: "choices", role: "radiogroup", "aria-label": "Colour by" });
  const low = el("span", { class: "end" }), high = el("span", { class: "end" });
  const unit = el("span", { class: "unit" });
  const bar = el("span", { class: "scale", "aria-hidden": "true" });
  const about = el("span", { class: "about" });
  const between = el("input", { type: "checkbox", title: "Key M", onchange: () => select.setBetween(between.checked) });
  const apart = el("label", { class: "check", hidden: true }, between, el("span", { text: "difference B − A" }));
  bar.style.background = GRADIENT;
  root.append(
    el("div", { class: "legend" },
      el("span", { class: "label", text: "Colour by" }), choices, apart,
      el("span", { class: "ramp" }, low, bar, high, unit, about)),
  );
  let epoch = -1, layers = [], shown = "";

  function begin() {
    epoch = trace.epoch;
    layers = layersOf(trace);
    if (!layers.some((layer) => layer.name === select.layer)) select.layer = "order";
    choices.replaceChildren(...layers.map((layer, at) => el("button", {
      type: "button", role: "radio", class: "choice", "data-layer": layer.name, title: `${layer.title} (key ${at + 1})`,
      text: layer.title, onclick: () => select.setLayer(layer.name),
    })));
    shown = "";
  }

  choices.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    const at = layers.findIndex((layer) => layer.name === select.layer);
    const next = (at + move + layers.length) % layers.length;
    select.setLayer(layers[next].name);
    choices.children[next].focus();
  });

  function draw() {
    if (!trace.start) return;
    if (epoch !== trace.epoch) begin();
    const layer = layersOf(trace, horizon()).find((item) => item.name === select.layer);
    const digits = layer.name === "order" ? 0 : Number.isInteger(layer.high) ? 0 : 2;
    apart.hidden = !two();
    between.checked = select.between;
    const gap = beside()?.scale;
    bar.style.background = gap ? gap.gradient : GRADIENT;
    setText(low, gap ? gap.low : number(layer.low, Number.isInteger(layer.low) ? 0 : 2));
    setText(high, gap ? gap.high : number(layer.high, digits));
    setText(unit, gap ? `${layer.name === "order" && clock.unit !== "step" ? "passes" : layer.unit} · orange, + = ${layer.name === "order" ? "later" : "higher"} in B` : `${layer.unit} · bright = ${layer.higher}`);
    if (shown === layer.name) return;
    shown = layer.name;
    about.replaceChildren(help(layer.title, ...(layer.name === "order" ? HELP.order : HELP.layer(layer))));
    for (const button of choices.children) {
      const on = button.dataset.layer === layer.name;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
  }

  return { draw, destroy() { root.replaceChildren(); } };
}
