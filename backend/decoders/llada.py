"""Fills the positions the model is surest about first, a fixed number per pass; what is not sure enough stays masked.

Every pass predicts all masked positions of the active block at once. The most confident ones are
written, the others wait for the next pass, which sees what was written. With ``remasking`` set to
random the positions are drawn by lot instead: the same budget without the model's opinion of order.
Nothing that was written is ever masked again, in spite of the setting's historical name.

Source: Large Language Diffusion Models (arXiv 2502.09992), ``generate.py`` at b7e6c356.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.decoders.base import (
    BaseDecoder, Choice, Layout, View, most_probable, option, writes_of,
)
from backend.decoders.schedules import Progress, advanced, block_problems
from backend.errors import Problem
from backend.noise import ranks


@dataclass(frozen=True)
class Settings:
    """LLaDA's sampler settings, with its names."""

    steps: int | None = option(None, "int", "Forward passes in all; fewer passes write more tokens each.",
                               low=1, high="length", auto="length", title="Steps")
    block_length: int | None = option(None, "int", "Positions per block; blocks are filled left to right. Must divide the length.",
                                      low=1, high="length", auto="length", title="Block length")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    cfg_scale: float = option(0.0, "float", "Classifier-free guidance: how strongly the prompt pulls. Above 0 each pass runs two sequences.",
                              low=0.0, high=10.0, step=0.1, title="Guidance")
    remasking: str = option("low_confidence", "choice", "Which positions wait: the least confident ones, or random ones.",
                            choices=("low_confidence", "random"), title="Remasking")


class Llada(BaseDecoder):
    """LLaDA's sampler: an even schedule per block, highest confidence (or a random draw) first."""

    name = "llada"
    title = "LLaDA: most confident first"
    source = "arXiv 2502.09992; github.com/ML-GSAI/LLaDA generate.py @ b7e6c356"
    cost = "One forward pass over the whole canvas; with guidance, two sequences in it."
    Settings = Settings

    def draws(self, settings: Settings) -> bool:
        """Tell whether tokens are drawn, or positions are."""
        return settings.temperature > 0 or settings.remasking == "random"

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse blocks that do not divide the length and step counts below one per block."""
        return block_problems(layout, settings.block_length, settings.steps)

    def choose(self, view: View, settings: Settings, state: Progress | None) -> Choice:
        """Write the schedule's next number of positions of the active block."""
        blocks = self.blocks(settings, view.layout)
        progress = advanced(view, blocks, settings.steps, state)
        inside = view.within(blocks[progress.block])
        count = progress.schedule[progress.done]
        tokens, probs = view.drawn(settings.temperature)
        chosen = self._order(view, inside, probs, settings)[:count]
        how = "most confident" if settings.remasking == "low_confidence" else "drawn by lot"
        return Choice(
            writes_of(view, chosen, tokens, probs),
            why=f"{count} of {len(inside)} masked positions written: the {how}"
                + (f", in block {progress.block + 1} of {len(blocks)}." if len(blocks) > 1 else "."),
            notes={"block": progress.block, "quota": count},
            state=progress.next,
        )

    def _order(
        self, view: View, inside: list[int], probs: tuple[float, ...], settings: Settings
    ) -> list[int]:
        if settings.remasking == "random":
            probs = tuple(ranks(view.noise, view.step, view.positions))
        return most_probable(view, inside, probs)
