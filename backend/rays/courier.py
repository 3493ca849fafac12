"""The owner thread of an engine whose passes are made elsewhere: it sends runs out and hands their events on.

Every run has a line to a replica and a thread that reads it. The replica may be ahead of the reader: a run that
stands paused keeps what comes meanwhile, and gives it out step by step once it goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from backend.errors import AppError
from backend.events import End, Event, RunRequest
from backend.rays.resume import Lost, ended_here, resumed
from backend.settings import Settings
from backend.waiting import Item
from backend.worker import FAILED, Employer, Room, Worker

log = logging.getLogger(__name__)

TICK_S = 0.02
"""How long the courier waits for an event before it looks for new runs and cancels."""


class Line(Protocol):
    """One run on one replica: its events, and a way to end it there."""

    def __iter__(self) -> Iterator[Event]:
        """Yield the events; raises ``Lost`` when the replica is gone, ``AppError`` for a refusal."""

    def close(self) -> None:
        """End the run before its next pass; may be called from any thread, and twice."""


Ask = Callable[[str, RunRequest], Line]
"""Begins a run of the model of this name."""

Stops = Callable[[str, Event], bool]


class Courier(Worker):
    """A ``Worker`` that computes nothing: ``ask`` begins runs elsewhere."""

    def __init__(self, engine: Employer, settings: Settings, rooms: Mapping[str, Room] | None = None, *, ask: Ask) -> None:
        self._lines = Lines(ask, engine.pauses.stops)
        super().__init__(engine, settings, rooms)

    def _begin(self, admitted: list[Item]) -> None:
        for handle, (model, plan) in admitted:
            self.rooms.setdefault(handle.model_name, Room(self._lines, 0))
            self._engine.pauses.begin(handle)
            self._lines.join(handle.id, handle.model_name, plan.request, model.decode)

    def _take_turns(self) -> None:
        self._engine.deliver(self, self._lines.turn())


class Lines:
    """The runs under way elsewhere; to the owner thread what ``Lanes`` are. Used by that thread alone."""

    def __init__(self, ask: Ask, stops: Stops) -> None:
        self._ask, self._stops = ask, stops
        self._runs: dict[str, _Run] = {}
        self._arrived: queue.SimpleQueue[tuple[_Run, Event | AppError]] = queue.SimpleQueue()

    def join(self, key: str, model_name: str, request: RunRequest, decode: Callable[[tuple[int, ...]], str]) -> None:
        """Begin a run; ``decode`` turns ids into text, for an end that is made here."""
        run = self._runs[key] = _Run(key, lambda: self._ask(model_name, request), decode, self._arrived)
        run.thread.start()

    def turn(self) -> Iterator[tuple[str, Event]]:
        """Wait a moment for events and yield those of the runs that go on."""
        wait_s = TICK_S if any(not run.standing for run in self._runs.values()) else 0.0
        for run, event in self._arrivals(wait_s):
            if self._runs.get(run.key) is not run:
                continue  # it was ended here
            run.held.append(event)
            if not run.standing:
                yield from self._told(run)

    def _arrivals(self, wait_s: float) -> Iterator[tuple[_Run, Event | AppError]]:
        """Yield what is there, waiting for the first of it."""
        try:
            yield self._arrived.get(timeout=wait_s) if wait_s else self._arrived.get_nowait()
            for _ in range(self._arrived.qsize()):  # no more than is there now: others want to be looked at, too
                yield self._arrived.get_nowait()
        except queue.Empty:
            return

    def cancel(self, key: str, why: str = "") -> list[tuple[str, Event]]:
        """End a run now and return its last event; nothing for a run that is over."""
        run = self._runs.pop(key, None)
        if run is None:
            return []
        run.close()
        return [(key, ended_here(run.told, run.decode, "cancelled", why))]

    def stand(self, key: str) -> bool:
        """Let a run stand after its last step; return whether there was one."""
        if key not in self._runs:
            return False
        self._runs[key].standing = True
        return True

    def release(self, key: str) -> list[tuple[str, Event]]:
        """Let a standing run go on; return what it kept meanwhile, up to where it is to stand again."""
        self._runs[key].standing = False
        return [*self._told(self._runs[key])]

    def close(self) -> None:
        """End all runs without events."""
        for run in self._runs.values():
            run.close()
        self._runs.clear()

    def _told(self, run: _Run) -> Iterator[tuple[str, Event]]:
        while run.held and not run.standing:
            event = run.held.popleft()
            if isinstance(event, AppError):
                event = ended_here(run.told, run.decode, "error", str(event))
            run.told.append(event)
            if isinstance(event, End):
                del self._runs[run.key]
            run.standing = self._stops(run.key, event)
            yield run.key, event


class _Closed(Exception):
    """Nobody reads this run any more."""


class _Run:
    """One run: the line that it has now, the thread that reads it, what is told and what is held back."""

    def __init__(self, key: str, ask: Callable[[], Line], decode: Callable[[tuple[int, ...]], str], arrived: Any) -> None:
        self.key, self.decode, self.standing = key, decode, False
        self.told: list[Event] = []
        self.held: deque[Event | AppError] = deque()
        self._ask, self._arrived = ask, arrived
        self._line: Line | None = None
        self._closed, self._lock = False, threading.Lock()
        self.thread = threading.Thread(target=self._read, name="unmask-line", daemon=True)

    def close(self) -> None:
        """End the run where it is computed; nobody reads it any more."""
        with self._lock:
            self._closed, line = True, self._line
        if line is not None:
            line.close()

    def _again(self) -> Iterator[Event]:
        """Yield the events of a new line; raises ``_Closed`` instead of breaking where the line was closed here."""
        if self._closed:
            raise _Closed
        line = self._ask()
        with self._lock:
            self._line, closed = line, self._closed
        if closed:
            line.close()
        try:
            yield from line
        except Lost:
            if not self._closed:
                raise
        if self._closed:
            raise _Closed

    def _read(self) -> None:
        try:
            for event in resumed(self._again):
                self._arrived.put((self, event))
        except _Closed:
            return
        except AppError as error:
            self._arrived.put((self, error))
        except Exception:
            log.exception("The line of a run failed.")
            self._arrived.put((self, AppError(FAILED)))
        finally:
            self.close()  # a replica whose run is another one would go on with it; nothing happens to a line that is over
