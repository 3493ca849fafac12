"""Writes strictly from left to right, the way an autoregressive model does, whatever the model is sure about.

The plainest order there is: what confidence-first decoding gains over it is what order is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.decoders.base import BaseDecoder, Choice, View, option, writes_of


@dataclass(frozen=True)
class Settings:
    """How many positions a pass writes, and how freely."""

    tokens_per_step: int = option(1, "int", "Positions written per pass.", low=1, high="length", title="Tokens per step")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")


class LeftToRight(BaseDecoder):
    """Left to right, a fixed number of tokens per pass."""

    name = "left_to_right"
    title = "Left to right"
    source = "A reference order of ours, with the masked model's own predictions"
    mark = "own"
    Settings = Settings

    def choose(self, view: View, settings: Settings, state: None) -> Choice:
        """Write the leftmost masked positions."""
        tokens, probs = view.drawn(settings.temperature)
        chosen = range(min(settings.tokens_per_step, len(view.positions)))
        return Choice(
            writes_of(view, chosen, tokens, probs),
            why=f"{len(chosen)} of {len(view.positions)} masked positions written: the leftmost.",
        )
