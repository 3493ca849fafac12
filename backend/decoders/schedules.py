"""How many tokens each pass writes, for the decoders that fix it in advance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.decoders.base import Block, Layout, View
from backend.errors import Problem


def even_schedule(masks: int, steps: int) -> tuple[int, ...]:
    """Return how many tokens each of ``steps`` passes writes; the surplus goes to the first.

    Source: LLaDA ``get_num_transfer_tokens``: 7 masks in 3 steps are (3, 2, 2).
    """
    share, surplus = divmod(masks, steps)
    return tuple(share + (step < surplus) for step in range(steps))


def linear_schedule(masks: int, steps: int) -> tuple[int, ...]:
    """Return how many tokens each pass writes on dLLM's linear schedule, passes that write none left out.

    Going from time t to s, round(masks left x (1 - s / t)) are written, halves to even. The reference
    computes the probability through 1 - (1 - t) in float32, and in about three of ten small cases
    that decides the rounding: 4 masks in 3 steps are (1, 1, 2) there and (1, 2, 1) in exact
    arithmetic. It is reproduced here on purpose.

    Source: dLLM ``core/samplers/utils.py`` and ``core/schedulers/alpha.py`` at ca176752.
    """
    counts, one = [], np.float32(1)
    for left in range(steps, 0, -1):
        later, now = (one - (one - np.float32(step / steps)) for step in (left - 1, left))
        count = min(round(masks * float(one - later / now)), masks)
        counts.append(count)
        masks -= count
    return tuple(count for count in counts if count)


def block_problems(layout: Layout, block_length: int | None, steps: int | None) -> list[Problem]:
    """Return what is wrong with blocks that do not divide the length, or with too few steps.

    Each block gets ``steps // blocks`` passes, so that must be at least 1.
    """
    length = layout.length
    size = block_length or length
    if length % size:
        fits = [value for value in range(1, length + 1) if length % value == 0]
        nearest = sorted(sorted(fits, key=lambda value: abs(value - size))[:2])
        return [Problem("settings.block_length", f"{size} does not divide the length {length}; "
                        f"the nearest that do are {' and '.join(map(str, nearest))}.")]
    count = length // size
    if steps is not None and steps // count == 0:
        return [Problem("settings.steps", f"{steps} steps leave none for some of the {count} blocks; "
                        f"give {count} or more, or a block_length of {length // steps} or more.")]
    return []


def steps_per_block(steps: int | None, blocks: int, length: int) -> int:
    """Return the passes that each block gets; missing steps mean one per response position."""
    return (length if steps is None else steps) // blocks


@dataclass(frozen=True)
class Progress:
    """The block being filled, its schedule, and how many of its passes have run."""

    block: int
    schedule: tuple[int, ...]
    done: int


    @property
    def quota(self) -> int:
        """The number that the schedule gives to this pass."""
        return self.schedule[self.done]

    @property
    def next(self) -> Progress:
        """The progress after this pass."""
        return Progress(self.block, self.schedule, self.done + 1)


def advanced(
    view: View, blocks: tuple[Block, ...], steps: int | None, state: Progress | None
) -> Progress:
    """Return the progress at this pass: the same block, or the next one that holds a mask."""
    active = active_block(view, blocks)
    if state is not None and state.block == active:
        return state
    passes = steps_per_block(steps, len(blocks), view.layout.length)
    return Progress(active, even_schedule(len(view.within(blocks[active])), passes), 0)


def active_block(view: View, blocks: tuple[Block, ...]) -> int:
    """Return the number of the first block that holds a mask."""
    return next(at for at, block in enumerate(blocks) if view.within(block))
