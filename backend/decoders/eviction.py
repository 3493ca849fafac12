"""FOCUS's rule: how much attention each masked token gains between the first two layers, and who stays for the others.

Source: FOCUS (arXiv 2601.23278); rule from github.com/sands-lab/FOCUS, lmdeploy/pytorch/kernels/cuda/focus.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.shapes import Float

SAME = 1e-6
"""Differences of importance that count as equal, so that equal tokens share their fate."""


@dataclass(frozen=True)
class Selection:
    """Which masked tokens are selected and kept, as indices into their list, and how many were asked for."""

    selected: frozenset[int]
    kept: frozenset[int]
    budget: int
    above: int


def importance(scores: Float["H n n"], pool: int) -> Float["n"]:
    """Return how much attention each token of a set receives within it, each query's share summing to 1.

    ``scores``: query x key before the softmax, or anything that differs from it by a constant per row, which
    the softmax cancels.
    """
    import torch

    pooled = torch.nn.functional.max_pool1d(scores.double(), pool, stride=1, padding=pool // 2)
    return pooled.softmax(dim=-1).sum(dim=(0, 1))


def logarithms(weights: Float["H n n"]) -> Float["H n n"]:
    """Return the scores behind attention probabilities, up to a constant per row."""
    import torch

    return weights.double().clamp_min(torch.finfo(torch.float64).tiny).log()


def importance_gain(layers: Sequence[Float["H n n"]], pool: int) -> list[float]:
    """Return each token's importance at the second layer minus that at the first, from their scores; they sum to 0."""
    if len(layers) < 2:
        return [0.0] * layers[0].shape[-1]
    return (importance(layers[1], pool) - importance(layers[0], pool)).tolist()


def selection(
    places: Sequence[int], gains: Sequence[float], pace: float, alpha: float, progress: int, standing: int = -1
) -> Selection:
    """Return which masked tokens of a block are kept this step.

    1. The budget k is alpha x pace, rounded up; with k or fewer masked tokens nothing is evicted.
    2. Tokens at or above mean + standard deviation are selected if there are k or more, else the k best.
    3. The masked left neighbour of a selected token is kept too.
    4. Everything masked left of the rightmost place that is computed and right of ``progress`` is kept: it has
       never been through the deeper layers.

    ``standing``: the rightmost written place that is computed, -1 for none. ``places``: positions within the block, rising. Ties go to the earlier token.
    """
    count = len(places)
    budget = min(count, max(1, math.ceil(alpha * max(pace, 1.0))))
    mean = sum(gains) / count
    line = mean + math.sqrt(sum((gain - mean) ** 2 for gain in gains) / count)
    above = [at for at in range(count) if gains[at] >= line - SAME]
    everything = frozenset(range(count))
    if count <= budget:
        return Selection(everything, everything, budget, len(above))
    ranked = sorted(range(count), key=lambda at: (-gains[at], at))
    selected = frozenset(above if len(above) >= budget else ranked[:budget])
    kept = set(selected) | {at for at in range(count - 1) if at + 1 in selected and places[at + 1] - places[at] == 1}
    edge = max(standing, *(places[at] for at in kept))
    kept |= {at for at in range(count) if progress < places[at] < edge}
    return Selection(selected, frozenset(kept), budget, len(above))
