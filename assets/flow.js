// Routes: where the vector came from that the pinned token was read from, position by layer.

import { ask } from "./asking.js";
import { el, number, plural, probability, quoted, setText } from "./dom.js";
import { createDetails } from "./flow_details.js";
import { place, Picture } from "./flow_picture.js";
import { Routes } from "./routes.js";
import { createWaiting } from "./waiting.js";

const FETCHED_AT = 0.01, WANTED_EDGES = 90, DRAWN_MOST = 1500;
const STATES = [["prompt", "given with the prompt"], ["written", "written before"], ["masked", "still masked"], ["target", "the token explained"]];

export function create(root, context) {
  const waiting = createWaiting(root);
  const title = el("h4", { class: "why-title" });
  const how = el("p", { class: "why-how", text: "Read it downwards: the token is read from the ringed vector at the top, and every line is a part of the sum it leads into; thicker lines carried more. The bottom row is the canvas as the model saw it then." });
  const slider = el("input", { type: "range", id: "why-threshold", min: "0.01", max: "0.5", step: "0.01", oninput: () => { chosen = Number(slider.value); filter(); } });
  const kept = el("output", { class: "why-kept", for: "why-threshold" });
  const contract = el("input", { type: "checkbox", onchange: () => filter() });
  const legend = el("ul", { class: "why-states", "aria-label": "Colours of the nodes" }, ...STATES.map(([name, text]) => el("li", {}, el("i", { class: `state ${name}` }), el("span", { text }))),
    el("li", {}, el("i", { class: "shape circle" }), el("span", { text: "vector at a position" })), el("li", {}, el("i", { class: "shape square" }), el("span", { text: "its feed-forward" })),
    el("li", {}, el("i", { class: "shape dots" }), el("span", { text: "positions without a part are left out" })));
  const field = el("div", { class: "why-graph" }), aside = el("aside", { class: "why-details", "aria-label": "Details of a node or a line", tabindex: "-1" });
  const shown = el("div", { class: "why-found", hidden: true }, el("div", { class: "why-head" }, el("div", {}, title, how)),
    el("div", { class: "why-controls" },
      el("label", { class: "why-field" }, el("span", { text: "Show parts above" }), slider), kept,
      el("label", { class: "check", title: "Draw a chain through masked places as one line, as strong as the product of its parts" }, contract, el("span", { text: "skip masked places" }))),
    legend, el("div", { class: "why-split wide" }, field, aside));
  root.append(shown);
  let asked = "", abort = null, look = null, answer = null, routes = null, subject = null, chosen = null, columns = new Map();

  const details = createDetails(aside, context, {
    lens: (node) => ask(subject.run, "lens", { position: subject.position, step: subject.step, kind: node[0], layer: node[1], at: node[2] }, anotherLook()),
    describe, openEdge: (edge) => openEdge(edge),
  });
  /** The signal of the next look behind a node: it gives up the one before. */
  function anotherLook() {
    look?.abort();
    look = new AbortController();
    return look.signal;
  }

  const picture = new Picture(field, { openNode, openEdge, point: (position) => context.select.point(position === null ? null : cellAt(position)), label: describe });
  const observer = new ResizeObserver(() => { if (routes) filter(); });
  observer.observe(field);

  function draw(next) {
    const key = next ? [next.run, next.cell, next.step].join("|") : "";
    if (key !== asked) {
      asked = key;
      subject = next;
      abort?.abort();
      look?.abort();
      if (key) load();
      else clear();
    }
    if (routes) picture.highlight(positionOf(context.select.cell));
  }

  function clear() {
    answer = routes = null;
    shown.hidden = true;
    delete root.dataset.shown;
    details.clear();
    if (!subject) waiting.done();
  }

  async function load() {
    const mine = (abort = new AbortController()), of = subject;
    delete root.dataset.shown;
    waiting.begin("Tracing the routes …");
    try {
      const found = await ask(of.run, "flow", { position: of.position, step: of.step, threshold: FETCHED_AT }, mine.signal);
      if (mine.signal.aborted) return;
      answer = found;
      routes = new Routes(found);
      columns = new Map(found.columns.map((column) => [column.position, column]));
      waiting.done();
      show();
    } catch (error) {
      if (error.name === "AbortError" || mine.signal.aborted) return;
      clear();
      waiting.refuse(error);
      root.dataset.shown = "refused";
    }
  }

  function show() {
    shown.hidden = false;
    const read = answer.read_position === answer.position ? "" : ` (read at position ${answer.read_position}: this model predicts the next place)`;
    setText(title, `Where the model took ${quoted(subject.text)} from, at step ${answer.step}${read}`);
    slider.min = String(Math.max(0.01, Math.ceil(100 * routes.least) / 100));
    details.clear();
    filter();
    picture.centre();
    root.dataset.shown = [answer.step, answer.position].join("|");
  }

  /** What the slider asks for, from what is here: the server is not asked again. */
  function filter() {
    const threshold = chosen === null ? routes.lowest(WANTED_EDGES) : Math.max(chosen, routes.least);
    slider.value = String(threshold);
    let found = routes.keep(threshold);
    const whole = found.edges.length;
    if (contract.checked) found = routes.contract(found, new Set([...columns.values()].filter((column) => column.state === "masked").map((column) => column.position)), threshold);
    const drawn = found.edges.length > DRAWN_MOST ? [...found.edges].sort((a, b) => b.weight - a.weight).slice(0, DRAWN_MOST) : found.edges;
    picture.show({ answer, routes, edges: drawn, nodes: found.nodes, columns, text: textOf, width: field.clientWidth });
    root.dataset.edges = String(drawn.length);
    const note = drawn.length < found.edges.length ? `; the strongest ${DRAWN_MOST} are drawn` : contract.checked ? `; ${drawn.length} lines after skipping` : "";
    setText(kept, `${probability(threshold)}: kept ${whole} of ${plural(routes.total, "connection")}${note}. They hold ${Math.round(100 * found.coverage)} % of the sums shown; ${Math.round(100 * found.traced)} % of the token’s vector can be followed down to the canvas.`);
    slider.setAttribute("aria-valuetext", `${number(threshold)}, ${whole} of ${routes.total} connections kept`);
    context.select.cell !== null && picture.highlight(positionOf(context.select.cell));
  }

  function openNode(at) {
    const incoming = picture.edges.filter((edge) => edge.into === at).sort((a, b) => b.weight - a.weight);
    picture.mark({ node: at });
    details.node(routes.nodes[at], incoming, routes.nodes);
  }

  function openEdge(edge) {
    picture.mark({ edge });
    details.edge(edge, routes.nodes, answer.heads);
  }

  const cellAt = (position) => context.trace.order(answer.step)[position] ?? null;
  const positionOf = (cell) => (cell === null || !answer ? null : context.trace.order(answer.step).indexOf(cell));

  function textOf(position) {
    const column = columns.get(position);
    if (!column) return "";
    if (column.state === "target") return subject.token === context.trace.start.eos ? "∎" : subject.text;
    return column.state === "masked" ? "" : column.token === context.trace.start.eos ? "∎" : column.text;
  }

  /** A node in words: place, token, layer, part. */
  function describe([kind, layer, position]) {
    const column = columns.get(position), text = textOf(position);
    const what = { prompt: "prompt", fixed: "fixed", written: `written at step ${column?.step}`, masked: "masked", target: "the token explained" }[column?.state];
    return `Position ${position}${text ? ` ${quoted(text)}` : ""} (${what}), ${place(kind, layer)}`;
  }

  return { draw, destroy() { abort?.abort(); look?.abort(); observer.disconnect(); root.replaceChildren(); } };
}
