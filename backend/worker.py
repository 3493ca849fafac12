"""The thread that does every forward pass of an engine, and who looks whether a pass comes back.

A thread cannot be ended from outside. One that a model keeps longer than a pass may take is left behind:
its runs end with a sentence, another thread goes on with the runs of the other models, and should the old
one ever come back, it finds that nobody listens to it and ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from backend.events import End, Event, Totals
from backend.handle import RunHandle
from backend.holding import Pauses
from backend.settings import Settings
from backend.waiting import Item

if TYPE_CHECKING:
    from backend.models.base import Model

log = logging.getLogger(__name__)

ONE_THREAD_BELOW = 200_000_000
"""Parameters below which a forward pass is faster on one CPU thread than on several."""

NOTHING = Totals(0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0)
"""The counts of a run that did not come to its first pass, or failed outside its own loop."""

LOOK_S = 1.0
"""How often the watch looks at the thread at work, at most."""

FAILED = "The run failed inside the program; what it had written is kept."


@dataclass(frozen=True)
class Orders:
    """What a worker does next, before it gives every model a turn."""

    unloaded: set[str]
    ended: Mapping[str, str]
    """Runs to end, and why in words (none where a person asked for it)."""
    admitted: list[Item]
    released: list[RunHandle]
    """Runs that stood paused and go on."""


class Employer(Protocol):
    """What a worker asks of its engine."""

    pauses: Pauses
    """Which runs stand."""

    def orders(self, worker: Worker) -> Orders | None:
        """Wait until there is something to do; None when the worker is to end."""

    def deliver(self, worker: Worker, pairs: Iterable[tuple[str, Event]]) -> None:
        """Give events to their runs."""

    def fail(self, worker: Worker, message: str) -> None:
        """End every run with an error."""


@dataclass(frozen=True)
class Room:
    """The runs of one model under way, and the threads that its passes take."""

    lanes: Any
    threads: int


class Worker:
    """One thread; ``rooms`` are the runs that it goes on with."""

    def __init__(self, engine: Employer, settings: Settings, rooms: Mapping[str, Room] | None = None) -> None:
        self._engine, self._settings = engine, settings
        self.rooms: dict[str, Room] = dict(rooms or {})
        self.left = False
        """Whether it was left behind; set under the engine's lock."""
        self._busy: tuple[str, float] | None = None
        self.thread = threading.Thread(target=self._work, name="unmask-owner", daemon=True)
        self.thread.start()

    @property
    def busy(self) -> tuple[str, float] | None:
        """The model that computes, and for how many seconds its pass has gone on; None when none does."""
        at = self._busy
        return None if at is None else (at[0], time.monotonic() - at[1])

    def stand(self, name: str, run_id: str) -> bool:
        """Let a run stand before its next pass; return whether it waited for one."""
        return self.rooms[name].lanes.stand(run_id)

    def _work(self) -> None:
        """Run until told to end: begin, end, and give every model's lanes a turn."""
        while (orders := self._engine.orders(self)) is not None:
            for name in orders.unloaded:
                self.rooms.pop(name, None)
            try:
                for handle in orders.released:
                    self._engine.deliver(self, self.rooms[handle.model_name].lanes.release(handle.id))
                self._begin(orders.admitted)
                self._end(orders.ended)
                self._take_turns()
            except BaseException:  # an exit, too, that a model asks for: nobody else decodes
                log.exception("The owner thread met a failure; the runs it held are ended.")
                self._fail()
            finally:
                self._busy = None

    def _begin(self, admitted: list[Item]) -> None:
        if not admitted:
            return
        from backend.runner import Lanes, Limits, decoding

        limits = Limits(self._settings.passes_max, self._settings.run_time_s)
        for handle, (model, plan) in admitted:
            name = handle.model_name
            if name not in self.rooms:
                self.rooms[name] = Room(Lanes(model, self._engine.pauses.stops), self._threads_for(model))
            watch = self._engine.pauses.begin(handle)
            joined = self.rooms[name].lanes.join(handle.id, decoding(model, plan, limits, clock=watch))
            self._engine.deliver(self, joined)

    def _end(self, ended: Mapping[str, str]) -> None:
        for room in self.rooms.values():
            for run_id, why in ended.items():
                self._engine.deliver(self, room.lanes.cancel(run_id, why))

    def _take_turns(self) -> None:
        for name, room in list(self.rooms.items()):
            if room.lanes.waiting and not self.left:
                _use_threads(room.threads)
                self._engine.deliver(self, self._timed(name, room.lanes.turn(lambda name=name: self._begins(name))))

    def _begins(self, name: str) -> None:
        self._busy = (name, time.monotonic())

    def _timed(self, name: str, events: Iterator[tuple[str, Event]]) -> Iterator[tuple[str, Event]]:
        """Yield the events, noting when the work on each began: a pass, or what its run makes of it."""
        while True:
            self._begins(name)
            try:
                pair = next(events)
            except StopIteration:
                return
            finally:
                self._busy = None
            yield pair

    def _fail(self) -> None:
        if self.left:  # the rooms of the other models belong to the thread that goes on
            return
        for room in self.rooms.values():
            room.lanes.close()
        self._engine.fail(self, FAILED)

    def _threads_for(self, model: Model) -> int:
        """Return how many threads a pass of this model takes."""
        from backend.cores import CORES

        small = sum(item.numel() for item in model.parameters()) < ONE_THREAD_BELOW
        return self._settings.threads or (1 if small else CORES)


class Watch:
    """Looks at the worker that ``current`` returns, and calls ``replace`` when its pass takes longer than ``limit_s``."""

    def __init__(self, current: Callable[[], Worker], replace: Callable[[Worker, str], None], limit_s: float) -> None:
        self._current, self._replace, self._limit_s = current, replace, limit_s
        self._over = threading.Event()
        threading.Thread(target=self._look, name="unmask-watch", daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(min(LOOK_S, self._limit_s / 4)):
            worker = self._current()
            busy = worker.busy
            if busy is not None and busy[1] > self._limit_s:
                self._replace(worker, busy[0])


def ended_by(reason: str, message: str) -> End:
    """Return the end of a run from outside its own loop."""
    return End(reason, "", NOTHING, message)


def _use_threads(count: int) -> None:
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
