"""Writes positions in an order drawn by lot, blind to what the model is sure about.

The fair comparison for every method that claims to choose its order well: same passes, no choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.decoders.base import (
    BaseDecoder, Choice, View, most_probable, option, writes_of,
)
from backend.noise import ranks


@dataclass(frozen=True)
class Settings:
    """How many positions a pass writes, and how freely."""

    tokens_per_step: int = option(1, "int", "Positions written per pass.", low=1, high="length", title="Tokens per step")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")


class RandomOrder(BaseDecoder):
    """A random order, a fixed number of tokens per pass."""

    name = "random_order"
    title = "Random order"
    source = "A reference order of ours, with the masked model's own predictions"
    mark = "own"
    Settings = Settings

    def draws(self, settings: Settings) -> bool:
        """Return True: the order is drawn."""
        return True

    def choose(self, view: View, settings: Settings, state: None) -> Choice:
        """Write masked positions drawn by lot, with draws keyed by seed, step and position."""
        tokens, probs = view.drawn(settings.temperature)
        lots = ranks(view.noise, view.step, view.positions)
        chosen = most_probable(view, range(len(view.positions)), lots)[: settings.tokens_per_step]
        return Choice(
            writes_of(view, chosen, tokens, probs),
            why=f"{len(chosen)} of {len(view.positions)} masked positions written: drawn by lot.",
        )
