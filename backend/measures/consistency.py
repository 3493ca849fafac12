"""Consistency: how well the belief about a place agrees with its own recent past.

1 - JSD(now, mean of the last 1 to 3 distributions) / ln 2, with the two weighted equally. This is
a two-distribution score for viewing; the disagreement of k distributions that the CCD decoder acts
on is another quantity, recorded by that decoder.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from backend.measures.base import Rows, dot, log

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
        total = rows.past[0].clone()
        for older in rows.past[1:]:
            total += older
        weight = 1 / rows.seen.clamp_min(1)
        both = torch.addcmul(rows.probs, total, weight[:, None])
        # With unscaled sums: H((p + m) / 2) and H(m), m = total / seen.
        between = math.log(2) - dot(both, log(both)) / 2
        mean = -weight.log() - weight * dot(total, log(total))
        divergence = between - (rows.entropies + mean) / 2
        agreement = 1 - divergence.clamp_(0, math.log(2)) / math.log(2)
        return agreement.masked_fill(rows.seen == 0, torch.nan)
