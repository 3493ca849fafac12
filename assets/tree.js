// The tree of a search: every candidate canvas with its parent, the winner's path, and in grey what was not kept.

import { shown } from "./cells.js";
import { el, help, number, plural, quoted, setText, svg } from "./dom.js";

const HELP = [
  "A search keeps several canvases at once. Every mark is a candidate: where it comes from is to its left, the best score of a round is on top.",
  "The thick line leads to the winner; grey candidates were let go. Point at one (or use the arrow keys) to read its score and see its whole canvas, with what it wrote itself in boxes; click it to go to its step.",
];

const COLUMN = 56, ROW = 18, PAD = 16;

export function create(root, { trace, clock }) {
  const drawing = svg("svg", { class: "tree", tabindex: "0", role: "application", "aria-label": "Search tree: arrow keys go to parent, best child and siblings", onkeydown: walk });
  const reading = el("p", { class: "reading", role: "status" });
  const sentence = el("p", { class: "sentence" }), canvas = el("div", { class: "tree-canvas", role: "img" });
  root.append(el("header", { class: "panel-head" }, el("h3", { text: "Search tree" }), help("Search tree", ...HELP), el("span", { class: "axis", text: "better ↑  step →" })),
    el("div", { class: "tree-box" }, drawing), reading, canvas, sentence);
  root.hidden = true;
  let drawn = "", nodes = new Map(), circles = new Map(), focused = null;

  /** Give every node a place: a column per round of the search, the best score on top. */
  function arrange() {
    const rounds = [...new Set([...trace.branches.values()].map((branch) => branch.step))];
    nodes = new Map();
    rounds.forEach((step, column) => {
      [...trace.branches.values()].filter((branch) => branch.step === step).sort((a, b) => b.score - a.score)
        .forEach((branch, rank) => nodes.set(branch.node, { ...branch, x: PAD + (column + 1) * COLUMN, y: PAD + rank * ROW }));
    });
    const deepest = Math.max(...[...nodes.values()].map(({ y }) => y));
    drawing.setAttribute("width", PAD * 2 + (rounds.length + 1) * COLUMN);
    drawing.setAttribute("height", deepest + PAD);
    const path = winners(), origin = { x: PAD, y: PAD };
    const at = ({ parent }) => nodes.get(parent) ?? origin;
    const rank = (node) => (path.has(node.node) ? 2 : node.kept ? 1 : 0);
    const kind = (node) => ["pruned", "kept", "won"][rank(node)];
    const order = [...nodes.values()].sort((a, b) => rank(a) - rank(b)); // the winner's path lies on top
    circles = new Map(order.map((node) => [node.node, svg("circle", { class: kind(node), "data-node": node.node, cx: node.x, cy: node.y, r: node.kept ? 5 : 3.5, onpointerenter: () => look(node.node), onclick: () => clock.seek(node.step) })]));
    drawing.replaceChildren(...order.map((node) => svg("path", { class: kind(node), d: `M${at(node).x} ${at(node).y}C${at(node).x + COLUMN / 2} ${at(node).y} ${node.x - COLUMN / 2} ${node.y} ${node.x} ${node.y}` })),
      svg("circle", { class: "won", cx: origin.x, cy: origin.y, r: 5 }), ...circles.values());
    const kept = [...nodes.values()].filter((node) => node.kept).length;
    showCanvas(null);
    setText(sentence, `${plural(nodes.size, "candidate")} in ${plural(rounds.length, "round")}; ${kept} kept, ${nodes.size - kept} let go.`);
  }

  /** The nodes from the start to the best canvas of the last round. */
  function winners() {
    const kept = [...nodes.values()].filter((node) => node.kept);
    const last = Math.max(...kept.map((node) => node.step));
    let node = kept.filter(({ step }) => step === last).sort((a, b) => b.score - a.score)[0];
    const path = new Set();
    while (node) { path.add(node.node); node = nodes.get(node.parent); }
    return path;
  }

  /** The canvas of a node (null: the start): what all nodes on the way to it wrote, its own writes marked. */
  function showCanvas(id) {
    const tokens = canvasOf(trace, nodes, id), own = new Set((nodes.get(id)?.writes ?? []).map(([position]) => position));
    const answer = tokens.map((token, position) => ({ token, position })).slice(trace.start.prompt_length);
    const text = (token) => (token === trace.start.mask ? "" : token === trace.start.eos ? "∎" : shown(trace.text(token)));
    canvas.replaceChildren(...answer.map(({ token, position }) => el("span", { class: `chip${token === trace.start.mask ? " masked" : ""}${own.has(position) ? " own" : ""}`, text: text(token) })));
    canvas.setAttribute("aria-label", `${id === null ? "The canvas at the start" : "The canvas of this candidate"}: ${answer.map(({ token }) => text(token) || "masked").join(" ")}`);
  }

  function look(id) {
    focused = id;
    for (const [node, circle] of circles) circle.classList.toggle("looked", node === id);
    const { score, kept, step, writes } = nodes.get(id);
    const texts = writes.map(([position, token]) => `${position} ${quoted(trace.text(token))}`);
    showCanvas(id);
    setText(reading, `step ${step}, score ${number(score, 3)}, ${kept ? "kept" : "let go"}: ${texts.slice(0, 12).join(", ")}${texts.length > 12 ? ", …" : ""}`);
  }

  function walk(event) {
    const now = nodes.get(focused) ?? [...nodes.values()][0];
    if (!now || event.shiftKey) return;
    const beside = [...nodes.values()].filter(({ step }) => step === now.step).sort((a, b) => a.y - b.y);
    const near = (move) => beside[beside.indexOf(now) + move];
    const child = () => [...nodes.values()].filter(({ parent }) => parent === now.node).sort((a, b) => a.y - b.y)[0];
    const to = { ArrowLeft: () => nodes.get(now.parent), ArrowRight: child, ArrowUp: () => near(-1), ArrowDown: () => near(1), Enter: () => { clock.seek(now.step); return now; } }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const next = to();
    if (next) look(next.node);
  }

  function draw(t) {
    root.hidden = trace.branches.size === 0;
    if (root.hidden) return;
    const key = `${trace.epoch}|${trace.branches.size}`;
    if (key !== drawn) { drawn = key; focused = null; setText(reading, ""); arrange(); }
    for (const [id, circle] of circles) circle.classList.toggle("later", nodes.get(id).step > t);
  }

  return { draw, destroy() { root.replaceChildren(); } };
}

/** The token ids of a node's canvas: those of the start, and what every node from the root down to it wrote. */
export function canvasOf(trace, nodes, id) {
  const path = [];
  for (let node = nodes.get(id); node; node = nodes.get(node.parent)) path.unshift(node);
  const tokens = [...trace.start.canvas];
  for (const { writes } of path) for (const [position, token] of writes) tokens[position] = token;
  return tokens;
}
