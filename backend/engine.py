"""Where runs wait, decode and end: one owner thread does every forward pass.

Visitors' threads only hand in plans and read events. The owner admits runs up to a limit, gives
every running one a pass in turn (runs of one model share it), and honours cancels between passes.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from backend.errors import AppError, BusyError, Problem, RequestError
from backend.events import End, Event, RunRequest, Totals
from backend.models.catalogue import ModelCard
from backend.settings import Settings
from backend.shelf import Shelf

if TYPE_CHECKING:
    from backend.models.base import Model
    from backend.requests import Plan

log = logging.getLogger(__name__)

QUEUE_TICK_S = 0.5
"""How often a waiting visitor hears about the queue."""

ONE_THREAD_BELOW = 200_000_000
"""Parameters below which a forward pass is faster on one CPU thread than on several."""


class RunHandle:
    """One run as its visitor sees it: its events so far, its place in the queue, a way to stop it."""

    def __init__(self, engine: LocalEngine, model_name: str, request: RunRequest, group: str = "") -> None:
        self.id = secrets.token_hex(16)
        self.group = group or self.id
        self.model_name = model_name
        self.request = request
        self.cancelled = False
        self._engine = engine
        self._events: list[Event] = []
        self._times: list[float] = []
        self._changed = threading.Condition()

    @property
    def ahead(self) -> int:
        """How many runs wait before this one; 0 once it runs."""
        return self._engine.ahead_of(self)

    @property
    def events_so_far(self) -> tuple[Event, ...]:
        """The events up to now."""
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

    def wait(self, seconds: float) -> bool:
        """Wait until the run is over, ``seconds`` at most; return whether it is."""
        with self._changed:
            return self._changed.wait_for(self._over, seconds)

    def cancel(self) -> None:
        """End the run before its next forward pass; nothing happens to one that is over."""
        self._engine.cancel(self)

    def batches(self, every_s: float = 0.05) -> Iterator[tuple[Event, ...]]:
        """Yield the events in batches at least ``every_s`` apart, up to the ``End``.

        An empty batch comes twice a second while nothing happens (the run waits in the queue).
        """
        sent, ready_at = 0, 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._events) > sent, QUEUE_TICK_S)
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

    def _over(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1], End)


class Engine(Protocol):
    """What the page needs of any engine."""

    def models(self) -> tuple[ModelCard, ...]:
        """Return the models that a visitor may choose."""

    def submit(self, model_name: str, request: RunRequest) -> RunHandle:
        """Queue a run; raises ``RequestError`` or ``BusyError`` at once."""

    def find(self, run_id: str) -> RunHandle | None:
        """Return a run that is still kept."""


class LocalEngine:
    """The engine of one machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shelf = Shelf(settings)
        self._wake = threading.Condition()
        self._queued: deque[tuple[RunHandle, object]] = deque()
        self._running: dict[str, tuple[RunHandle, object]] = {}
        self._kept: OrderedDict[str, RunHandle] = OrderedDict()
        self._cancels: set[str] = set()
        self._unloaded: set[str] = set()
        self._closed = False
        self._owner = threading.Thread(target=self._work, name="unmask-owner", daemon=True)
        self._owner.start()

    def models(self) -> tuple[ModelCard, ...]:
        """Return the models that a visitor may choose."""
        return self._shelf.cards()

    def ready(self, name: str) -> bool:
        """Tell whether a run of this model would start without loading."""
        return self._shelf.get(name) is not None

    def load(self, name: str) -> object:
        """Return the model of this name, loading it when needed; raises ``ModelError``."""
        return self._shelf.load(name)

    def progress(self, name: str) -> float:
        """Return the share of a loading model's weights that is in place, 0 to 1."""
        return self._shelf.share(name)

    def open(self, source: str) -> ModelCard:
        """Load a folder or hub id and offer it; raises ``ModelError`` or ``BusyError``."""
        return self._shelf.open(source)

    def card(self, name: str) -> str:
        """Return the facts of a loaded model in one line, or nothing."""
        model = self._shelf.get(name)
        if model is None:
            return ""
        from backend.describe import describe

        return describe(model).line().partition(": ")[2]

    def unload(self, name: str) -> None:
        """Free a model's memory; raises ``BusyError`` while runs on it are not over."""
        with self._wake:
            held = [handle for handle, _ in (*self._queued, *self._running.values()) if handle.model_name == name]
            if held:
                raise BusyError(f"{name} cannot be unloaded: runs on it are not over ({len(held)}).",
                                "Wait until they end, or stop them.")
            self._shelf.put_away(name)
            self._unloaded.add(name)
            self._wake.notify_all()

    def problems(self, model_name: str, request: RunRequest) -> tuple[Problem, ...]:
        """Return what of ``request`` does not fit a loaded model."""
        model = self._shelf.get(model_name)
        if model is None:
            return ()
        from backend.requests import prepare

        try:
            prepare(model, request, canvas_max=self._settings.canvas_max)
        except RequestError as error:
            return error.problems
        return ()

    def plan(self, model_name: str, request: RunRequest) -> tuple[Model, Plan]:
        """Return the model, loaded when needed, and the plan of a run on it.

        Raises ``RequestError`` for every wrong field, ``AppError`` for a model that is not offered,
        or ``ModelError``.
        """
        from backend.requests import prepare

        if model_name not in {card.name for card in self.models()}:
            names = ", ".join(card.name for card in self.models())
            raise AppError(f"There is no model {model_name!r} here.", f"Choose one of {names}.")
        model = self.load(model_name)
        return model, prepare(model, request, canvas_max=self._settings.canvas_max)

    def submit(self, model_name: str, request: RunRequest, group: str = "") -> RunHandle:
        """Queue a run and return its handle.

        Runs of one ``group`` take one place between them, in the queue and among the running, and are
        not kept once they are over. Raises what ``plan`` raises, or ``BusyError`` when the queue is full.
        """
        model, plan = self.plan(model_name, request)
        handle = RunHandle(self, model_name, request, group)
        with self._wake:
            running, queued = _groups(self._running.values()), _groups(self._queued)
            waiting = len(queued - running)
            room = self._settings.max_running - len(running)
            if handle.group not in queued | running and waiting >= self._settings.max_queued + max(room, 0):
                raise BusyError(f"{waiting} runs wait already; the limit is {self._settings.max_queued}.",
                                "Try again in a minute.")
            # The model goes along: unloading it meanwhile only takes it out of the menu.
            self._queued.append((handle, (model, plan)))
            if not group:
                self._kept[handle.id] = handle
            self._wake.notify_all()
        return handle

    def find(self, run_id: str) -> RunHandle | None:
        """Return a run that is still kept, or None."""
        with self._wake:
            return self._kept.get(run_id)

    def cancel(self, handle: RunHandle) -> None:
        """Ask for a run to end before its next forward pass."""
        with self._wake:
            handle.cancelled = True
            self._cancels.add(handle.id)
            self._wake.notify_all()

    def ahead_of(self, handle: RunHandle) -> int:
        """Return how many queued runs come before this one, those of one group as one; 0 once it runs."""
        with self._wake:
            before = list(itertools.takewhile(lambda item: item[0] is not handle, self._queued))
            waits = len(before) < len(self._queued)
            return len(_groups(before) - _groups(self._running.values()) - {handle.group}) if waits else 0

    def close(self) -> None:
        """Cancel every run and stop the owner thread."""
        with self._wake:
            self._cancels |= {handle.id for handle, _ in self._queued} | set(self._running)
            self._closed = True
            self._wake.notify_all()
        self._owner.join()

    def _work(self) -> None:
        """Run until closed: honour cancels, admit, and give every model's lanes a turn."""
        lanes: dict[str, object] = {}
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queued or self._running or self._closed or self._unloaded)
                unloaded, self._unloaded = self._unloaded, set()
                cancels, self._cancels = self._cancels, set()
                dropped = self._drop_queued(cancels)
                admitted = self._admit()
                if self._closed and not (self._running or self._queued or admitted):
                    return
            for name in unloaded:
                lanes.pop(name, None)
            for handle in dropped:
                handle.push(End("cancelled", "", Totals(0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0)))
            try:
                self._begin(lanes, admitted)
                self._cancel_running(lanes, cancels)
                self._take_turns(lanes)
            except Exception:
                log.exception("The owner thread met a failure; the runs it held are ended.")
                self._fail_running(lanes)

    def _drop_queued(self, cancels: set[str]) -> list[RunHandle]:
        dropped = [handle for handle, _ in self._queued if handle.id in cancels]
        self._queued = deque(item for item in self._queued if item[0].id not in cancels)
        return dropped

    def _admit(self) -> list[tuple[RunHandle, object]]:
        admitted, groups = [], _groups(self._running.values())
        while self._queued and (self._queued[0][0].group in groups or len(groups) < self._settings.max_running):
            handle, plan = self._queued.popleft()
            groups.add(handle.group)
            self._running[handle.id] = (handle, plan)
            admitted.append((handle, plan))
        return admitted

    def _begin(self, lanes: dict[str, object], admitted: list[tuple[RunHandle, object]]) -> None:
        if not admitted:
            return
        from backend.runner import Lanes, Limits, decoding

        limits = Limits(self._settings.passes_max, self._settings.run_time_s)
        for handle, (model, plan) in admitted:
            if handle.model_name not in lanes:
                self._set_threads(model)
                lanes[handle.model_name] = Lanes(model)
            self._deliver(lanes[handle.model_name].join(handle.id, decoding(model, plan, limits)))

    def _cancel_running(self, lanes: dict[str, object], cancels: set[str]) -> None:
        for run_id in cancels:
            for shared in lanes.values():
                self._deliver(shared.cancel(run_id))

    def _take_turns(self, lanes: dict[str, object]) -> None:
        for shared in lanes.values():
            self._deliver(shared.turn())

    def _fail_running(self, lanes: dict[str, object]) -> None:
        for shared in lanes.values():
            shared.close()
        message = "The run failed inside the program; what it had written is kept."
        for handle, _ in list(self._running.values()):
            self._deliver([(handle.id, End("error", "", Totals(0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0), message))])

    def _deliver(self, pairs: Iterator[tuple[str, Event]] | list[tuple[str, Event]]) -> None:
        for run_id, event in pairs:
            handle = self._running[run_id][0]
            if isinstance(event, End):
                with self._wake:
                    del self._running[run_id]
                    if run_id in self._kept:
                        self._trim()
            handle.push(event)

    def _trim(self) -> None:
        """Forget the oldest finished runs beyond the number kept."""
        finished = [run_id for run_id, handle in self._kept.items()
                    if run_id not in self._running and handle.ended]
        for run_id in finished[: max(0, len(finished) - self._settings.kept_runs + 1)]:
            del self._kept[run_id]

    def _set_threads(self, model: object) -> None:
        import torch

        small = sum(item.numel() for item in model.parameters()) < ONE_THREAD_BELOW
        wanted = self._settings.threads or (1 if small else torch.get_num_threads())
        torch.set_num_threads(wanted)


def _groups(items: Iterable[tuple[RunHandle, object]]) -> set[str]:
    """Return the groups of these runs; a run by itself is one of its own."""
    return {handle.group for handle, _ in items}
