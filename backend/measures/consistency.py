"""Consistency: how well the belief about a place agrees with its own recent past.

1 - JSD(now, mean of the last 1 to 3 distributions) / ln 2, with the two weighted equally. This is
a two-distribution score for viewing; the disagreement of k distributions that the CCD decoder acts
on is another quantity, recorded by that decoder.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from backend.measures.base import TINY, Rows

if TYPE_CHECKING:
    from backend.shapes import Float


class Consistency:
    """Agreement with the last distributions, 0..1; NaN the first time."""

    name = "consistency"
    title = "Consistency"
    unit = "0 to 1"
    low = 0.0
    higher = "agrees with its past"
    help = "1 when the belief about this place is what it was over the last passes, 0 when it shares nothing with them."

    def high(self, vocab_size: int) -> float:
        """Return 1."""
        return 1.0

    def values(self, rows: Rows) -> Float["M"]:
        """Return the agreement of every row with the mean of its past."""
        if not rows.past:
            return torch.full_like(rows.probs[:, 0], torch.nan)
        mean = rows.past[0].clone()
        for older in rows.past[1:]:
            mean += older
        mean /= rows.seen.clamp_min(1)[:, None]
        between = rows.probs.add(mean).mul_(0.5)
        divergence = _entropy(between) - (rows.entropies + _entropy(mean)) / 2
        agreement = 1 - divergence.clamp_(0, math.log(2)) / math.log(2)
        return agreement.masked_fill(rows.seen == 0, torch.nan)


def _entropy(probs: Float["M V"]) -> Float["M"]:
    return -(probs * probs.clamp_min(TINY).log_()).sum(dim=1)
