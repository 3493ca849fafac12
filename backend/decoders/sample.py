"""Continues the text with draws from the next-token distribution, from left to right.

Temperature flattens or sharpens it, top-k and top-p cut its tail. Draws use the Gumbel-max rule with
noise keyed by place, so that a run can be repeated and a changed one compared draw by draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Choice, Layout, View, option
from backend.decoders.caches import one_by_one, prompt_problems
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """How freely tokens are drawn."""

    temperature: float = option(1.0, "float", "0 takes the most probable token; higher draws more freely.", low=0.0, high=5.0, step=0.1, title="Temperature")
    top_p: float | None = option(None, "float", "Keep the most probable tokens up to this mass.", low=0.01, high=1.0, step=0.01, nullable=True, title="Top-p")
    top_k: int | None = option(None, "int", "Keep this many of the most probable tokens.", low=1, high=1000, nullable=True, title="Top-k")


class Sample(BaseDecoder):
    """Ancestral sampling."""

    name = "sample"
    title = "Sample: draw the next token"
    source = "The standard meaning"
    needs = frozenset({"causal", "cache"})
    cost = "One forward pass over the newest token; everything before it is kept."
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse an empty prompt."""
        return prompt_problems(layout)

    def decode(self, world: World) -> Decoding:
        """Draw one token per pass."""
        return one_by_one(world, lambda view: _drawn(view, world.settings))


def _drawn(view: View, settings: Settings) -> Choice:
    from backend import sampling

    tokens = view.tokens
    if settings.temperature:
        best = sampling.filtered(view.log_probs, settings.temperature, top_k=settings.top_k)  # the k best first, as is usual
        tokens = sampling.drawn_from(view, sampling.filtered(best, 0.0, top_p=settings.top_p))
    (prob,) = sampling.probs_of(view, tokens)
    return Choice(((view.positions[0], tokens[0], prob),), why=f"Drawn at temperature {settings.temperature:g}; its probability is {prob:.3f}.")
