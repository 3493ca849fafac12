"""Lets only those masked tokens compete that the first two layers single out; the others could be left out of the computation.

A masked token that gains importance from layer 0 to layer 1 (attention it receives from the other
masked tokens, pooled over neighbours) is likely to be decoded now. A budget that follows the recent
pace keeps the best of them, two structural rules keep what they need, and the rest is evicted for
this step. Which of the kept ones are written is decided by a confidence threshold.

As a probe, every pass computes all rows, evicted tokens are only forbidden to be written, and the
notes say which rows the method would have computed and the share of the work that saves. It differs
from the real method in that kept tokens still see fresh evicted ones, and everything after the block.

Faithful, evicted rows leave the pass before the second layer's attention. The prompt and finished
blocks are computed once and kept, as under block-causal attention; within the block the kept rows
see stale keys and values of evicted ones, and nothing right of the last row that is computed.
Written tokens are computed until they and their right neighbour had both been written before a
step; a finished block is computed once more as a whole before the next one begins.

Source: FOCUS (arXiv 2601.23278), rule and order of work from github.com/sands-lab/FOCUS; it was built
for block-diffusion models. The probe, and either mode on a model trained with full attention, are
our construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.decoders.base import (
    BaseDecoder, Block, Choice, Layout, Score, View, cut, default_block, most_probable, option,
    writes_of,
)
from backend.decoders.caches import aged, block_causal
from backend.decoders.eviction import Selection, importance_gain, logarithms, selection
from backend.decoders.schedules import block_problems
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.models.base import Cache
    from backend.shapes import Float
    from backend.world import Asking, Decoding, World

@dataclass(frozen=True)
class Settings:
    """FOCUS's settings."""

    mode: str = option("probe", "choice", "How evicted tokens are treated: computed but not written (probe), or left out of the pass (faithful).",
                       choices=("probe", "faithful"), title="Mode")
    alpha: float = option(1.5, "float", "How many tokens are kept per token written so far in a step. Very large evicts nothing.",
                          low=1.0, high=1000.0, step=0.1, title="Expansion α")
    threshold: float = option(0.9, "float", "Confidence from which a kept token is written.", low=0.0, high=1.0, step=0.01, title="Threshold")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length.", low=1, high="length",
                                      auto="32, or the length where 32 does not divide it", title="Block length")
    pool: int = option(3, "int", "Width of the pooling over neighbours in the list of masked tokens; odd.", low=1, high=5, step=2, title="Pooling")


@dataclass
class _Block:
    """What a block remembers from step to step."""

    writes: list[int] = field(default_factory=list)
    progress: int = -1
    unfrozen: set[int] = field(default_factory=set)
    first: bool = True

    def processed(self, masked: Sequence[int], block: Block) -> list[int]:
        """Return the positions that a pass enters: all of the block at first, then what is masked or not frozen."""
        return list(range(*block)) if self.first else sorted({*masked, *self.unfrozen})

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
    title = "FOCUS: compute only what will be decoded"
    source = "arXiv 2601.23278; rule from github.com/sands-lab/FOCUS, probe mode ours"
    mark = "reconstructed"
    needs = frozenset({"bidirectional", "attention"})
    cost = ("As a probe, one forward pass over the whole canvas; faithful, the open and lately written rows of the block, "
            "evicted ones only up to the second layer. The notes say which.")
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

    def wants(self, settings: Settings) -> frozenset[str]:
        """Return what the decoder needs: attention weights as a probe, else a cache and rows that leave a pass."""
        return self.needs if settings.mode == "probe" else frozenset({"bidirectional", "cache", "eviction"})

    def decode(self, world: World) -> Decoding:
        """Fill the blocks in order, evicting and writing step by step."""
        work = _Work()
        if world.settings.mode == "faithful":
            yield from _faithful(world, work)
            return
        for number, block in enumerate(world.blocks):
            memory = _Block()
            while world.masked_in(block):
                view, output = yield from world.predict(attentions=True)
                places = world.masked_in(block)
                found = _Found(world, block, number, memory, places)
                found.choose(*(logarithms(layer[0][:, places][:, :, places]) for layer in output.attentions[:2]))
                yield world.step(_choice(world, view, found, work))


class _Found:
    """What one step found out about the masked tokens of its block, ``places``."""

    def __init__(self, world: World, block: Block, number: int, memory: _Block, places: tuple[int, ...]) -> None:
        self.block, self.number, self.memory, self.places = block, number, memory, places
        self._settings = world.settings
        written = set(memory.processed(places, block)) - set(places)
        self.standing = max((at - block[0] for at in written), default=-1)
        """The rightmost written place that is computed."""
        self.gains: list[float] = []
        self.picked: Selection | None = None

    def choose(self, *layers: Float["H n n"]) -> None:
        """Take the scores of the masked tokens for one another at the first two layers, and decide who stays."""
        self.gains = importance_gain(layers, self._settings.pool)
        places = [place - self.block[0] for place in self.places]
        self.picked = selection(places, self.gains, self.memory.pace, self._settings.alpha, self.memory.progress, self.standing)

    @property
    def kept(self) -> tuple[int, ...]:
        """The masked positions that stay."""
        return tuple(self.places[at] for at in sorted(self.picked.kept))


