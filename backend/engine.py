"""Where runs wait, decode and end: one owner thread does every forward pass.

Visitors' threads only hand in plans and read events. The owner admits runs up to a limit, gives
every running one a pass in turn (runs of one model share it), and honours cancels between passes.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from backend.errors import BusyError, ModelError, Problem, RequestError
from backend.events import End, Event, RunRequest, Totals
from backend.handle import RunHandle
from backend.holding import Breakpoint, Pauses
from backend.kept import KeptRuns
from backend.models.catalogue import ModelCard
from backend.settings import Settings
from backend.shelf import Shelf

if TYPE_CHECKING:
    from backend.models.base import Model
    from backend.requests import Plan

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""How often the owner looks at runs that stand, while nothing else is to be done."""

ONE_THREAD_BELOW = 200_000_000
"""Parameters below which a forward pass is faster on one CPU thread than on several."""

NOTHING = Totals(0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0)
"""The counts of a run that did not come to its first pass, or failed outside its own loop."""


class Engine(Protocol):
    """What the page needs of any engine; every method may be called from any thread."""

    @property
    def start_model(self) -> str:
        """The name of the model that the page opens with."""

    def models(self) -> tuple[ModelCard, ...]:
        """Return the models that a visitor may choose."""

    def ready(self, name: str) -> bool:
        """Tell whether a run of this model would start without loading."""

    def load(self, name: str) -> object:
        """Return the model of this name, loading it when needed; raises ``ModelError``."""

    def progress(self, name: str) -> float:
        """Return the share of a loading model's weights that is in place, 0 to 1."""

    def open(self, source: str) -> ModelCard:
        """Load a folder or hub id and offer it; raises ``ModelError`` or ``BusyError``."""

    def card(self, name: str) -> str:
        """Return the facts of a loaded model in one line, or nothing."""

    def unload(self, name: str) -> None:
        """Free a model's memory; raises ``ModelError`` where visitors may not, ``BusyError`` while it runs."""

    def problems(self, model_name: str, request: RunRequest) -> tuple[Problem, ...]:
        """Return what of ``request`` does not fit a loaded model."""

    def submit(self, model_name: str, request: RunRequest, group: str = "", breaks: Sequence[Breakpoint] = ()) -> RunHandle:
        """Queue a run; raises ``RequestError``, ``ModelError`` or ``BusyError`` at once."""

    def find(self, run_id: str) -> RunHandle | None:
        """Return a run that is still kept, or None."""

    def keep(self, events: Sequence[Event]) -> RunHandle:
        """Keep a run that was made elsewhere; its events are whole and checked."""


@dataclass(frozen=True)
class _Room:
    """The runs of one model under way, and the threads that its passes take."""

    lanes: Any
    threads: int


