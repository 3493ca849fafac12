"""The runs that a server remembers: those that go on, and the newest that ended, within two limits."""

from __future__ import annotations

from collections import OrderedDict

from backend.events import Event, Step
from backend.handle import RunHandle

NUMBER_BYTES = 40
"""What a number in a tuple takes in memory: its object and the place that points to it."""

EVENT_BYTES = 2048
"""What an event takes besides its numbers: its objects, names and sentences."""


class KeptRuns:
    """Finds runs by id, and forgets the oldest finished ones beyond a number or a size."""

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size = count, size
        self._runs: OrderedDict[str, RunHandle] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def add(self, handle: RunHandle) -> None:
        """Remember a run that begins."""
        self._runs[handle.id] = handle

    def find(self, run_id: str) -> RunHandle | None:
        """Return a run that is still kept, or None."""
        return self._runs.get(run_id)

    def ended(self, handle: RunHandle, events: tuple[Event, ...]) -> None:
        """Note that a run is over, and forget the oldest such runs; the newest always stays."""
        self._sizes[handle.id] = size_of(events)
        while len(self._sizes) > 1 and (len(self._sizes) > self._count or sum(self._sizes.values()) > self._size):
            oldest = next(iter(self._sizes))
            del self._sizes[oldest], self._runs[oldest]


def size_of(events: tuple[Event, ...]) -> int:
    """Return about how many bytes of memory these events take."""
    return sum(EVENT_BYTES + NUMBER_BYTES * _numbers(event) for event in events)


def _numbers(event: Event) -> int:
    if not isinstance(event, Step):
        return len(getattr(event, "canvas", ()))
    kept = event.candidates
    return (len(event.masked) * (1 + len(event.scores)) + len(event.cache_ages) + 2 * sum(map(len, kept.ids))
            + 3 * len(kept.positions) + 4 * (len(event.writes) + len(event.drafts)))
