"""Runs on their way to the page: what is new of each, as the carrier's messages hold it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from backend.engine import RunHandle
from backend.events import Event
from components import wire

EVERY_S = 0.05
"""Time between two messages to the browser: below it nobody sees a difference."""

QUIET_S = 0.5
"""Time without news after which an empty message says that the line is alive."""


class Feed:
    """One run on its way to the page: what of it has been sent."""

    def __init__(self, handle: RunHandle, lane: int) -> None:
        self.handle, self._lane, self._sent, self._told = handle, lane, 0, None
        self._encoder = wire.Encoder(handle.id, lane)
        handle.feed = self  # whatever fed the run before ends by that

    def encoded(self, batch: Sequence[Event]) -> list[dict[str, Any]]:
        """Return the next events on the wire; instead of none the place in the queue, if there is one."""
        return [*self._events(batch), *self._pause()]

    def _events(self, batch: Sequence[Event]) -> list[dict[str, Any]]:
        if not batch:
            return [wire.queue(self.handle.ahead, self._lane, self.handle.wait_s)] if self.handle.ahead else []
        created = self.handle.times[self._sent : self._sent + len(batch)]
        self._sent += len(batch)
        return self._encoder.encode(batch, created)

    def _pause(self) -> list[dict[str, Any]]:
        told, self._told = self._told, self.handle.standing
        return [] if self._told is told else [wire.pause(self._told, self._lane)]

    def fresh(self) -> list[dict[str, Any]]:
        """Return what has happened since the last call."""
        return self.encoded(self.handle.events_so_far[self._sent :])


def together(feeds: Sequence[Feed]) -> Iterator[list[dict[str, Any]]]:
    """Yield what is new in all lanes, ``EVERY_S`` apart, until every run is over.

    An empty list comes twice a second while nothing happens: it says that the line is alive.
    """
    if len(feeds) == 1:
        yield from map(feeds[0].encoded, feeds[0].handle.batches(every_s=EVERY_S))
        return
    told, over = time.monotonic(), False
    while not over:
        over = all(feed.handle.ended for feed in feeds)  # asked first: what came before it is then sent
        new = [event for feed in feeds for event in feed.fresh()]
        if new or time.monotonic() - told > QUIET_S:
            told = time.monotonic()
            yield new
        if not over:
            time.sleep(EVERY_S)
