"""Noise keyed by (seed, stream, step, position): the same place always gets the same draw.

A counter-based generator (Philox 4x64) is read at an address instead of being advanced, so a run
that is branched, resumed or batched with others sees exactly the noise of the run it came from, on
any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

TOKENS, ORDER, RESIDUAL = 0, 1, 2
"""Streams: draws for the choice of a token, of a position, and of a token that replaces a refused one."""

BRANCHES = 16
"""The streams from here on belong to the branches of a search; the first branch keeps ``TOKENS``."""


def branch_stream(number: int) -> int:
    """Return the stream of a search's branch ``number``; branch 0 draws what a run without search draws."""
    return TOKENS if number == 0 else BRANCHES + number


class Noise(Protocol):
    """A source of uniform draws by place; the tests replay recorded draws through it."""

    def uniform(self, stream: int, step: int, position: int, size: int) -> np.ndarray:
        """Return ``size`` float64 draws from the open interval (0, 1)."""


class KeyedNoise:
    """Uniform draws by seed and place."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sources: dict[int, tuple[np.random.Generator, dict]] = {}

    def uniform(self, stream: int, step: int, position: int, size: int) -> np.ndarray:
        """Return ``size`` float64 draws from the open interval (0, 1) for this place."""
        if stream not in self._sources:
            source = np.random.Generator(np.random.Philox(key=[self._seed, stream], counter=0))
            self._sources[stream] = (source, source.bit_generator.state)
        # The generator is moved to the address: making a new one costs several times the draws.
        source, state = self._sources[stream]
        state["state"]["counter"] = np.array((0, 0, position, step), dtype=np.uint64)
        source.bit_generator.state = state
        return np.maximum(source.random(size), np.finfo(np.float64).tiny)


def gumbel(
    noise: Noise, step: int, positions: Sequence[int], vocab_size: int, stream: int = TOKENS
) -> np.ndarray:
    """Return standard Gumbel noise [M, V] for the choice of a token at each position."""
    rows = [noise.uniform(stream, step, position, vocab_size) for position in positions]
    return -np.log(-np.log(np.stack(rows)))


def ranks(noise: Noise, step: int, positions: Sequence[int]) -> list[float]:
    """Return one uniform draw per position, for choosing positions at random."""
    return [float(noise.uniform(ORDER, step, position, 1)[0]) for position in positions]
