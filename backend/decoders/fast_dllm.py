"""Writes every position of the active block whose confidence reaches a threshold, and always the best one: sure tokens come in parallel.

A fixed threshold (0.9 unless set) asks the same of every token. A factor asks more the more tokens
are written together: rank r needs a confidence of 1 - factor / (r + 1), which is the condition
under which the paper proves that picking tokens apart picks the same as picking them jointly.
With both off and ``steps`` set, LLaDA's even schedule is used.

Source: Fast-dLLM (arXiv 2505.22618), ``llada/generate.py`` at 24cc59e7; the factor rule from the
dLLM project's port at ca176752.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.decoders.base import (
    BaseDecoder, Choice, Layout, View, most_probable, option, writes_of,
)
from backend.decoders.schedules import Progress, advanced, block_problems
from backend.errors import Problem

DEFAULT_BLOCK = 32


@dataclass(frozen=True)
class Settings:
    """Fast-dLLM's settings; the caches come with the models that can be cached."""

    threshold: float | None = option(0.9, "float", "Confidence from which a token is written at once. Higher is slower and safer.",
                                     low=0.0, high=1.0, step=0.01, nullable=True, title="Threshold")
    factor: float | None = option(None, "float", "When set, the threshold rises with the number of tokens written together, and the fixed one is not used.",
                                  low=0.0, high=10.0, step=0.1, nullable=True, title="Factor")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length.",
                                      low=1, high="length", auto="32, or the length where 32 does not divide it", title="Block length")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    cache: str = option("none", "choice", "Which keys and values are kept between passes.",
                        choices=("none",), title="Cache")
    steps: int | None = option(None, "int", "With the threshold off: forward passes in all, on LLaDA's even schedule.",
                               low=1, high="length", nullable=True, title="Steps")


class FastDllm(BaseDecoder):
    """Confidence-aware parallel decoding by threshold or by factor."""

    name = "fast_dllm"
    title = "Fast-dLLM: all that are sure enough"
    source = "arXiv 2505.22618; github.com/NVlabs/Fast-dLLM llada/generate.py @ 24cc59e7"
    Settings = Settings

    def blocks(self, settings: Settings, layout: Layout) -> tuple[tuple[int, int], ...]:
        """Return blocks of 32 unless set, or one block where 32 does not divide the length."""
        size = settings.block_length or (layout.length if layout.length % DEFAULT_BLOCK else DEFAULT_BLOCK)
        return tuple(
            (start, start + size) for start in range(layout.prompt_length, layout.end, max(size, 1))
        )

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse uneven blocks, and settings that leave no rule for how much to write."""
        if settings.threshold is None and settings.factor is None and settings.steps is None:
            return [Problem("settings.threshold", "None leaves no rule; set threshold, factor or steps.")]
        size = settings.block_length or self.blocks(settings, layout)[0][1] - layout.prompt_length
        return block_problems(layout, size, _scheduled_steps(settings))

    def choose(self, view: View, settings: Settings, state: Progress | None) -> Choice:
        """Write what the rule accepts in the active block, at least the most confident position."""
        blocks = self.blocks(settings, view.layout)
        progress = advanced(view, blocks, _scheduled_steps(settings), state)
        tokens, probs = view.drawn(settings.temperature)
        ordered = most_probable(view, view.within(blocks[progress.block]), probs)
        count, why = _accepted([probs[at] for at in ordered], settings, progress)
        return Choice(
            writes_of(view, ordered[:count], tokens, probs),
            why=why,
            notes={"block": progress.block, "accepted": count},
            state=Progress(progress.block, progress.schedule, progress.done + 1),
        )


def _scheduled_steps(settings: Settings) -> int | None:
    by_confidence = settings.threshold is not None or settings.factor is not None
    return None if by_confidence else settings.steps


def _accepted(falling: list[float], settings: Settings, progress: Progress) -> tuple[int, str]:
    """Return how many of the confidences, sorted falling, are written, and why."""
    masked = len(falling)
    if settings.factor is not None:
        count = max(1, sum(p >= 1 - settings.factor / (rank + 1) for rank, p in enumerate(falling, 1)))
        return count, (f"{count} of {masked} masked positions written: rank {count} has confidence "
                       f"{falling[count - 1]:.3f}, and {1 - settings.factor / (count + 1):.3f} was asked of it.")
    if settings.threshold is not None:
        count = sum(p >= settings.threshold for p in falling)
        if count == 0:
            return 1, (f"No position reached {settings.threshold:g}; the best one, at {falling[0]:.3f}, "
                       "is written so that the run goes on.")
        return count, f"{count} of {masked} masked positions reached {settings.threshold:g}."
    count = progress.schedule[progress.done]
    return count, f"{count} of {masked} masked positions written: the schedule's share, most confident first."
