"""Confidence: the probability of the most probable token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.measures.base import Rows

if TYPE_CHECKING:
    from backend.shapes import Float


class Confidence:
    """The probability of the top token, 0..1."""

    name = "confidence"
    title = "Confidence"
    unit = "probability"
    low = 0.0
    higher = "surer"
    help = "The probability that the model gives to its favourite token for this place."

    def high(self, vocab_size: int) -> float:
        """Return 1."""
        return 1.0

    def values(self, rows: Rows) -> Float["M"]:
        """Return the largest probability of every row."""
        return rows.top_probs[:, 0]
