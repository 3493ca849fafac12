// The drawing of a route graph: columns are positions, rows are layers, the target is at the top.

import { el, probability, svg } from "./dom.js";

const LEFT = 52, RIGHT = 12, TOP = 22, FOOT = 96, NARROW = 24, WIDE = 64, SIGN = 8.4;

/** A node's place in the network, in words. */
export function place(kind, layer) {
  return { token: "input", mid: `layer ${layer + 1} after attention`, mlp: `layer ${layer + 1}, feed-forward`, out: `after layer ${layer + 1}` }[kind];
}

/** A token as a column is named: short, line ends and a lone space with a sign of their own. */
function short(text) {
  const shown = text.replace(/\n/g, "⏎").replace(/^ $/, "␣");
  return [...shown].length > 7 ? `${[...shown].slice(0, 6).join("")}…` : shown;
}

export class Picture {
  /** `on` holds openNode(index), openEdge(edge), point(position or null), label(node). */
  constructor(root, on) {
    this.on = on;
    this.edges = [];
    this.drawing = svg("svg", { class: "routes", role: "group", "aria-label": "Route graph: left and right go to other positions, down follows the strongest line to where it came from, up goes back, Enter shows details" });
    this.scroll = el("div", { class: "why-scroll" }, this.drawing);
    root.append(this.scroll);
    this._nodes = new Map();
    this._lines = new Map();
    this._focused = null;
    this.drawing.addEventListener("keydown", (event) => this._key(event));
    this.drawing.addEventListener("pointerleave", () => this.on.point(null));
  }

  show({ answer, routes, edges, nodes, columns, text, width }) {
    Object.assign(this, { answer, routes, edges });
    const positions = [...new Set([...nodes].map((at) => routes.nodes[at][2]))].sort((a, b) => a - b);
    const label = Math.max(...positions.map((position) => [...short(text(position))].length)) * SIGN + 6;
    const column = Math.max(NARROW, label, Math.min(WIDE, (width - LEFT - RIGHT) / positions.length));
    const row = answer.layers <= 8 ? 56 : answer.layers <= 16 ? 40 : 26;
    const high = TOP + answer.layers * row, size = { width: Math.max(width - 2, LEFT + RIGHT + column * positions.length), height: high + FOOT };
    const left = new Map(positions.map((position, at) => [position, LEFT + column * (at + 0.5)]));
    this._at = ([kind, layer, position]) => {
      const x = left.get(position);
      if (kind === "token") return [x, high + 30];
      const base = TOP + (answer.layers - 1 - layer) * row;
      return kind === "out" ? [x, base + row * 0.06] : kind === "mid" ? [x, base + row * 0.5] : [x + Math.min(10, column * 0.36), base + row * 0.28];
    };
    const had = this.drawing.contains(document.activeElement);
    this._nodes = new Map([...nodes].map((at) => [at, this._node(at, columns)]));
    this._lines = new Map(edges.map((edge) => [edge.id, this._line(edge)]));
    this.drawing.setAttribute("width", size.width);
    this.drawing.setAttribute("height", size.height);
    this.drawing.replaceChildren(...this._ground(answer, row, high, size, positions, left, columns, text),
      svg("g", { class: "lines" }, ...[...edges].sort((a, b) => a.weight - b.weight).map((edge) => this._lines.get(edge.id))),
      svg("g", { class: "nodes" }, ...this._nodes.values()));
    this._focus(this._nodes.has(this._focused) ? this._focused : routes.target, had);
    this.mark(this._marked ?? {});
  }

  /** Bring the target into sight where the drawing is wider than its place. */
  centre() { this.scroll.scrollLeft = this._at(this.routes.nodes[this.routes.target])[0] - this.scroll.clientWidth / 2; }

  /** Layers as bands, columns with their tokens, and the names of both axes. */
  _ground(answer, row, high, size, positions, left, columns, text) {
    const bands = Array.from({ length: answer.layers }, (_, at) => {
      const layer = answer.layers - 1 - at, y = TOP + at * row;
      const every = answer.layers > 16 ? 4 : 1;
      return [svg("rect", { class: layer % 2 ? "band odd" : "band", x: LEFT - 8, y: y - 4, width: size.width - LEFT, height: row }),
        (layer + 1) % every && layer ? null : svg("text", { class: "tick", x: LEFT - 14, y: y + row * 0.3 + 4, "text-anchor": "end", text: String(layer + 1) })];
    }).flat().filter(Boolean);
    const names = positions.map((position, at) => {
      const x = left.get(position), item = columns.get(position), shown = short(text(position));
      const gap = at > 0 && positions[at - 1] !== position - 1;
      return svg("g", { class: `column ${item.state}`, "data-position": String(position) },
        svg("title", { text: `position ${position}` }),
        gap ? svg("line", { class: "gap", x1: x - (left.get(position) - left.get(positions[at - 1])) / 2, x2: x - (left.get(position) - left.get(positions[at - 1])) / 2, y1: TOP - 4, y2: high + 38 }) : null,
        svg("line", { class: "stem", x1: x, x2: x, y1: TOP, y2: high + 30 }),
        svg("text", { class: "token", x, y: high + 54, "text-anchor": "middle", text: item.state === "masked" ? "▒" : shown }),
        svg("text", { class: "tick", x, y: high + 70, "text-anchor": "middle", text: String(position) }));
    });
    return [...bands, ...names,
      svg("text", { class: "axis", x: 4, y: 12, text: "layer ↑" }), svg("text", { class: "axis", x: LEFT - 14, y: high + 34, "text-anchor": "end", text: "input" }),
      svg("text", { class: "axis", x: LEFT, y: high + 90, text: "position on the canvas →" })];
  }

