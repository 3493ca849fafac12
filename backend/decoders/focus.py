"""Lets only those masked tokens compete that the first two layers single out; the others could be left out of the computation.

A masked token that gains importance from layer 0 to layer 1 (attention it receives from the other
masked tokens, pooled over neighbours) is likely to be decoded now. A budget that follows the recent
pace keeps the best of them, two structural rules keep what they need, and the rest is evicted for
this step. Which of the kept ones are written is decided by a confidence threshold.

This is a probe: every pass computes all rows, evicted tokens are only forbidden to be written, and
the notes say which rows the method would have computed and the share of the work that saves. It
differs from the real method in that kept tokens still see fresh evicted ones.

Source: FOCUS (arXiv 2601.23278), rule from github.com/sands-lab/FOCUS; it was built for
block-diffusion models, and the probe on full attention is our construction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.decoders.base import (
    BaseDecoder, Block, Choice, Layout, Score, View, cut, default_block, most_probable, option,
    writes_of,
)
from backend.decoders.schedules import block_problems
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.shapes import Float
    from backend.world import Decoding, World

SAME = 1e-6
"""Differences of importance that count as equal, so that equal tokens share their fate."""


@dataclass(frozen=True)
class Settings:
    """FOCUS's settings."""

    mode: str = option("probe", "choice", "How evicted tokens are treated: computed and forbidden to be written.", choices=("probe",), title="Mode")
    alpha: float = option(1.5, "float", "How many tokens are kept per token written so far in a step. Very large evicts nothing.",
                          low=1.0, high=1000.0, step=0.1, title="Expansion α")
    threshold: float = option(0.9, "float", "Confidence from which a kept token is written.", low=0.0, high=1.0, step=0.01, title="Threshold")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length.", low=1, high="length",
                                      auto="32, or the length where 32 does not divide it", title="Block length")
    pool: int = option(3, "int", "Width of the pooling over neighbours in the list of masked tokens; odd.", low=1, high=5, step=2, title="Pooling")


@dataclass(frozen=True)
class Selection:
    """Which masked tokens are selected and kept, as indices into their list, and how many were asked for."""

    selected: frozenset[int]
    kept: frozenset[int]
    budget: int
    above: int


@dataclass
class _Block:
    """What a block remembers from step to step."""

    writes: list[int] = field(default_factory=list)
    progress: int = -1
    unfrozen: set[int] = field(default_factory=set)
    first: bool = True

    @property
    def pace(self) -> float:
        """The mean number of tokens written per step that wrote any, at least 1."""
        return max(1.0, sum(self.writes) / len(self.writes)) if self.writes else 1.0


@dataclass
class _Work:
    """Token-layers that the method would have computed, and those of plain block decoding."""

    focused: float = 0.0
    plain: float = 0.0
    processed: int = 0
    written: int = 0


class Focus(BaseDecoder):
    """Eviction of masked tokens that will not be decoded now."""

    name = "focus"
    title = "FOCUS: compute only what will be decoded (probe)"
    source = "arXiv 2601.23278; rule from github.com/sands-lab/FOCUS, probe mode ours"
    mark = "reconstructed"
    needs = frozenset({"bidirectional", "attention"})
    cost = "One forward pass over the whole canvas; the notes say which rows the method itself would leave out."
    scores = (
        Score("focus_delta", "Importance gained", "How much more attention this place receives from the other masked ones in layer 1 than in "
              "layer 0, pooled over neighbours and summed over heads and askers, each of whom gives 1. The scale ends at -4 and 4.",
              "attention", "gained more", -4.0, 4.0),
    )
    Settings = Settings

    def blocks(self, settings: Settings, layout: Layout) -> tuple[Block, ...]:
        """Return blocks of 32 unless set, or one block where 32 does not divide the length."""
        return cut(layout, settings.block_length or default_block(layout.length))

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse uneven blocks and an even pooling width."""
        problems = block_problems(layout, settings.block_length or default_block(layout.length), None)
        if settings.pool % 2 == 0:
            problems.append(Problem("settings.pool", f"{settings.pool} is even; give 1, 3 or 5."))
        return problems

    def decode(self, world: World) -> Decoding:
        """Fill the blocks in order, evicting and writing step by step."""
        work = _Work()
        for number, block in enumerate(world.blocks):
            memory = _Block()
            while world.masked_in(block):
                view, output = yield from world.predict(attentions=True)
                inside = view.within(block)
                places = [view.positions[at] for at in inside]
                layers = output.attentions[:2]
                gains = importance_gain([layer[0][:, places][:, :, places] for layer in layers], world.settings.pool)
                picked = selection([place - block[0] for place in places], gains, memory.pace, world.settings.alpha, memory.progress)
                yield world.step(_choice(world, view, inside, gains, picked, memory, work, block, number))


def importance(weights: Float["H n n"], pool: int) -> Float["n"]:
    """Return how much attention each token of a set receives within it, each query's share summing to 1.

    ``weights``: attention probabilities or any positive values proportional to them per row; their
    logarithm is the score up to a constant per row, which the softmax cancels.
    """
    import torch

    scores = weights.double().clamp_min(torch.finfo(torch.float64).tiny).log()
    pooled = torch.nn.functional.max_pool1d(scores, pool, stride=1, padding=pool // 2)
    return pooled.softmax(dim=-1).sum(dim=(0, 1))


def importance_gain(layers: Sequence[Float["H n n"]], pool: int) -> list[float]:
    """Return each token's importance at the second layer minus that at the first; they sum to 0."""
    if len(layers) < 2:
        return [0.0] * layers[0].shape[-1]
    return (importance(layers[1], pool) - importance(layers[0], pool)).tolist()


