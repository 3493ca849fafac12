"""What decoders with a key/value cache share: the age of every row, block-causal attention, prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from backend.errors import Problem

if TYPE_CHECKING:
    from backend.decoders.base import Block, Choice, Layout, View
    from backend.models.base import Cache
    from backend.shapes import Bool
    from backend.world import Asking, Decoding, World

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
    """Tell whether a block holds a token that ends an answer."""
    return not world.stop_ids.isdisjoint(world.canvas[block[0] : block[1]])


class CausalPrefix:
    """The cache of left-to-right decoding: every position is computed once, when it has its token.

    Holds one sequence per row of the last pass; ``keep`` chooses which rows go on.
    """

    def __init__(self) -> None:
        self._cache: Cache | None = None

    def predict(self, world: World, canvases: list[tuple[int, ...]], place: int, **choices: bool) -> Asking:
        """Ask for the predictions of ``place`` after each canvas (none beyond its end); return the output.

        The rows that the cache lacks are computed: those from its end up to ``place``.
        """
        import torch

        held = 0 if self._cache is None else self._cache.length
        ids = torch.tensor([canvas[: place + 1] for canvas in canvases])
        wanted = torch.zeros_like(ids, dtype=torch.bool)
        wanted[:, place:] = True
        output = yield from world.forward(
            ids, wanted, compute=tuple(range(held, place)), cache=self._cache, keep_cache=True, **choices
        )
        self._cache = output.cache
        return output

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows of the last pass, in this order, repeated where named twice."""
        self._cache = self._cache.of(rows)


def one_by_one(world: World, pick: Callable[[View], Choice]) -> Decoding:
    """Decode a causal model from left to right, one choice per pass, until the text has ended."""
    prefix = CausalPrefix()
    while world.masked:
        place = world.masked[0]
        output = yield from prefix.predict(world, [world.canvas], place)
        choice = pick(world.look(output.logits, (place,)))
        yield world.step(choice)
        if choice.writes[0][1] in world.stop_ids:
            return


def prompt_problems(layout: Layout) -> list[Problem]:
    """Return what is wrong with an empty prompt for a model that continues text."""
    if layout.prompt_length:
        return []
    return [Problem("prompt", "It is empty, and a causal model needs at least one token to continue; give a prompt.")]
