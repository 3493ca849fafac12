"""Where runs wait, decode and end: one owner thread does every forward pass.

Visitors' threads only hand in plans and read events. The owner admits runs up to a limit, gives
every running one a pass in turn (runs of one model share it), and honours cancels between passes.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from backend.contract import Elsewhere, Engine
from backend.errors import BusyError, ModelError, Problem, RequestError
from backend.events import End, Event, RunRequest
from backend.handle import RunHandle
from backend.holding import Breakpoint, Pauses
from backend.kept import KeptRuns
from backend.models.catalogue import ModelCard
from backend.settings import Settings
from backend.shelf import Shelf
from backend.tally import Counts, Tally, gpu_bytes
from backend.waiting import Item, Waiting, groups_of
from backend.worker import Orders, Watch, Worker, ended_by

if TYPE_CHECKING:
    from backend.models.base import Model
    from backend.requests import Plan

__all__ = ["Elsewhere", "Engine", "LocalEngine", "RunHandle"]

log = logging.getLogger(__name__)

STUCK_MAX = 3
"""Threads that models may keep before the engine takes no more runs: each holds what its pass allocated."""

LOOK_S = 0.2
"""How often the worker looks at runs that stand, while nothing else is to be done."""

LENGTHS = 16
"""Runs from whose lengths the wait of the next ones is told."""


class LocalEngine:
    """The engine of one machine; ``clock`` (seconds) tells how long a run went unread.

    ``shelf`` and ``hire`` (a ``Worker``, or what stands for one) replace where models are and who does the passes:
    all that concerns visitors stays the same.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, shelf: Shelf | None = None,
        hire: Callable[..., Worker] = Worker,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._shelf, self._hire = shelf or Shelf(settings), hire
        self._wake = threading.Condition()
        self._queued = Waiting()
        self._running: dict[str, Item] = {}
        self._kept = KeptRuns(settings.kept_runs, settings.kept_mb << 20)
        self.pauses = Pauses(settings.max_running, settings.paused_s, self._clock)
        self._cancels: dict[str, str] = {}
        self._unloaded: set[str] = set()
        self._closed = False
        self._tally = Tally()
        self._left: list[Worker] = []
        self._lengths: deque[float] = deque(maxlen=LENGTHS)
        self._worker = hire(self, settings)
        self._watch = Watch(lambda: self._worker, self._leave_behind, settings.pass_time_s)

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
            self.let_go(name)

    def let_go(self, name: str) -> None:
        """Forget a model; runs on it go on, and its memory is free after the last of them.

        Loaded again under its name before that, it is there twice: runs that begin meanwhile join the old ones and are decoded by the old model.
        """
        with self._wake:
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

    def submit(
        self, model_name: str, request: RunRequest, group: str = "", visitor: str = "", kept: bool | None = None,
        breaks: Sequence[Breakpoint] = (),
    ) -> RunHandle:
        """Queue a run and return its handle; it pauses after every step that meets one of ``breaks``.

        Runs of one ``group`` take one place between them, in the queue and among the running, and unless
        ``kept`` says otherwise are not kept once they are over. ``visitor`` tells whose run it is: the queue
        is fair between visitors, and each may have so many at a time. Raises what ``plan`` raises, or ``BusyError``.
        """
        model, plan = self.plan(model_name, request)
        handle = RunHandle(self, model_name, request, self._clock, group, visitor, not group if kept is None else kept)
        handle.breaks = tuple(breaks)
        with self._wake:
            try:
                self._refuse_beyond_limits(handle)
            except BusyError:
                self._tally.refused += 1
                raise
            # The model goes along: unloading it meanwhile only takes it out of the menu.
            self._queued.add((handle, (model, plan)))
            self._tally.started += 1
            if handle.kept:
                self._kept.add(handle)
            self._wake.notify_all()
        return handle

    def _refuse_beyond_limits(self, handle: RunHandle) -> None:
        """Raise ``BusyError`` when there is no place for one more run."""
        if self._closed:
            raise BusyError("The server is closing and takes no new runs.", "Try again when it is back.")
        if self._broken():
            raise BusyError(f"Models stopped answering here {len(self._left)} times; the server takes no new runs.",
                            "Its operator must start it again.")
        under_way = [*self._running.values(), *self._queued]
        own = {item.group for item, _ in under_way if item.visitor == handle.visitor}
        if handle.group in groups_of(under_way):
            return
        if len(own) >= self._settings.visitor_runs:
            raise BusyError(f"{len(own)} of your runs are not over; the limit is {self._settings.visitor_runs}.",
                            "Wait for one of them, or stop it.")
        if self._full():
            raise BusyError(f"{self._waiting()} runs wait already; the limit is {self._settings.max_queued}.", self._advice())

    def _advice(self) -> str:
        """Return when to try again: once all that wait had their turn, from how long the last runs took."""
        if not self._lengths:
            return "Try again in a minute."
        seconds = (self._waiting() + 1) * statistics.mean(self._lengths) / self._settings.max_running
        return f"Try again in about {max(1, round(seconds))} s."

    def _waiting(self) -> int:
        return len(groups_of(self._queued) - groups_of(self._decoding()))

    def _decoding(self) -> list[Item]:
        """Return the runs that have a place: one that stands gives it up."""
        return [item for run_id, item in self._running.items() if run_id not in self.pauses.held]

    def _full(self) -> bool:
        room = self._settings.max_running - len(groups_of(self._decoding()))
        return self._waiting() >= self._settings.max_queued + max(room, 0)

    def _broken(self) -> bool:
        return sum(worker.thread.is_alive() for worker in self._left) >= STUCK_MAX

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
            self._cancels[handle.id] = ""
            self._wake.notify_all()

    def end_runs_of(self, visitor: str) -> None:
        """End all runs of a visitor who is gone before their next forward passes."""
        with self._wake:
            for handle, _ in (*self._running.values(), *self._queued):
                if handle.visitor == visitor:
                    self.cancel(handle)

    def wish(self, handle: RunHandle, what: str) -> None:
        """Ask for a run to pause before its next pass, to go on, or to make one step (``holding.WISHES``)."""
        with self._wake:
            self.pauses.wish(handle.id, what)
            self._wake.notify_all()

    def ahead_of(self, handle: RunHandle) -> int:
        """Return how many queued runs come before this one, those of one group as one; 0 once it runs."""
        with self._wake:
            order = self._queued.ordered(item for item, _ in self._decoding())
            before = list(itertools.takewhile(lambda item: item[0] is not handle, order))
            waits = len(before) < len(order)
            return len(groups_of(before) - groups_of(self._decoding()) - {handle.group}) if waits else 0

    def wait_of(self, handle: RunHandle) -> float | None:
        """Return about how many seconds this run will wait, from how long the last runs took; None before any."""
        with self._wake:
            if not self._lengths:
                return None
            return (self.ahead_of(handle) + 1) * statistics.mean(self._lengths) / self._settings.max_running

    def counts(self) -> Counts:
        """Return how much is under way, and what was done so far."""
        with self._wake:
            tally = self._tally
            stuck = sum(worker.thread.is_alive() for worker in self._left)
            return Counts(len(self._running), len(self._queued), stuck, self._closed, self._full() or self._broken(), self._shelf.loaded(),
                          tally.started, tally.refused, dict(tally.ended), tally.steps, tally.passes, gpu_bytes())

    def close(self, seconds: float | None = None, why: str = "") -> bool:
        """Take no new runs, end every run, and stop the owner thread; return whether it stopped within ``seconds``.

        ``why`` is what the runs say at their end; those whose pass does not come back in time get theirs without it.
        """
        with self._wake:
            self._cancels |= {handle.id: why for handle, _ in (*self._queued, *self._running.values())}
            self._closed = True
            self._wake.notify_all()
        self._watch.end()
        worker = self._worker
        worker.thread.join(seconds)
        if not worker.thread.is_alive():
            return True
        with self._wake:
            worker.left = True
            for handle, _ in (*self._queued, *self._running.values()):
                self._over(handle, ended_by("cancelled", why))
            self._running.clear()
            self._queued = Waiting()
        return False

    # -- what the worker asks ----------------------------------------------------------------------

    def orders(self, worker: Worker) -> Orders | None:
        """Wait until there is something to do and return it; None when the worker is to end."""
        with self._wake:
            self._wake.wait_for(lambda: worker.left or self._stirs(), LOOK_S if self.pauses.held else None)
            if worker.left:
                return None
            self.pauses.honour(lambda run_id: worker.stand(self._running[run_id][0].model_name, run_id))
            self.pauses.expire()
            self.pauses.tell()
            released = self.pauses.release(groups_of(self._decoding()), self._settings.max_running)
            unloaded = self._unloaded - {handle.model_name for handle, _ in self._running.values()}
            self._unloaded -= self._vacated()  # a run that waits may still bring the model that was let go
            ended, self._cancels = self._cancels | self._unread(), {}
            for handle in self._queued.drop(ended):
                self._over(handle, ended_by("cancelled", ended[handle.id]))
            admitted = self._queued.take((handle for handle, _ in self._decoding()), self._settings.max_running)
            for handle, plan in admitted:
                handle.touch()
                handle.admitted_at = self._clock()
                self._running[handle.id] = (handle, plan)
            if self._closed and not self._running:
                return None
            return Orders(unloaded, ended, admitted, [self._running[run_id][0] for run_id in released])

    def _stirs(self) -> bool:
        return bool(len(self._queued) or self._decoding() or self._closed or self._vacated() or self._cancels or self.pauses.stirs)

    def _vacated(self) -> set[str]:
        """Return the models that were let go and have no runs any more."""
        return self._unloaded - {handle.model_name for handle, _ in (*self._queued, *self._running.values())}

    def _unread(self) -> dict[str, str]:
        """Return the runs that nobody reads: their visitor left before the first event, or without a word."""
        limit = self._settings.unread_s
        why = f"Nobody read this run for {limit} seconds, so it was ended."
        return {run_id: why for run_id, (handle, _) in self._running.items() if handle.unread_s > limit}

    def deliver(self, worker: Worker, pairs: Iterable[tuple[str, Event]]) -> None:
        """Give events to their runs; what a worker that was left behind still brings is nobody's."""
        for run_id, event in pairs:
            with self._wake:
                if worker.left:
                    return
                handle = self._running[run_id][0]
                if isinstance(event, End):
                    del self._running[run_id]
                    self._over(handle, event)
                else:
                    self._tally.note(handle, event)
                    handle.push(event)

    def fail(self, worker: Worker, message: str) -> None:
        """End every run with an error."""
        self.deliver(worker, [(run_id, ended_by("error", message)) for run_id in list(self._running)])

    def _over(self, handle: RunHandle, end: End) -> None:
        """Note that a run is over; one that is not kept is read by whoever drives its group."""
        self.pauses.forget(handle.id)
        if handle.admitted_at is not None and handle.standing is None:  # how long a pause was says nothing of the next run
            self._lengths.append(self._clock() - handle.admitted_at)
        if handle.kept:
            self._kept.ended(handle, handle.recorded)
        self._tally.note(handle, end)
        handle.push(end)

    def _leave_behind(self, worker: Worker, name: str) -> None:
        """Go on without a worker whose model does not answer: its runs end, those of other models go on."""
        limit = self._settings.pass_time_s
        message = (f"The model did not answer within {limit} seconds, so its runs were ended. Run it again: it is loaded anew; "
                   "the operator may raise --pass-time-s.")
        with self._wake:
            busy = worker.busy  # looked at again: it may have come back a moment ago
            if worker.left or self._closed or busy is None or busy[0] != name or busy[1] <= limit:
                return
            log.error("A pass of %s takes longer than %d s: its thread is left behind and replaced.", name, limit)
            worker.left = True
            self._left = [*(item for item in self._left if item.thread.is_alive()), worker]
            for handle in [item for item, _ in (*self._queued, *self._running.values()) if item.model_name == name]:
                self._running.pop(handle.id, None)
                self._queued.drop([handle.id])
                self._over(handle, ended_by("error", message))
            self._shelf.put_away(name)
            self._worker = self._hire(self, self._settings, {other: room for other, room in worker.rooms.items() if other != name})
            self._wake.notify_all()
