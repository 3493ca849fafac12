"""What decoders with a key/value cache share: the age of every row, and block-causal attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.decoders.base import Block
    from backend.models.base import Cache
    from backend.shapes import Bool
    from backend.world import Asking, World

Ages = tuple[int | None, ...]
"""Passes since each canvas row was computed; None = never."""


def aged(ages: Ages, computed: Iterable[int], length: int) -> Ages:
    """Return the ages after a pass that computed these rows of a canvas of ``length``."""
    fresh = set(computed)
    older = (*ages, *[None] * (length - len(ages)))
    return tuple(0 if at in fresh else None if age is None else age + 1 for at, age in enumerate(older))


def block_causal(numbers: tuple[int, ...], batch: int) -> Bool["B L L"]:
    """Return which column each row may see when a position sees its own and earlier blocks.

    ``numbers``: the block number of every canvas position.
    """
    import torch  # here, so that a catalogue does not wait for it

    block = torch.tensor(numbers)
    return (block[None, :] <= block[:, None]).expand(batch, -1, -1)


class BlockPrefix:
    """An exact cache under block-causal attention: finished blocks are computed once and never again.

    The first pass of a block computes its rows and those of the block before, whose last writes the
    cache has not seen; the further passes compute the block alone.
    """

    def __init__(self) -> None:
        self._cache: Cache | None = None
        self._settled = 0
        self.ages: Ages = ()

    def predict(self, world: World, block: Block, numbers: tuple[int, ...], guidance: float = 0.0) -> Asking:
        """Ask for the pass over ``block`` on the canvas up to its end; return its view.

        ``numbers``: the block number of every position before the end.
        """
        end = block[1]
        begin = numbers.index(numbers[block[0]])  # prompt positions that share the block change with it
        entering = self._cache is None or self._cache.length < end
        first = self._settled if entering else begin
        if world.shifted:
            first = max(0, min(first, begin - 1))
        computed = tuple(range(first, end))
        view, output = yield from world.predict(
            guidance=guidance, end=end, among=range(*block), allowed=block_causal(numbers, 2 if guidance else 1),
            compute=computed, cache=self._cache, keep_cache=entering,
        )
        if entering:
            self._cache, self._settled = output.cache, begin
        self.ages = aged(self.ages, computed, len(world.canvas))
        return view


def ends_in(world: World, block: Block) -> bool:
    """Tell whether a block holds an end-of-sequence."""
    return world.eos_id is not None and world.eos_id in world.canvas[block[0] : block[1]]
