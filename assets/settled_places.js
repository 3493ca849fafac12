// How settled was it? A panel per lane, closed at first; what it shows is fetched when it is first opened.

import { el, help } from "./dom.js";
import { createLater } from "./later.js";

const HELP = [
  "Favourite: the token that the model finds most probable for a masked place at a step.",
  "Settled: the step from which the favourite never changed again until the place was written. Flips: how often it changed before.",
  "KL to its last distribution: how far, in nats, the distribution at a step was from the one at the last step that still asked about the place. It is taken over the recorded candidates, everything else counting as one token, so the true value is at least this. 0 = nothing changed any more.",
  "Regret: log p of a written token when it was written, minus log p of it now, when it alone is masked again on the finished canvas; in nats. Above 0 the model would be less sure of it today. Two tokens that only support each other show no regret.",
];

/** One panel per lane that is shown; the second is made when it is first needed. */
export function create(root, { lanes, clock }) {
  const places = [], views = [];
  return {
    draw() {
      lanes.slice(0, clock.shown).forEach((lane, at) => {
        places[at] ??= root.appendChild(el("div", { class: "settled-place" }));
        views[at] ??= createPanel(places[at], lane.shared);
        if (clock.shown > 1) places[at].dataset.letter = lane.letter; else delete places[at].dataset.letter;
        views[at].draw(clock.step(at));
      });
      places.forEach((place, at) => { place.hidden = at >= clock.shown; });
    },
    destroy() { views.forEach((view) => view.destroy()); },
  };
}

function createPanel(root, shared) {
  const toggle = el("button", { type: "button", class: "why-toggle", "aria-expanded": "false", onclick: () => setOpen(!open) },
    el("span", { class: "chevron", "aria-hidden": "true" }), el("span", { text: "How settled was it?" }));
  const body = el("div", { class: "settled-body", hidden: true });
  const panel = el("section", { class: "panel settled", "aria-label": "How settled was it?", tabindex: "-1" },
    el("header", { class: "panel-head" }, el("h3", {}, toggle), help("How settled was it?", ...HELP)), body);
  root.append(panel);
  let open = false;
  const later = createLater(body, () => import("./settled.js"), (module) => module.create(body, panel, shared), () => draw(shared.clock.t));

  function setOpen(on) {
    open = on;
    toggle.setAttribute("aria-expanded", String(on));
    body.hidden = !on;
    draw(shared.clock.t);
  }

  function draw(t) { if (open) later.view()?.draw(t); }

  return { draw, destroy() { later.destroy(); panel.remove(); } };
}
