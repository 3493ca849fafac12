"""Which row of the canvas a prediction is read from."""

from __future__ import annotations

from backend.models.base import Model


def read_position(model: Model, position: int) -> int:
    """Return the row that predicts ``position``: the row before it in shifted families (0 reads from 0)."""
    return max(position - 1, 0) if model.shifted else position
