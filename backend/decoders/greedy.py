"""Continues the text with the most probable next token, from left to right, until the end of sequence.

The yardstick for everything else on a causal model; every position is computed once and cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Choice, Layout, View
from backend.decoders.caches import one_by_one, prompt_problems
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """Greedy decoding has nothing to set."""


class Greedy(BaseDecoder):
    """The arg-max of every next-token distribution."""

    name = "greedy"
    title = "Greedy: the most probable next token"
    source = "The standard meaning"
    needs = frozenset({"causal", "cache"})
    cost = "One forward pass over the newest token; everything before it is kept."
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse an empty prompt."""
        return prompt_problems(layout)

    def decode(self, world: World) -> Decoding:
        """Write one token per pass."""
        return one_by_one(world, _best)


def _best(view: View) -> Choice:
    return Choice(((view.positions[0], view.tokens[0], view.probs[0]),),
                  why=f"The most probable next token, at {view.probs[0]:.3f}.")