class LocalEngine:
    """The engine of one machine; ``clock`` (seconds) tells how long a run went unread."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._shelf = Shelf(settings)
        self._wake = threading.Condition()
        self._queued: deque[tuple[RunHandle, object]] = deque()
        self._running: dict[str, tuple[RunHandle, object]] = {}
        self._kept = KeptRuns(settings.kept_runs, settings.kept_mb << 20)
        self._pauses = Pauses(settings.max_running, settings.paused_s, clock)
        self._cancels: set[str] = set()
        self._unloaded: set[str] = set()
        self._closed = False
        self._all_threads = 0
        self._owner = threading.Thread(target=self._work, name="unmask-owner", daemon=True)
        self._owner.start()

    @property
    def start_model(self) -> str:
        """The name of the model that the page opens with."""
        return self._shelf.name_of(self._settings.model)

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
        """Free a model's memory; raises ``ModelError`` where visitors may not, ``BusyError`` while it runs."""
        if self._settings.opening == "none":
            raise ModelError("The models of this server stay loaded: what one visitor unloads, all others wait for.",
                             "Its operator may allow it with --open-models folders.")
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

        model = self.load(model_name)
        return model, prepare(model, request, canvas_max=self._settings.canvas_max)

    def submit(self, model_name: str, request: RunRequest, group: str = "", breaks: Sequence[Breakpoint] = ()) -> RunHandle:
        """Queue a run and return its handle; it pauses after every step that meets one of ``breaks``.

        Runs of one ``group`` take one place between them, in the queue and among the running, and are
        not kept once they are over. Raises what ``plan`` raises, or ``BusyError`` when the queue is full.
        """
        model, plan = self.plan(model_name, request)
        handle = RunHandle(self, model_name, request, self._clock, group)
        handle.breaks = tuple(breaks)
        with self._wake:
            if self._closed:
                raise BusyError("The server is closing and takes no new runs.", "Try again when it is back.")
            running, queued = _groups(self._decoding()), _groups(self._queued)
            waiting = len(queued - running)
            room = self._settings.max_running - len(running)
            if handle.group not in queued | running and waiting >= self._settings.max_queued + max(room, 0):
                raise BusyError(f"{waiting} runs wait already; the limit is {self._settings.max_queued}.",
                                "Try again in a minute.")
            # The model goes along: unloading it meanwhile only takes it out of the menu.
            self._queued.append((handle, (model, plan)))
            if not group:
                self._kept.add(handle)
            self._wake.notify_all()
        return handle

    def keep(self, events: Sequence[Event]) -> RunHandle:
        """Return the handle of a run that was made elsewhere, kept as if it had ended here."""
        begun = events[0]
        handle = RunHandle(self, begun.model.name, begun.request, self._clock)
        for event in events:
            handle.push(event)
        with self._wake:
            self._kept.add(handle)
            self._kept.ended(handle, handle.recorded)
        return handle

    def find(self, run_id: str) -> RunHandle | None:
        """Return a run that is still kept, or None."""
        with self._wake:
            return self._kept.find(run_id)

    def cancel(self, handle: RunHandle) -> None:
        """Ask for a run to end before its next forward pass."""
        with self._wake:
            handle.cancelled = True
            self._cancels.add(handle.id)
            self._wake.notify_all()

    def wish(self, handle: RunHandle, what: str) -> None:
        """Ask for a run to pause before its next pass, to go on, or to make one step (``holding.WISHES``)."""
        with self._wake:
            self._pauses.wish(handle.id, what)
            self._wake.notify_all()

    def ahead_of(self, handle: RunHandle) -> int:
        """Return how many queued runs come before this one, those of one group as one; 0 once it runs."""
        with self._wake:
            before = list(itertools.takewhile(lambda item: item[0] is not handle, self._queued))
            waits = len(before) < len(self._queued)
            return len(_groups(before) - _groups(self._decoding()) - {handle.group}) if waits else 0

    def close(self) -> None:
        """Cancel every run and stop the owner thread."""
        with self._wake:
            self._cancels |= {handle.id for handle, _ in self._queued} | set(self._running)
            self._closed = True
            self._wake.notify_all()
        self._owner.join()

    def _work(self) -> None:
        """Run until closed: honour cancels, admit, and give every model's lanes a turn."""
        lanes: dict[str, _Room] = {}
        while True:
            with self._wake:
                self._wake.wait_for(self._stirs, LOOK_S if self._pauses.held else None)
                unloaded, self._unloaded = self._unloaded, set()
                cancels, self._cancels = self._cancels, set()
                dropped = self._drop_queued(cancels)
                self._pauses.honour(lambda run_id: self._room_of(lanes, run_id).stand(run_id))
                self._pauses.expire()
                self._pauses.tell()
                released = self._pauses.release(self._settings.max_running - len(_groups(self._decoding())))
                admitted = self._admit()
                if self._closed and not (self._running or self._queued or admitted):
                    return
            for name in unloaded:
                lanes.pop(name, None)
            for handle in dropped:
                self._end_queued(handle)
            try:
                for run_id in released:
                    self._deliver(self._room_of(lanes, run_id).release(run_id))
                self._begin(lanes, admitted)
                self._cancel_running(lanes, cancels)
                self._cancel_unread(lanes)
                self._take_turns(lanes)
                with self._wake:
                    self._pauses.tell()
            except Exception:
                log.exception("The owner thread met a failure; the runs it held are ended.")
                self._fail_running(lanes)

    def _stirs(self) -> bool:
        return bool(self._queued or self._decoding() or self._closed or self._unloaded or self._cancels or self._pauses.stirs)

    def _decoding(self) -> list[tuple[RunHandle, object]]:
        """Return the runs that have a place: one that stands gives it up."""
        return [item for run_id, item in self._running.items() if run_id not in self._pauses.held]

    def _room_of(self, lanes: dict[str, _Room], run_id: str) -> Any:
        return lanes[self._running[run_id][0].model_name].lanes

    def _drop_queued(self, cancels: set[str]) -> list[RunHandle]:
        dropped = [handle for handle, _ in self._queued if handle.id in cancels]
        self._queued = deque(item for item in self._queued if item[0].id not in cancels)
        return dropped

    def _admit(self) -> list[tuple[RunHandle, object]]:
        admitted, groups = [], _groups(self._decoding())
        while self._queued and (self._queued[0][0].group in groups or len(groups) < self._settings.max_running):
            handle, plan = self._queued.popleft()
            handle.touch()
            groups.add(handle.group)
            self._running[handle.id] = (handle, plan)
            admitted.append((handle, plan))
        return admitted

    def _end_queued(self, handle: RunHandle) -> None:
        handle.push(End("cancelled", "", NOTHING))
        with self._wake:
            self._remember(handle)

    def _remember(self, handle: RunHandle) -> None:
        """Note that a run is over; one of a group is read by whoever drives the group, and not kept."""
        if handle.group == handle.id:
            self._kept.ended(handle, handle.recorded)

    def _begin(self, lanes: dict[str, _Room], admitted: list[tuple[RunHandle, object]]) -> None:
        if not admitted:
            return
        from backend.runner import Lanes, Limits, decoding

        limits = Limits(self._settings.passes_max, self._settings.run_time_s)
        for handle, (model, plan) in admitted:
            if handle.model_name not in lanes:
                lanes[handle.model_name] = _Room(Lanes(model, self._pauses.stops), self._threads_for(model))
            watch = self._pauses.begin(handle)
            self._deliver(lanes[handle.model_name].lanes.join(handle.id, decoding(model, plan, limits, clock=watch)))

    def _cancel_running(self, lanes: dict[str, _Room], cancels: set[str], why: str = "") -> None:
        for run_id in cancels:
            for room in lanes.values():
                self._deliver(room.lanes.cancel(run_id, why))

    def _cancel_unread(self, lanes: dict[str, _Room]) -> None:
        """End the runs that nobody reads: their visitor left before the first event, or without a word."""
        limit = self._settings.unread_s
        unread = {run_id for run_id, (handle, _) in self._running.items() if handle.unread_s > limit}
        self._cancel_running(lanes, unread, f"Nobody read this run for {limit} seconds, so it was ended.")

    def _take_turns(self, lanes: dict[str, _Room]) -> None:
        for room in lanes.values():
            if room.lanes.waiting:
                _use_threads(room.threads)
                self._deliver(room.lanes.turn())

    def _fail_running(self, lanes: dict[str, _Room]) -> None:
        for room in lanes.values():
            room.lanes.close()
        message = "The run failed inside the program; what it had written is kept."
        for handle, _ in list(self._running.values()):
            self._deliver([(handle.id, End("error", "", NOTHING, message))])

    def _deliver(self, pairs: Iterator[tuple[str, Event]] | list[tuple[str, Event]]) -> None:
        for run_id, event in pairs:
            handle = self._running[run_id][0]
            if isinstance(event, End):
                with self._wake:
                    del self._running[run_id]
                    self._pauses.forget(run_id)
                    self._remember(handle)
            handle.push(event)

    def _threads_for(self, model: object) -> int:
        """Return how many threads a pass of this model takes."""
        import torch

        # Read before it is first set, so that a large model after a small one gets them all.
        self._all_threads = self._all_threads or torch.get_num_threads()
        small = sum(item.numel() for item in model.parameters()) < ONE_THREAD_BELOW
        return self._settings.threads or (1 if small else self._all_threads)


def _use_threads(count: int) -> None:
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _groups(items: Iterable[tuple[RunHandle, object]]) -> set[str]:
    """Return the groups of these runs; a run by itself is one of its own."""
    return {handle.group for handle, _ in items}