  _line(edge) {
    const [x1, y1] = this._at(this.routes.nodes[edge.source]), [x2, y2] = this._at(this.routes.nodes[edge.into]);
    const same = this.routes.nodes[edge.source][2] === this.routes.nodes[edge.into][2];
    const lift = (y1 - y2) * 0.5;
    const path = same ? `M${x1} ${y1}L${x2} ${y2}` : `M${x1} ${y1}C${x1} ${y1 - lift} ${x2} ${y2 + lift} ${x2} ${y2}`;
    const width = 0.8 + 6 * Math.min(1, edge.weight);
    return svg("g", { class: `line${same ? " own" : ""}${edge.through ? " through" : ""}`, "data-edge": String(edge.id), onclick: () => this.on.openEdge(edge) },
      svg("title", { text: `${this.on.label(this.routes.nodes[edge.source])} → ${this.on.label(this.routes.nodes[edge.into])}: ${probability(edge.weight)}` }),
      svg("path", { class: "hit", d: path }), svg("path", { class: "stroke", d: path, "stroke-width": width.toFixed(2) }));
  }

  _node(at, columns) {
    const node = this.routes.nodes[at], [kind, , position] = node, [x, y] = this._at(node);
    const state = columns.get(position)?.state ?? "masked";
    const mark = kind === "mlp" ? svg("rect", { class: "dot", x: x - 4, y: y - 4, width: 8, height: 8 }) : svg("circle", { class: "dot", cx: x, cy: y, r: 5 });
    const ring = at === this.routes.target ? svg("circle", { class: "ring", cx: x, cy: y, r: 9 }) : null;
    return svg("g", {
      class: `node ${kind} ${state}`, role: "button", tabindex: "-1", "data-node": String(at), "data-position": String(position), "aria-label": this.on.label(node),
      onclick: () => { this._focus(at, true); this.on.openNode(at); }, onpointerenter: () => this.on.point(position),
    }, svg("circle", { class: "hit", cx: x, cy: y, r: 12 }), ring, mark);
  }

  _focus(at, move) {
    this._nodes.get(this._focused)?.setAttribute("tabindex", "-1");
    this._focused = at;
    const node = this._nodes.get(at);
    node?.setAttribute("tabindex", "0");
    if (move && node) { node.focus({ preventScroll: true }); this.on.point(this.routes.nodes[at][2]); node.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  }

  _key(event) {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.on.openNode(this._focused); return; }
    const to = { ArrowDown: () => this._along("into", "source"), ArrowUp: () => this._along("source", "into"), ArrowLeft: () => this._beside(-1), ArrowRight: () => this._beside(1), Home: () => this.routes.target }[event.key];
    if (!to) return;
    event.preventDefault();
    const at = to();
    if (at !== undefined) this._focus(at, true);
  }

  /** The other end of the strongest line here. */
  _along(here, there) {
    const lines = this.edges.filter((edge) => edge[here] === this._focused);
    return lines.length ? lines.reduce((best, edge) => (edge.weight > best.weight ? edge : best))[there] : undefined;
  }

  /** The next node of the same row. */
  _beside(way) {
    const [kind, layer, position] = this.routes.nodes[this._focused];
    const row = [...this._nodes.keys()].filter((at) => this.routes.nodes[at][0] === kind && this.routes.nodes[at][1] === layer && way * (this.routes.nodes[at][2] - position) > 0);
    return row.sort((a, b) => way * (this.routes.nodes[a][2] - this.routes.nodes[b][2]))[0];
  }

  /** Mark a node or an edge as the one whose details are shown. */
  mark({ node, edge }) {
    this._marked = { node, edge };
    for (const [at, drawn] of this._nodes) drawn.classList.toggle("marked", at === node || at === edge?.source || at === edge?.into);
    for (const [id, drawn] of this._lines) drawn.classList.toggle("marked", id === edge?.id);
  }

  highlight(position) {
    for (const drawn of this._nodes.values()) drawn.classList.toggle("linked", Number(drawn.dataset.position) === position);
    for (const drawn of this.drawing.querySelectorAll(".column")) drawn.classList.toggle("linked", Number(drawn.dataset.position) === position);
  }
}
