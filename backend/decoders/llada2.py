"""Fills aligned blocks from left to right, writing all positions above a threshold as soon as there are enough of them.

Blocks are counted from the first position of the prompt, so its last block may be shared with the
answer, and the canvas is extended to whole blocks. Attention is block-causal. A pass writes every
position strictly above the threshold when these are at least as many as the even schedule asks for,
and otherwise the schedule's share of the most confident ones.

Source: LLaDA2.0, its sampler as in dLLM ``pipelines/llada2/sampler.py`` at ca176752.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import (
    BaseDecoder, Block, Choice, Layout, View, most_probable, option, writes_of,
)
from backend.decoders.caches import BlockPrefix
from backend.decoders.schedules import even_schedule

if TYPE_CHECKING:
    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """LLaDA2's sampler settings."""

    threshold: float = option(0.95, "float", "Confidence above which tokens are written together.",
                              low=0.0, high=1.0, step=0.01, title="Threshold")
    block_length: int = option(32, "int", "Positions per block, counted from the start of the prompt.",
                               low=1, high=256, title="Block length")
    steps_per_block: int | None = option(None, "int", "Passes that fill a block when nothing reaches the threshold.",
                                         low=1, high=1024, auto="block_length", title="Steps per block")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")


class Llada2(BaseDecoder):
    """LLaDA2's sampler."""

    name = "llada2"
    title = "LLaDA2: whole blocks, threshold or schedule"
    source = "LLaDA2.0; github.com/ZHZisZZ/dllm pipelines/llada2/sampler.py @ ca176752"
    needs = frozenset({"bidirectional", "cache"})
    cost = "One forward pass over the active block; earlier blocks are computed once and kept."
    Settings = Settings

    def extent(self, settings: Settings, layout: Layout) -> int:
        """Return the length that fills the last block."""
        size = settings.block_length
        return -(-layout.end // size) * size - layout.prompt_length

    def blocks(self, settings: Settings, layout: Layout) -> tuple[Block, ...]:
        """Return the blocks that hold response positions, aligned to the start of the canvas."""
        size = settings.block_length
        starts = range(layout.prompt_length // size * size, layout.end, size)
        return tuple((max(start, layout.prompt_length), start + size) for start in starts)

    def decode(self, world: World) -> Decoding:
        """Fill the blocks in order."""
        settings, blocks = world.settings, world.blocks
        size = settings.block_length
        schedule = even_schedule(size, settings.steps_per_block or size)
        prefix = BlockPrefix()
        for number, block in enumerate(blocks):
            numbers = tuple(at // size for at in range(block[1]))
            passes = iter(schedule)
            while world.masked_in(block):
                view = yield from prefix.predict(world, block, numbers)
                yield world.step(_choice(view, next(passes, 1), number, len(blocks), settings), prefix.ages)


def _choice(view: View, quota: int, number: int, count: int, settings: Settings) -> Choice:
    tokens, probs = view.drawn(settings.temperature)
    ordered = most_probable(view, range(len(view.positions)), probs)
    above = sum(value > settings.threshold for value in probs)
    written = max(above, min(quota, len(ordered))) or 1
    why = (f"{above} of {len(ordered)} masked positions are above {settings.threshold:g}; all are written."
           if above >= quota else
           f"{above} of {len(ordered)} masked positions are above {settings.threshold:g}; "
           f"the schedule's {written} most confident are written.")
    return Choice(
        writes_of(view, ordered[:written], tokens, probs), why=why,
        notes={"block": number, "of_blocks": count, "above": above, "quota": quota},
    )
