// What stands behind a node or a line of the route graph: heads, the parts of a sum, the tokens a vector points at.

import { el, plural, probability, quoted } from "./dom.js";

const PARTS = 8, SENT = 8; // parts listed of a node; heads that come with a line

const lower = (text) => text.replace(/^P/, "p");

/** `on` holds lens(node), describe(node), openEdge(edge). */
export function createDetails(root, context, on) {
  let turn = 0;
  clear();

  function clear() {
    turn += 1;
    root.replaceChildren(el("p", { class: "hint", text: "Choose a line to see its attention heads, or a node to see what it is made of and which tokens it points at." }));
    delete root.dataset.of;
  }

  const bars = (name, rows) => el("ol", { class: "why-bars", "aria-label": name }, ...rows.map(([text, share, shown]) => el("li", {},
    el("span", { class: "name", text }), el("span", { class: "track" }, el("i", { style: `width: ${Math.min(100, 100 * share)}%` })), el("span", { class: "value", text: shown ?? probability(share) }))));

  function edge(found, nodes, headCount) {
    turn += 1;
    const source = nodes[found.source], into = nodes[found.into];
    const parts = [el("h4", { text: `${probability(found.weight)} of a sum` }), el("p", { class: "ends" }, el("span", { text: `from ${lower(on.describe(source))}` }), el("span", { text: `into ${lower(on.describe(into))}` }))];
    const heads = found.heads ?? [];
    if (found.through) parts.push(el("p", { text: "A chain through masked places: the product of its parts. Untick “skip masked places” to see them." }));
    else if (into[0] !== "mid") parts.push(el("p", { text: source[0] === "mlp" || into[0] === "mlp" ? "The feed-forward of this place: no attention heads here." : "What the layer carries on unchanged: no attention heads here." }));
    else {
      const rows = heads.map(([head, weight]) => [`head ${head + 1}`, weight]);
      if (found.residual !== null && found.residual !== undefined) rows.unshift(["carried on", found.residual]);
      parts.push(el("h5", { text: `Attention heads (${plural(headCount, "head")} in this layer)` }), bars("Heads of this line", rows));
      if (heads.length < headCount) parts.push(el("p", { class: "hint", text: heads.length < SENT ? "The other heads hold less than .001 each." : `The ${SENT} largest heads.` }));
    }
    const inside = root.contains(document.activeElement); // the button that asked for it goes away
    root.dataset.of = "edge";
    root.replaceChildren(...parts);
    if (inside) root.focus();
    context.announce?.say(`${heads.length} heads: ${heads.slice(0, 3).map(([head, weight]) => `head ${head + 1} ${probability(weight)}`).join(", ")}`);
  }

  async function node(found, incoming, nodes) {
    const mine = ++turn;
    const tokens = el("div", { class: "lens" }, el("p", { class: "hint", text: "Asking the model …" }));
    const list = incoming.slice(0, PARTS).map((item) => el("li", {}, el("button", { type: "button", class: "quiet", text: `${probability(item.weight)} from ${lower(on.describe(nodes[item.source]))}`, onclick: () => on.openEdge(item) })));
    root.dataset.of = "node";
    root.replaceChildren(el("h4", { text: on.describe(found) }), el("h5", { text: found[0] === "mlp" ? "Tokens that it promotes" : "Tokens that it points at (logit lens)" }), tokens,
      el("h5", { text: incoming.length ? `Its parts${incoming.length > PARTS ? `, the largest ${PARTS} of ${incoming.length}` : ""}` : found[0] === "token" ? "The embedded token itself" : "No part of it is above the threshold" }), el("ul", { class: "parts" }, ...list));
    try {
      const answer = await on.lens(found);
      if (mine !== turn) return;
      const name = (item) => (item.token === context.trace.start.eos ? "∎ end" : item.token === context.trace.start.mask ? "mask" : item.text.replace(/\n/g, "⏎").replace(/^ $/, "␣"));
      tokens.replaceChildren(bars("Tokens", answer.tokens.map((item) => [name(item), item.probability])));
      root.dataset.of = "node with tokens";
      context.announce?.say(`Points at ${quoted(name(answer.tokens[0]))} with ${probability(answer.tokens[0].probability)}`);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      tokens.replaceChildren(el("p", { class: "why-refusal", role: "alert", text: `${error.message} ${error.remedy ?? ""}` }));
    }
  }

  return { clear, edge, node };
}
