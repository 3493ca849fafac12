"""Writes one block after the other, each seeing itself and what came before but never what comes after.

Attention is block-causal, so that the keys and values of finished blocks are final: the cache is
exact, and a pass computes the current block's rows alone. Within a block, dLLM's linear schedule
writes the most confident positions. The run stops after a block with an end-of-sequence. Trained
block-diffusion models (BD3-LM) expect this attention; on a model trained with full attention the
schedule is the same and the text may suffer.

Source: Block Diffusion (arXiv 2503.09573) as in dLLM ``core/samplers/bd3lm.py`` at ca176752. Blocks
are counted from the end of the prompt, as the reference does by padding it on the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import (
    BaseDecoder, Choice, View, most_probable, option, writes_of,
)
from backend.decoders.caches import BlockPrefix, ends_in
from backend.decoders.schedules import linear_schedule

if TYPE_CHECKING:
    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """dLLM's settings, under the names of the other decoders."""

    steps: int | None = option(None, "int", "Forward passes in all, spread over the blocks.",
                               low=1, high=4096, auto="length", title="Steps")
    block_length: int = option(32, "int", "Positions per block; the last one may be shorter.",
                               low=1, high=256, title="Block length")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    cfg_scale: float = option(0.0, "float", "Classifier-free guidance: how strongly the prompt pulls. Above 0 each pass runs two sequences.",
                              low=0.0, high=10.0, step=0.1, title="Guidance")
    steps_per_block: int | None = option(None, "int", "Passes per block; when set, the total is not used.",
                                         low=1, high=1024, nullable=True, title="Steps per block")


class BlockDiffusion(BaseDecoder):
    """Block diffusion with an exact prefix cache."""

    name = "block_diffusion"
    title = "Block diffusion: block by block, exactly cached"
    source = "arXiv 2503.09573; github.com/ZHZisZZ/dllm core/samplers/bd3lm.py @ ca176752"
    needs = frozenset({"bidirectional", "cache"})
    cost = "One forward pass over the active block; the prompt and finished blocks are computed once and kept."
    Settings = Settings

    def decode(self, world: World) -> Decoding:
        """Fill the blocks in order, stopping after one that holds an end-of-sequence."""
        settings, blocks = world.settings, world.blocks
        steps = settings.steps_per_block or math.ceil((settings.steps or world.layout.length) / len(blocks))
        prefix = BlockPrefix()
        for number, block in enumerate(blocks):
            numbers = tuple((at - world.layout.prompt_length) // settings.block_length for at in range(block[1]))
            schedule = linear_schedule(len(world.masked_in(block)), steps)
            for quota in schedule:
                view = yield from prefix.predict(world, block, numbers, settings.cfg_scale)
                yield world.step(_choice(view, quota, number, len(blocks), settings.temperature), prefix.ages)
            if ends_in(world, block):
                return

def _choice(view: View, quota: int, number: int, count: int, temperature: float) -> Choice:
    tokens, probs = view.drawn(temperature)
    inside = range(len(view.positions))
    return Choice(
        writes_of(view, most_probable(view, inside, probs)[:quota], tokens, probs),
        why=f"{quota} of {len(inside)} masked positions written: the most confident, in block {number + 1} of {count}.",
        notes={"block": number, "quota": quota},
    )
