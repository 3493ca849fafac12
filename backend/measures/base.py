"""What a measure is: one number per masked position and pass, read from the model's distributions.

A measure sees a block of rows at a time, so that a large vocabulary stays within the processor's
cache. It declares its range, unit and direction; legends and documentation are drawn from that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from backend.shapes import Float, Int

PAST = 3
"""Past distributions of a position that a measure may look at."""

TINY = 1.1754944e-38
"""Stands for a probability of zero where a logarithm is taken; 0 x log(TINY) is 0."""


@dataclass(frozen=True)
class Rows:
    """Distributions at some masked positions, after guidance and shift, before temperature."""

    log_probs: Float["M V"]
    probs: Float["M V"]
    top_probs: Float["M K"]
    """The largest probabilities, falling, float64: 1 - 1e-12 and 1 - 1e-9 stay apart."""
    entropies: Float["M"]
    """Nats."""
    past: tuple[Float["M V"], ...]
    """Probabilities at the last ``PAST`` passes or fewer, newest first; zero rows where unseen."""
    seen: Int["M"]
    """How many of ``past`` are real, per row."""


def dot(a: Float["M V"], b: Float["M V"]) -> Float["M"]:
    """Return the inner product of every pair of rows."""
    return (a * b).sum(dim=1)


def log(probs: Float["M V"]) -> Float["M V"]:
    """Return the natural logarithm, finite at zero."""
    return probs.clamp_min(TINY).log_()


class Measure(Protocol):
    """A score: its declaration, and its value for some rows (NaN = no such value)."""

    name: str
    title: str
    unit: str
    low: float
    higher: str
    """What a higher value means, in one or two words."""
    help: str

    def high(self, vocab_size: int) -> float:
        """Return the top of the scale, for colours; values above it are drawn as it."""

    def values(self, rows: Rows) -> Float["M"]:
        """Return the score of every row."""