def selection(places: Sequence[int], gains: Sequence[float], pace: float, alpha: float, progress: int) -> Selection:
    """Return which masked tokens of a block are kept this step.

    1. The budget k is alpha x pace, rounded up; with k or fewer masked tokens nothing is evicted.
    2. Tokens at or above mean + standard deviation are selected if there are k or more, else the k best.
    3. The masked left neighbour of a selected token is kept too.
    4. Everything masked left of the rightmost kept place and right of ``progress`` is kept: it has
       never been through the deeper layers.

    ``places``: positions within the block, rising. Ties go to the earlier token.
    """
    count = len(places)
    budget = min(count, max(1, math.ceil(alpha * max(pace, 1.0))))
    mean = sum(gains) / count
    line = mean + math.sqrt(sum((gain - mean) ** 2 for gain in gains) / count)
    above = [at for at in range(count) if gains[at] >= line - SAME]
    everything = frozenset(range(count))
    if count <= budget:
        return Selection(everything, everything, budget, len(above))
    ranked = sorted(range(count), key=lambda at: (-gains[at], at))
    selected = frozenset(above if len(above) >= budget else ranked[:budget])
    kept = set(selected) | {at for at in range(count - 1) if at + 1 in selected and places[at + 1] - places[at] == 1}
    edge = max(places[at] for at in kept)
    kept |= {at for at in range(count) if progress < places[at] < edge}
    return Selection(selected, frozenset(kept), budget, len(above))


def _choice(
    world: World, view: View, inside: list[int], gains: list[float], picked: Selection, memory: _Block, work: _Work,
    block: Block, number: int,
) -> Choice:
    """Return the writes among the kept tokens, and enter the step in the statistics."""
    kept = [inside[at] for at in sorted(picked.kept)]
    ordered = most_probable(view, kept, view.probs)
    chosen = [at for at in ordered if view.probs[at] >= world.settings.threshold] or ordered[:1]
    evicted = tuple(view.positions[inside[at]] for at in range(len(inside)) if at not in picked.kept)
    processed = _count(world, memory, work, inside, kept, block)
    memory.writes.append(len(chosen))
    memory.progress = max(memory.progress, max(view.positions[at] for at in kept) - block[0])
    work.written += len(chosen)
    missed = sum(view.probs[at] >= world.settings.threshold for at in inside if at not in set(kept))
    deltas: list[float | None] = [None] * len(view.positions)
    for at, gain in zip(inside, gains, strict=True):
        deltas[at] = gain
    return Choice(
        writes_of(view, chosen, view.tokens, view.probs),
        why=f"{len(kept)} of {len(inside)} masked tokens kept, {len(evicted)} evicted; {len(chosen)} of the kept written.",
        notes={
            "block": number, "selected": tuple(view.positions[inside[at]] for at in sorted(picked.selected)),
            "kept": tuple(view.positions[at] for at in kept), "evicted": evicted, "budget": picked.budget, "above_line": picked.above,
            "pace": memory.pace, "would_have_been_written": missed, "computed_positions": processed,
            "compute_saved": 1 - work.focused / work.plain, "processed_per_token": work.processed / work.written,
        },
        scores={"focus_delta": tuple(deltas)},
    )


def _count(world: World, memory: _Block, work: _Work, inside: list[int], kept: list[int], block: Block) -> int:
    """Enter the rows that the method would compute; return those that pass through all layers.

    Two layers see every token processed, the others the kept ones. A written token is processed
    until it and its right neighbour had both been written before the step.
    """
    canvas, mask = world.canvas, world.mask_id
    written = {at for at in range(*block) if canvas[at] != mask}
    shallow = block[1] - block[0] if memory.first else len(inside) + len(memory.unfrozen)
    deep = len(kept) + len(memory.unfrozen if not memory.first else written)
    layers, early = world.n_layers, min(2, world.n_layers)
    work.focused += early * shallow + (layers - early) * deep
    work.plain += layers * (block[1] - block[0])
    work.processed += deep
    memory.unfrozen = {at for at in range(*block) if not (at in written and (at + 1 in written or at + 1 == block[1]))}
    memory.unfrozen -= {at for at in range(*block) if canvas[at] == mask}
    memory.first = False
    return deep
