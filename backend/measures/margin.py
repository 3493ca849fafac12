"""Margin: how far the favourite is ahead of the runner-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.measures.base import Rows

if TYPE_CHECKING:
    from backend.shapes import Float


class Margin:
    """The difference of the two largest probabilities, 0..1."""

    name = "margin"
    title = "Margin"
    unit = "probability"
    low = 0.0
    higher = "surer"
    help = "The favourite's probability minus the runner-up's: near 0 means a close race."

    def high(self, vocab_size: int) -> float:
        """Return 1."""
        return 1.0

    def values(self, rows: Rows) -> Float["M"]:
        """Return top1 - top2 of every row."""
        return rows.top_probs[:, 0] - rows.top_probs[:, 1]
