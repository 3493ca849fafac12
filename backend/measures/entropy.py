"""Entropy: how widely the model's belief is spread over the vocabulary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backend.measures.base import Rows

if TYPE_CHECKING:
    from backend.shapes import Float


class Entropy:
    """Shannon entropy in nats, 0..ln V."""

    name = "entropy"
    title = "Entropy"
    unit = "nats"
    low = 0.0
    higher = "less sure"
    help = "How spread out the belief is: 0 is a single possible token, ln V is every token alike."

    def high(self, vocab_size: int) -> float:
        """Return the entropy of the uniform distribution."""
        return math.log(vocab_size)

    def values(self, rows: Rows) -> Float["M"]:
        """Return the entropy of every row."""
        return rows.entropies
