// A graph of information flow routes: fetched once, filtered and contracted here. No DOM.
//
// Nodes are [kind, layer, position]; edges [source, into, weight, heads, residual] run with the computation, and a weight
// is the share of the sum that the edge enters. `keep` does in the browser what `flow_routes` does at a higher threshold.

const KINDS = { token: 0, mid: 1, mlp: 2, out: 3 };

export class Routes {
  constructor(answer) {
    Object.assign(this, { nodes: answer.nodes, target: answer.target, least: answer.threshold, total: answer.edges.length });
    this.edges = answer.edges.map(([source, into, weight, heads, residual], id) => ({ id, source, into, weight, heads, residual }));
    this._into = this.nodes.map(() => []);
    for (const edge of this.edges) this._into[edge.into].push(edge);
    // From the target down: a node comes after everything that it leads into.
    const height = ([kind, layer]) => (kind === "token" ? -1 : layer * 4 + KINDS[kind]);
    this._downwards = this.nodes.map((_, at) => at).sort((a, b) => height(this.nodes[b]) - height(this.nodes[a]));
  }

  /** Edges above `threshold` that lead to the target, and how much of the whole they hold. */
  keep(threshold) {
    const flows = new Map([[this.target, 1]]), edges = [];
    let held = 0, whole = 0, traced = 0;
    for (const node of this._downwards) {
      const flow = flows.get(node);
      if (flow === undefined) continue;
      const kind = this.nodes[node][0];
      if (kind === "token") { traced += flow; continue; }
      const inner = kind === "mlp"; // its one edge carries what it took: counted where it enters `out`
      if (!inner) whole += 1;
      for (const edge of this._into[node]) {
        if (edge.weight <= threshold) continue;
        edges.push(edge);
        if (!inner) held += edge.weight;
        flows.set(edge.source, (flows.get(edge.source) ?? 0) + flow * (inner ? 1 : edge.weight));
      }
    }
    return { edges, nodes: new Set(flows.keys()), coverage: whole ? held / whole : 0, traced };
  }

  /** The lowest threshold, in hundredths, that leaves at most `most` edges. */
  lowest(most) {
    for (let hundredths = Math.max(1, Math.ceil(100 * this.least)); hundredths < 50; hundredths++) {
      if (this.keep(hundredths / 100).edges.length <= most) return hundredths / 100;
    }
    return 0.5;
  }

  /** Replace every chain through a column of `positions` by one edge: the product of its weights, if above the threshold. */
  contract(kept, positions, threshold) {
    const into = new Map(), from = new Map();
    const link = (source, to, weight, first) => {
      const known = into.get(to)?.get(source);
      const edge = known ? { ...known, weight: known.weight + weight, heads: [], through: true } : first;
      if (!into.has(to)) into.set(to, new Map());
      if (!from.has(source)) from.set(source, new Map());
      into.get(to).set(source, edge);
      from.get(source).set(to, edge);
    };
    const hidden = (node) => positions.has(this.nodes[node][2]);
    for (const edge of kept.edges) {
      const inner = this.nodes[edge.into][0] === "mlp" && hidden(edge.into);
      link(edge.source, edge.into, edge.weight, inner ? { ...edge, weight: 1 } : edge);
    }
    for (const node of this._downwards) {
      if (!hidden(node)) continue;
      for (const [source, below] of into.get(node) ?? []) {
        from.get(source).delete(node);
        for (const [to, above] of from.get(node) ?? []) {
          const weight = below.weight * above.weight;
          link(source, to, weight, { id: `${source}>${to}`, source, into: to, weight, heads: [], residual: null, through: true });
        }
      }
      for (const [to] of from.get(node) ?? []) into.get(to).delete(node);
      into.delete(node);
      from.delete(node);
    }
    const nodes = new Set([this.target]), edges = [];
    for (const node of this._downwards) {
      if (!nodes.has(node)) continue;
      for (const [source, edge] of into.get(node) ?? []) {
        if (edge.weight <= threshold) continue;
        edges.push(edge);
        nodes.add(source);
      }
    }
    return { ...kept, edges, nodes };
  }
}