def _faithful(world: World, work: _Work) -> Decoding:
    """Fill the blocks with passes that lose their evicted rows on the way."""
    cache, ages = None, ()
    if world.layout.prompt_length:
        cache = yield from _settled(world, (0, world.layout.prompt_length), None)
        ages = aged((), range(world.layout.prompt_length), len(world.canvas))
    for number, block in enumerate(world.blocks):
        memory = _Block()
        while world.masked_in(block):
            found = _Found(world, block, number, memory, world.masked_in(block))
            rows = memory.processed(found.places, block)
            canvas, wanted = world.whole(found.places)
            output = yield from world.forward(
                canvas[:, : block[1]], wanted[:, : block[1]], compute=tuple(rows), cache=cache, keep_cache=True,
                evict=_staying(found, rows),
            )
            cache, ages = output.cache, aged(ages, output.kept, len(world.canvas))
            view = world.look(output.logits, found.kept)
            yield world.step(_choice(world, view, found, work), ages)
        if any(at >= block[1] for at in world.masked):
            cache = yield from _settled(world, block, cache)
            ages = aged(ages, range(*block), len(world.canvas))


def _staying(found: _Found, rows: Sequence[int]) -> Callable[..., list[int]]:
    """Return how a pass over ``rows`` asks who stays: the masked tokens that are kept, and every written one."""

    def choose(*layers: Float["H R R"]) -> list[int]:
        masked = [rows.index(place) for place in found.places]
        found.choose(*(layer[:, masked][:, :, masked] for layer in layers))
        gone = {*found.places} - {*found.kept}
        return [at for at, row in enumerate(rows) if row not in gone]

    return choose


def _settled(world: World, block: Block, cache: Cache | None) -> Asking:
    """Ask for the pass that computes rows which will not change any more; return the cache.

    The prompt is seen as its own blocks are when it is a part of the answer: up to the end of each.
    """
    canvas, wanted = world.whole(())
    canvas, wanted = canvas[:, : block[1]], wanted[:, : block[1]]
    allowed = None
    if block[0] == 0 and world.layout.prompt_length:
        width = world.blocks[0][1] - world.blocks[0][0]
        allowed = block_causal(tuple((at - block[1]) // width for at in range(block[1])), 1)
    output = yield from world.forward(canvas, wanted, compute=tuple(range(*block)), cache=cache, keep_cache=True, allowed=allowed)
    return output.cache


def _choice(world: World, view: View, found: _Found, work: _Work) -> Choice:
    """Return the writes among the kept tokens, and enter the step in the statistics."""
    picked, memory, threshold = found.picked, found.memory, world.settings.threshold
    kept = [view.positions.index(place) for place in found.kept]
    ordered = most_probable(view, kept, view.probs)
    chosen = [at for at in ordered if view.probs[at] >= threshold] or ordered[:1]
    evicted = tuple(place for place in found.places if place not in set(found.kept))
    notes = {
        "block": found.number, "selected": tuple(found.places[at] for at in sorted(picked.selected)),
        "kept": found.kept, "evicted": evicted, "budget": picked.budget, "above_line": picked.above, "pace": memory.pace,
    }
    if world.settings.mode == "probe":  # only a probe knows what the evicted ones would have said
        notes["would_have_been_written"] = sum(view.probs[view.positions.index(place)] >= threshold for place in evicted)
    processed = _count(world, found, work, {view.positions[at] for at in chosen})
    memory.writes.append(len(chosen))
    work.written += len(chosen)
    gains = dict(zip(found.places, found.gains, strict=True))
    return Choice(
        writes_of(view, chosen, view.tokens, view.probs),
        why=f"{len(kept)} of {len(found.places)} masked tokens kept, {len(evicted)} evicted; {len(chosen)} of the kept written.",
        notes=notes | {
            "computed_positions": processed, "compute_saved": 1 - work.focused / work.plain,
            "processed_per_token": work.processed / work.written,
        },
        scores={"focus_delta": tuple(gains.get(place) for place in view.positions)},
    )


def _count(world: World, found: _Found, work: _Work, chosen: set[int]) -> int:
    """Enter the rows that the method computes in this step; return those that pass through all layers.

    Two layers see every token processed, the others the kept ones and those written. A written token is
    processed until it and its right neighbour had both been written before a step.
    """
    block, memory = found.block, found.memory
    size, layers, early = block[1] - block[0], world.n_layers, min(2, world.n_layers)
    shallow = len(memory.processed(found.places, block))
    deep = shallow - len(found.places) + len(found.kept)
    work.focused += early * shallow + (layers - early) * deep
    work.plain += layers * size
    work.processed += deep
    written = set(range(*block)) - set(found.places)
    frozen = {at for at in written if at + 1 in written or at + 1 == block[1]}
    memory.unfrozen = (written | chosen) - frozen
    memory.progress = max(memory.progress, max(found.kept) - block[0], found.standing)
    memory.first = False
    return deep
