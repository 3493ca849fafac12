"""Flow relevance: the shares of all routes, multiplied from the target down to the input.

C_l = diag(residual shares) + attention shares summed over heads, rows adding up to 1; the row of the target
in C_{N-1} ... C_0. It is attention rollout with contributions for weights. Source: our reading of
Ferrando and Voita 2024 (feed-forwards stay within a column, so they move nothing). Read: the share of
each input token in the vector that the token was read from; the same for every token of a position.
"""

from __future__ import annotations

import torch

from backend.explanations.base import Explaining, Progress, Shares
from backend.explanations.layers import hidden_states, layer_shares
from backend.explanations.objectives import Canvas
from backend.explanations.reading import read_position

NOTHING = 1e-9
"""Rows of less relevance than this are not followed."""


class FlowRelevance:
    """The product of the layers' contributions."""

    name = "flow_relevance"
    title = "Flow relevance"
    mark = "reconstructed"
    source = "After Ferrando and Voita 2024 (2403.00824)."
    help = "Which input tokens the vector was made of, along all routes. The same for every token of a position."
    needs = frozenset({"flow_routes"})
    signed = complete = False

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress per layer and return the relevance of every position, per target."""
        model = canvas.model
        yield Progress(0, model.n_layers)
        states = hidden_states(model, canvas.ids)
        reading = [read_position(model, target.position) for target in canvas.targets]
        rows = torch.eye(canvas.length, dtype=states[0].dtype)[reading]  # [T, L]
        for layer in reversed(range(model.n_layers)):
            reached = (rows > NOTHING).any(dim=0).nonzero()[:, 0].tolist()
            shares = layer_shares(model, layer, states[layer], reached)
            step = shares.sources.to(rows.dtype)
            step[torch.arange(len(reached)), reached] += shares.residual.to(rows.dtype)
            rows = rows[:, reached] @ step
            yield Progress(model.n_layers - layer, model.n_layers)
        return Shares(rows.float(), rows.float())
