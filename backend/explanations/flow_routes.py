"""Information flow routes: where the vector that a token was read from came from.

Top-down from the row that predicts the position: of every sum (attention with its residual, feed-forward
with its residual) the shares of its parts are computed, edges above the threshold are kept, and the
walk goes on from the positions they come from. Rows nobody reaches are never computed. Source:
Ferrando and Voita 2024 (2403.00824); for masked models bidirectional, masked positions being real nodes.
Read: where the vector came from, not why this token rather than another. Parts that cancel each other
count for little; an edge's weight is its share of its own sum, its ``flow`` what reaches the target.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import networkx as nx
import torch

from backend.explanations.base import Explaining, FlowRequest, Progress, Watcher, finished
from backend.explanations.checks import check_flow
from backend.explanations.contributions import Contributions
from backend.explanations.layers import hidden_states, layer_shares
from backend.explanations.reading import read_position
from backend.models.base import Model
from backend.shapes import Float

Node = tuple[str, int, int]
"""(kind, layer, position); the kinds are ``token``, ``mid``, ``mlp`` and ``out``."""


def flow_routes(model: Model, request: FlowRequest, watch: Watcher | None = None) -> nx.DiGraph:
    """Return the graph of the routes into the vector from which ``request.position`` is predicted.

    Nodes and edges: see ``tracing``. Raises ``RequestError`` listing every wrong field, and
    ``CapabilityError`` for a model whose layers cannot be taken apart.
    """
    check_flow(model, request)
    return finished(tracing(model, request), watch)


def tracing(model: Model, request: FlowRequest) -> Explaining[nx.DiGraph]:
    """Yield progress per layer and return the graph.

    Edges run with the computation and carry ``weight`` (share of the sum they enter), ``flow`` (share of
    the target, multiplied along all kept paths) and, from attention with ``per_head``, ``heads`` (pairs
    of head and weight, largest first; the edge to the same position also holds the residual, under
    ``residual``). Graph attributes: target, read_position, position, token, threshold, renormalise,
    coverage (share of the importance entering the reached nodes that kept edges hold), traced (share of
    the target that kept paths lead back to the input), error (largest possible error of a weight).
    """
    yield Progress(0, model.n_layers)
    states = list(hidden_states(model, request.ids))
    work = _Routes(request, model.n_layers - 1, read_position(model, request.position))
    for layer in reversed(range(model.n_layers)):
        rows = work.rows(layer)
        if rows:
            states = states[: layer + 1]
            work.add(layer, rows, layer_shares(model, layer, states[layer], rows, request.renormalise))
        yield Progress(model.n_layers - layer, model.n_layers)
    return work.graph_with_attributes()


@dataclass
class _Routes:
    """A graph that grows downwards, layer by layer."""

    request: FlowRequest
    top: int
    read: int
    graph: nx.DiGraph = field(default_factory=nx.DiGraph)
    error: float = 0.0
    _kept: float = 0.0
    _whole: float = 0.0

    def __post_init__(self) -> None:
        self.target: Node = ("out", self.top, self.read)
        self.graph.add_node(self.target)
        self._flows: dict[Node, float] = defaultdict(float, {self.target: 1.0})

    def rows(self, layer: int) -> list[int]:
        """Return the positions whose ``out`` of this layer has been reached."""
        return sorted(at for kind, number, at in self.graph.nodes if kind == "out" and number == layer)

    def add(self, layer: int, rows: list[int], shares: Contributions) -> None:
        """Add what leads into these positions."""
        self.error = max(self.error, shares.error)
        sources = shares.sources
        sources[torch.arange(len(rows)), rows] += shares.residual
        for row, at in enumerate(rows):
            if self._add_mlp(layer, at, float(shares.mlp[row]), float(shares.mlp_residual[row])):
                self._add_attention(layer, at, sources[row], shares, row)

    def _add_mlp(self, layer: int, at: int, mlp: float, residual: float) -> bool:
        """Add the edges into ``out``; return whether ``mid`` is reached."""
        mid, feed, out = ("mid", layer, at), ("mlp", layer, at), ("out", layer, at)
        flow = self._flows[out]
        self._whole += mlp + residual
        if mlp > self.request.threshold:
            self._edge(feed, out, mlp, flow * mlp)
            self._edge(mid, feed, mlp, flow * mlp)
            self._kept += mlp
        if residual > self.request.threshold:
            self._edge(mid, out, residual, flow * residual)
            self._kept += residual
        return mid in self.graph

    def _add_attention(self, layer: int, at: int, sources: Float["L"], shares: Contributions, row: int) -> None:
        mid = ("mid", layer, at)
        flow = self._flows[mid]
        self._whole += float(sources.sum())
        for source in (sources > self.request.threshold).nonzero()[:, 0].tolist():
            weight = float(sources[source])
            below: Node = ("token", 0, source) if layer == 0 else ("out", layer - 1, source)
            self._edge(below, mid, weight, flow * weight)
            self._kept += weight
            if self.request.per_head:
                of_heads = enumerate(shares.heads[:, row, source].tolist())
                self.graph.edges[below, mid]["heads"] = tuple(sorted(of_heads, key=lambda pair: -pair[1]))
                if source == at:
                    self.graph.edges[below, mid]["residual"] = float(shares.residual[row])

    def _edge(self, source: Node, into: Node, weight: float, flow: float) -> None:
        self.graph.add_edge(source, into, weight=weight, flow=flow)
        self._flows[source] += flow

    def graph_with_attributes(self) -> nx.DiGraph:
        """Return the graph, complete."""
        nx.set_node_attributes(self.graph, {node: self._flows[node] for node in self.graph}, "flow")
        traced = sum(flow for (kind, _, _), flow in self._flows.items() if kind == "token")
        self.graph.graph.update(
            target=self.target, read_position=self.read, position=self.request.position, token=self.request.token,
            threshold=self.request.threshold, renormalise=self.request.renormalise,
            coverage=self._kept / self._whole if self._whole else 0.0, traced=traced, error=self.error)
        return self.graph
