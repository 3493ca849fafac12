"""Passes of one explanation side by side: on a processor, a core each beats all cores in one product.

The matrices of a small model are too small to be worth sharing out: two passes on one core each took 0.8
of the time of the same two on both cores, one after the other (``benchmarks/explain.py`` measures it).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

ROWS_EACH = 512
"""Rows [positions times points] below which a pass is not worth a core of its own."""

Part = TypeVar("Part")
Found = TypeVar("Found")


def places(rows: int, device: torch.device) -> int:
    """Return how many passes run side by side when all of them together may hold so many rows."""
    return max(1, min(torch.get_num_threads(), rows // ROWS_EACH)) if device.type == "cpu" else 1


def side_by_side(work: Callable[[Part], Found], parts: Iterable[Part], count: int) -> Iterator[Found]:
    """Yield the work on every part, in their order, ``count`` of them under way at a time.

    What ``work`` raises is raised here. Closing the iterator begins nothing more and waits for what is under way.
    """
    if count == 1:
        yield from map(work, parts)
        return
    under_way: deque[Future[Found]] = deque()
    workers = _workers(count, max(1, torch.get_num_threads() // count))
    try:
        for part in parts:
            under_way.append(workers.submit(work, part))
            if len(under_way) == count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
        wait(under_way)


@cache
def _workers(count: int, threads: int) -> ThreadPoolExecutor:
    """Return ``count`` lasting threads that compute on ``threads`` cores each.

    A thread that sets its number of cores sets that of every thread that has yet to begin computing, too; so all
    of these are begun at once, and the number is put back.
    """
    before = torch.get_num_threads()
    begun = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(threads)
        begun.wait()

    workers = ThreadPoolExecutor(count, "explain")
    for _ in range(count):
        workers.submit(begin)
    begun.wait()
    torch.set_num_threads(before)
    return workers
