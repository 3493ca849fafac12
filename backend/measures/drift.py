"""Drift: how far the belief about a place moved since the last pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from backend.measures.base import Rows, dot, log

if TYPE_CHECKING:
    from backend.shapes import Float


class Drift:
    """KL(now ‖ previous pass) in nats, at least 0; NaN the first time."""

    name = "drift"
    title = "Drift"
    unit = "nats"
    low = 0.0
    higher = "moved more"
    help = "How much the last writes changed the belief about this place (Kullback-Leibler divergence)."

    def high(self, vocab_size: int) -> float:
        """Return 4 nats: the scale ends there, the recorded values do not."""
        return 4.0

    def values(self, rows: Rows) -> Float["M"]:
        """Return the divergence of every row from its last distribution."""
        if not rows.past:
            return torch.full_like(rows.probs[:, 0], torch.nan)
        moved = -rows.entropies - dot(rows.probs, log(rows.past[0]))
        return moved.clamp_min_(0).masked_fill(rows.seen == 0, torch.nan)
