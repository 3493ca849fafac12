"""One run as its visitor sees it: its events so far, its place in the queue, a way to stop it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from backend.events import End, Event, RunRequest
from backend.holding import Breakpoint, Standing

QUEUE_TICK_S = 0.5
"""How often a waiting visitor hears about the queue."""


class Owner(Protocol):
    """What a handle asks of the engine that runs it."""

    def cancel(self, handle: RunHandle) -> None:
        """Ask for a run to end before its next forward pass."""

    def ahead_of(self, handle: RunHandle) -> int:
        """Return how many queued runs come before this one; 0 once it runs."""

    def wish(self, handle: RunHandle, what: str) -> None:
        """Ask for a run to pause before its next pass, to go on, or to make one step (``holding.WISHES``)."""

    def wait_of(self, handle: RunHandle) -> float | None:
        """Return the seconds until this run begins, as far as they can be told."""


class RunHandle:
    """A run of an engine; the owner thread pushes, any number of visitors read."""

    def __init__(
        self, engine: Owner, model_name: str, request: RunRequest, clock: Callable[[], float] = time.monotonic, group: str = "",
        visitor: str = "", kept: bool = True,
    ) -> None:
        self.id = secrets.token_hex(16)
        self.group = group or self.id
        self.visitor = visitor or f"nobody {self.group}"  # a name that no request can have
        self.kept = kept
        self.admitted_at: float | None = None
        """When it got its place, by the engine's clock."""
        self.model_name = model_name
        self.request = request
        self.cancelled = False
        self._engine, self._clock = engine, clock
        self._events: list[Event] = []
        self._times: list[float] = []
        self._changed = threading.Condition()
        self._read_at = clock()
        self.breaks: tuple[Breakpoint, ...] = ()
        """After which steps it pauses; may be set anew while it runs."""
        self.feed: object = None
        """Whoever reads the run for a page now; the last to take it has it."""
        self.standing: Standing | None = None
        """What was last said of the run's pauses; None while there was none."""

    @property
    def ahead(self) -> int:
        """How many runs wait before this one; 0 once it runs."""
        return self._engine.ahead_of(self)

    @property
    def wait_s(self) -> float | None:
        """About how many seconds it will wait; None where that cannot be told yet."""
        return self._engine.wait_of(self)

    @property
    def events_so_far(self) -> tuple[Event, ...]:
        """The events up to now; asking for them counts as reading."""
        self.touch()
        return self.recorded

    @property
    def recorded(self) -> tuple[Event, ...]:
        """The events up to now, for the engine's own use."""
        with self._changed:
            return tuple(self._events)

    @property
    def times(self) -> tuple[float, ...]:
        """When each event was made, seconds since the epoch."""
        with self._changed:
            return tuple(self._times)

    @property
    def ended(self) -> bool:
        """Whether the last event is there."""
        with self._changed:
            return self._over()

    @property
    def unread_s(self) -> float:
        """Seconds since somebody asked for events."""
        return self._clock() - self._read_at

    def touch(self) -> None:
        """Note that somebody reads the run, or begins to be awaited."""
        self._read_at = self._clock()

    def wait(self, seconds: float) -> bool:
        """Wait until the run is over, ``seconds`` at most; return whether it is."""
        self.touch()
        with self._changed:
            return self._changed.wait_for(self._over, seconds)

    def cancel(self) -> None:
        """End the run before its next forward pass; nothing happens to one that is over."""
        self._engine.cancel(self)

    def wish(self, what: str) -> None:
        """Ask for one of ``holding.WISHES``; nothing happens to a run that has not begun, or is over."""
        self._engine.wish(self, what)

    def batches(self, every_s: float = 0.05) -> Iterator[tuple[Event, ...]]:
        """Yield the events in batches at least ``every_s`` apart, up to the ``End``.

        An empty batch comes twice a second while nothing happens (the run waits in the queue, or is
        paused), and at once when a pause begins or ends.
        """
        sent, ready_at, told = 0, 0.0, None
        while True:
            self.touch()
            with self._changed:
                self._changed.wait_for(lambda: len(self._events) > sent or self.standing is not told, QUEUE_TICK_S)
                told = self.standing
                # What comes within the interval travels together: fewer, fuller messages.
                self._changed.wait_for(self._over, max(0.0, ready_at - time.monotonic()))
                batch = tuple(self._events[sent:])
                sent += len(batch)
                over = self._over()
            ready_at = time.monotonic() + every_s
            yield batch
            if over:
                return

    def push(self, event: Event) -> None:
        """Add an event (owner thread only)."""
        with self._changed:
            self._events.append(event)
            self._times.append(time.time())
            self._changed.notify_all()

    def stand(self, standing: Standing) -> None:
        """Say that the run pauses or goes on (owner thread only)."""
        with self._changed:
            self.standing = standing
            self._changed.notify_all()

    def _over(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1], End)
