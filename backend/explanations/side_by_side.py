"""Passes of one explanation side by side: on a processor, a core each beats all cores in one product.

The matrices of a small model are too small to be worth sharing out: two passes on one core each took 0.8
of the time of the same two on both cores, one after the other (``benchmarks/explain.py`` measures it).
Every explanation has threads of its own, so one whose pass hangs keeps nothing from the others.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar
from typing import TypeVar

import torch

ROWS_EACH = 512
"""Rows [positions times points] below which a pass is not worth a core of its own."""

Part = TypeVar("Part")
Found = TypeVar("Found")

_cores: ContextVar[int] = ContextVar("cores", default=0)


def use_cores(count: int) -> None:
    """Let passes side by side take ``count`` cores in this thread, however few torch gives to its products, and never more."""
    _cores.set(count)
    if torch.get_num_threads() > count:
        torch.set_num_threads(count)


def places(rows: int, device: torch.device) -> int:
    """Return how many passes run side by side when all of them together may hold so many rows."""
    return max(1, min(_given(), rows // ROWS_EACH)) if device.type == "cpu" else 1


def _given() -> int:
    """Return the cores that passes side by side may take."""
    return _cores.get() or torch.get_num_threads()


def side_by_side(work: Callable[[Part], Found], parts: Iterable[Part], count: int) -> Iterator[Found]:
    """Yield the work on every part, in their order, ``count`` of them under way at a time.

    What ``work`` raises is raised here. Closing the iterator begins nothing more and waits for what is under way.
    """
    if count == 1:
        yield from map(work, parts)
        return
    under_way: deque[Future[Found]] = deque()
    asked = _begun(work, count, max(1, _given() // count))
    try:
        for part in parts:
            under_way.append(Future())
            asked.put((part, under_way[-1]))
            if len(under_way) == count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
        for _ in range(count):
            asked.put(None)
        wait(under_way)


def _begun(work: Callable[[Part], Found], count: int, threads: int) -> queue.SimpleQueue[tuple[Part, Future[Found]] | None]:
    """Begin ``count`` threads that compute on ``threads`` cores each what is put into the queue, until they are told ``None``.

    A thread that sets its number of cores sets that of every thread that has yet to begin computing, too; so all
    of these are begun before the number is put back.
    """
    asked: queue.SimpleQueue[tuple[Part, Future[Found]] | None] = queue.SimpleQueue()
    before = torch.get_num_threads()
    begun = threading.Barrier(count + 1)

    def serve() -> None:
        torch.set_num_threads(threads)
        torch.get_num_threads()  # a thread's first look takes over what was set last anywhere: now, not after the number is put back
        try:
            begun.wait()
        except threading.BrokenBarrierError:  # another one could not be started
            return
        while (order := asked.get()) is not None:
            part, future = order
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(part))
                except BaseException as error:  # whatever it is, the thread that asked is told
                    future.set_exception(error)

    try:
        for _ in range(count):
            threading.Thread(target=serve, name="unmask-explain-part", daemon=True).start()
        begun.wait()
    except BaseException:
        begun.abort()
        raise
    finally:
        torch.set_num_threads(before)
    return asked
