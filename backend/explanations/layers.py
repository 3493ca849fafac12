"""One canvas taken apart layer by layer: the streams of one forward pass, and the shares of any rows."""

from __future__ import annotations

import torch

from backend.explanations.contributions import Contributions, contributions
from backend.models.base import Model
from backend.shapes import Float

ROWS_AT_ONCE = 64
"""Rows of which attention weights and shares of all heads are held at one time."""


@torch.no_grad()
def hidden_states(model: Model, ids: tuple[int, ...]) -> tuple[Float["L D"], ...]:
    """Return the residual stream that enters each layer of one canvas."""
    project = torch.zeros(1, len(ids), dtype=torch.bool)
    output = model.forward(torch.tensor([ids]), project=project, hidden_states=True)
    return tuple(state[0] for state in output.hidden_states[: model.n_layers])


@torch.no_grad()
def layer_shares(
    model: Model, layer: int, hidden: Float["L D"], rows: list[int], renormalise: float | None = None
) -> Contributions:
    """Return a layer's shares at ``rows``, on the processor."""
    groups = [rows[begin : begin + ROWS_AT_ONCE] for begin in range(0, len(rows), ROWS_AT_ONCE)]
    found = [contributions(model.layer_parts(layer, hidden, torch.tensor(group))) for group in groups]
    shares = Contributions(
        torch.cat([part.heads for part in found], dim=1).cpu(),
        *(torch.cat([getattr(part, name) for part in found]).cpu() for name in ("residual", "mlp", "mlp_residual")),
        max(part.error for part in found))
    return shares if renormalise is None else shares.above(renormalise)
