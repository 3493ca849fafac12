"""Writes every position of the active block whose confidence reaches a threshold, and always the best one: sure tokens come in parallel.

A fixed threshold (0.9 unless set) asks the same of every token. A factor asks more the more tokens
are written together: rank r needs a confidence of 1 - factor / (r + 1), which is the condition
under which the paper proves that picking tokens apart picks the same as picking them jointly.
With both off and ``steps`` set, LLaDA's even schedule is used.

With a cache, a pass over everything opens each block, and the further passes compute only the block
(dual) or the block and what follows (prefix), reading stale keys and values for the rest. At least
one such pass follows in every block, as in the reference, even when nothing is left to write. A
model whose predictions are read from the row before (Dream) writes a block's first token from the
opening pass and nothing else. ``audit`` adds an uncached pass after each cached one and records how
far the cached predictions are from the true ones.

Source: Fast-dLLM (arXiv 2505.22618), ``llada/generate.py`` and ``dream/model/generation_utils_block.py``
at 24cc59e7; the factor rule from the dLLM project's port at ca176752.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backend.decoders.base import (
    BaseDecoder, Block, Choice, Layout, Score, View, cut, default_block, most_probable, option,
    writes_of,
)
from backend.decoders.caches import aged
from backend.decoders.schedules import Progress, advanced, block_problems, even_schedule
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.world import Asking, Decoding, World


@dataclass(frozen=True)
class Settings:
    """Fast-dLLM's settings."""

    threshold: float | None = option(0.9, "float", "Confidence from which a token is written at once. Higher is slower and safer.",
                                     low=0.0, high=1.0, step=0.01, nullable=True, title="Threshold")
    factor: float | None = option(None, "float", "When set, the threshold rises with the number of tokens written together, and the fixed one is not used.",
                                  low=0.0, high=10.0, step=0.1, nullable=True, title="Factor")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length.",
                                      low=1, high="length", auto="32, or the length where 32 does not divide it", title="Block length")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    cache: str = option("none", "choice", "Which keys and values are kept between passes.",
                        choices=("none", "prefix", "dual"), title="Cache")
    steps: int | None = option(None, "int", "With the threshold off: forward passes in all, on LLaDA's even schedule.",
                               low=1, high="length", nullable=True, title="Steps")
    audit: bool = option(False, "bool", "With a cache: run an uncached pass beside each cached one and record how far apart their predictions are.",
                         title="Audit the cache")


class FastDllm(BaseDecoder):
    """Confidence-aware parallel decoding by threshold or by factor."""

    name = "fast_dllm"
    title = "Fast-dLLM: all that are sure enough"
    source = "arXiv 2505.22618; github.com/NVlabs/Fast-dLLM llada/generate.py @ 24cc59e7"
    cost = ("One forward pass over the whole canvas; with a cache, one such pass opens a block and the others "
            "compute the block (dual) or it and what follows (prefix).")
    scores = (
        Score("cache_drift", "Cache drift", "How far the prediction with stale keys and values is from that of a full pass "
              "(Kullback-Leibler divergence). The scale ends at 1 nat.", "nats", "further from the truth", 0.0, 1.0,
              when={"audit": (True,), "cache": ("prefix", "dual")}),
    )
    Settings = Settings

    def blocks(self, settings: Settings, layout: Layout) -> tuple[tuple[int, int], ...]:
        """Return blocks of 32 unless set, or one block where 32 does not divide the length."""
        return cut(layout, settings.block_length or default_block(layout.length))

    def wants(self, settings: Settings) -> frozenset[str]:
        """Return what the decoder needs, with a cache where one is set."""
        return self.needs if settings.cache == "none" else self.needs | {"cache"}

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse uneven blocks, and settings that leave no rule for how much to write."""
        if settings.threshold is None and settings.factor is None and settings.steps is None:
            return [Problem("settings.threshold", "None leaves no rule; set threshold, factor or steps.")]
        return block_problems(layout, settings.block_length or default_block(layout.length), _scheduled_steps(settings))

    def decode(self, world: World) -> Decoding:
        """Decode block by block with the cache that is set."""
        if world.settings.cache == "none":
            yield from world.choosing(self)
            return
        state: Progress | None = None
        for block in world.blocks:
            if world.masked_in(block):
                state = yield from self._cached_block(world, block, state)

    def _cached_block(self, world: World, block: Block, state: Progress | None) -> Decoding:
        """Fill one block: a pass over everything, then passes over the rows that are not kept."""
        everything = range(len(world.canvas))
        view, opening = yield from world.predict(keep_cache=True)
        choice = self._opening(world, view, block, state)
        state, ages = choice.state, aged((), everything, len(everything))
        yield world.step(choice, ages)
        computed = range(block[0], block[1] if world.settings.cache == "dual" else len(everything))
        first = True
        while world.masked_in(block) or first:
            first = False
            view, _ = yield from world.predict(among=computed, compute=tuple(computed), cache=opening.cache)
            choice = self.choose(view, world.settings, state) if world.masked_in(block) else _idle(state)
            if world.settings.audit:
                choice = yield from _audited(world, view, choice)
            state, ages = choice.state, aged(ages, computed, len(everything))
            yield world.step(choice, ages)
        return state

    def _opening(self, world: World, view: View, block: Block, state: Progress | None) -> Choice:
        """Return what the pass over everything writes."""
        choice = self.choose(view, world.settings, state)
        if not world.shifted or block[0] not in world.masked:
            return choice
        # The cached rows begin with the block, and the prediction for its first position is in the
        # row before: it is now or never.
        at = view.positions.index(block[0])
        tokens, probs = view.drawn(world.settings.temperature)
        return replace(choice, writes=writes_of(view, [at], tokens, probs), notes={**choice.notes, "accepted": 1},
                       state=_after_one(choice.state, len(view.within(block)) - 1),
                       why="The block's first token is written from the pass over everything: the cached rows do not predict it.")

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
            state=progress.next,
        )


def _after_one(progress: Progress, masked: int) -> Progress:
    """Return the progress after an opening pass that wrote one token whatever its share was.

    As in the reference the opening counts as a pass of the block; its other passes share what is left,
    and a block that had no other gets one.
    """
    rest = even_schedule(masked, max(len(progress.schedule) - 1, 1))
    return replace(progress, schedule=(1, *rest), done=1)


def _idle(state: Progress | None) -> Choice:
    return Choice(why="The block was full after its opening pass; the reference computes it once more.", state=state)


def _audited(world: World, view: View, choice: Choice) -> Asking:
    """Return the choice with how far the cached predictions were from those of a full pass, in nats."""
    from backend.measures.base import dot

    canvas, wanted = world.whole(view.positions)
    output = yield from world.forward(canvas, wanted)
    true = world.peek(output.logits, view.positions)
    apart = dot(true.log_probs.exp(), true.log_probs - view.log_probs).clamp_min(0)
    agreed = sum(a == b for a, b in zip(true.tokens, view.tokens, strict=True))
    found = {"cache_drift_mean": float(apart.mean()), "cache_drift_max": float(apart.max())} if len(apart) else {}
    return replace(
        choice, notes={**choice.notes, **found, "cache_same_token": agreed, "cache_looked_at": len(view.positions)},
        scores={**choice.scores, "cache_drift": tuple(apart.tolist())},
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
    count = progress.quota
    return count, f"{count} of {masked} masked positions written: the schedule's share, most confident first."
