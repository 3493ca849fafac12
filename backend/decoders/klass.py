"""Writes all positions whose prediction is both confident and stable, that is, hardly moved over the last passes.

Stability is measured by the Kullback-Leibler divergence of a position's distribution from the one
of the pass before; it must stay below a bound for ``history`` passes in a row. Where no position is
ready, LLaDA's schedule writes its share of the most confident ones, so the step budget holds. On the
canvas: settled stretches appear all at once, contested places wait however sure they look.

Source: KLASS (arXiv 2511.05664), github.com/shkim0116/KLASS at ad87ecbe, the LLaDA variant (strictly
above the confidence, nothing stable before pass ``history`` of a block). Finishing a block in its
last scheduled pass is ours: the released loop can end with masks left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.decoders.base import (
    BaseDecoder, Choice, Layout, View, most_probable, option, writes_of,
)
from backend.decoders.schedules import Progress, advanced, block_problems
from backend.errors import Problem


@dataclass(frozen=True)
class Settings:
    """The two bounds, and LLaDA's schedule for the passes where nothing is ready."""

    confidence: float = option(0.9, "float", "Probability above which a token counts as confident.",
                               low=0.0, high=1.0, step=0.01, title="Confidence")
    kl: float = option(0.01, "float", "Nats below which a position counts as stable from one pass to the next.",
                       low=0.0, high=100.0, step=0.001, title="KL bound")
    history: int = option(2, "int", "Passes in a row over which it must be stable.", low=1, high=16, title="History")
    steps: int | None = option(None, "int", "Forward passes at most; the schedule of the passes where nothing is ready.",
                               low=1, high="length", auto="length", title="Steps")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length.",
                                      low=1, high="length", auto="length", title="Block length")


@dataclass(frozen=True)
class _Seen:
    """What a pass leaves for the next one: progress, distributions, and past divergences by position."""

    progress: Progress
    positions: tuple[int, ...]
    log_probs: Any
    moved: dict[int, tuple[float, ...]]


class Klass(BaseDecoder):
    """KL-adaptive stability sampling."""

    name = "klass"
    title = "KLASS: confident and stable"
    source = "arXiv 2511.05664; github.com/shkim0116/KLASS @ ad87ecbe"
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse blocks that do not divide the length and step counts below one per block."""
        return block_problems(layout, settings.block_length, settings.steps)

    def choose(self, view: View, settings: Settings, state: _Seen | None) -> Choice:
        """Write every ready position of the active block, or the schedule's share."""
        blocks = self.blocks(settings, view.layout)
        progress = advanced(view, blocks, settings.steps, state and state.progress)
        inside = view.within(blocks[progress.block])
        moved = _moved(view, settings.history, state)
        early = progress.done < settings.history - 1
        stable = [at for at in inside if not early and _is_stable(moved[view.positions[at]], settings)]
        confident = {at for at in inside if view.probs[at] > settings.confidence}
        chosen = [at for at in stable if at in confident]
        why = f"{len(chosen)} of {len(inside)} masked positions were ready: above {settings.confidence:g} and moved less than {settings.kl:g} nats."
        if not chosen:
            last = progress.done + 1 >= len(progress.schedule)
            chosen = most_probable(view, inside, view.probs)[: None if last else max(progress.quota, 1)]
            why = f"No position was ready; the schedule's {len(chosen)} most confident are written."
        return Choice(
            writes_of(view, chosen, view.tokens, view.probs), why=why,
            notes={
                "block": progress.block, "ready": len(stable and set(stable) & confident),
                "confident_but_unstable": tuple(view.positions[at] for at in sorted(confident - set(stable))),
                "stable_but_unsure": tuple(view.positions[at] for at in stable if at not in confident),
            },
            state=_Seen(progress.next, view.positions, view.log_probs, moved),
        )


def _is_stable(past: tuple[float, ...], settings: Settings) -> bool:
    return len(past) >= settings.history and all(value < settings.kl for value in past[-settings.history :])


def _moved(view: View, history: int, state: _Seen | None) -> dict[int, tuple[float, ...]]:
    """Return each position's divergences from pass to pass, oldest first, ``history`` at most, nats.

    A first pass has nothing to be compared with; the source compares it with zeros, which is never
    stable, and neither is an infinite value.
    """
    if state is None:
        return {position: (float("inf"),) for position in view.positions}
    from backend.measures.base import dot

    row = {position: at for at, position in enumerate(state.positions)}
    before = state.log_probs[[row[position] for position in view.positions]].exp()
    now = view.log_probs.exp()
    values = dot(now, (now + 1e-12).log() - (before + 1e-12).log()).tolist()
    return {
        position: (*state.moved[position], value)[-history:]
        for position, value in zip(view.positions, values, strict=True)
    }
