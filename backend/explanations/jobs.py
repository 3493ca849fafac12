"""Explanations on threads of their own: one computes at a time, a newer one stops the older.

A piece of an explanation (one chunk of passes) is computed while holding the turn, which goes round in
the order of asking. So however many visitors ask, one explanation at a time takes its share of the machine
beside the thread that decodes, and a long one never makes a short one wait for more than a chunk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from backend.errors import AppError, BusyError
from backend.explanations.base import Explaining, Progress
from backend.explanations.latest import Latest, Superseded
from backend.out_of_memory import OutOfMemory, is_memory

log = logging.getLogger(__name__)

Result = TypeVar("Result")
PIECE_S = 120.0
"""Seconds that a piece of an explanation may take, unless the server's settings say otherwise."""

LESS = "Ask for fewer integration steps or a shorter answer; the operator may lower --canvas-max."

PLACES_MAX = 256
"""Places (a view of a visitor's page) that are remembered; the oldest is forgotten."""


def told(error: BaseException) -> AppError:
    """Return what a reader is told of a failure inside an explanation: nothing of its details."""
    if is_memory(error):
        return OutOfMemory("The machine ran out of memory in this explanation.", LESS)
    return AppError("The explanation failed inside the program; its log says more.", "Try another method or another token.")


class Turn:
    """A lock that is handed on in the order of asking: nobody who comes back at once gets it first.

    A holder that does not come back can be given up; then it is handed on without it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, threading.Event]] = deque()
        self._holder: tuple[int, float] | None = None
        """Its thread, and since when."""

    def __enter__(self) -> None:
        with self._lock:
            me = threading.get_ident()
            if self._holder is None:
                self._holder = (me, time.monotonic())
                return
            mine = threading.Event()
            self._waiting.append((me, mine))
        mine.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._holder is not None and self._holder[0] == threading.get_ident():
                self._hand_on()

    def give_up(self, seconds: float) -> int | None:
        """Hand on what one thread has held longer than ``seconds``; return the thread, None when none has."""
        with self._lock:
            if self._holder is None or time.monotonic() - self._holder[1] <= seconds:
                return None
            lost = self._holder[0]
            self._hand_on()
            return lost

    def _hand_on(self) -> None:
        self._holder = None
        if self._waiting:
            thread, event = self._waiting.popleft()
            self._holder = (thread, time.monotonic())
            event.set()


class Job:
    """One explanation under way: how far it is, then what it found or why it failed."""

    def __init__(self, notify: Callable[[], None] = lambda: None) -> None:
        self._notify = notify
        self.progress = Progress(0, 0)
        self.result: object = None
        self.error: AppError | None = None
        self.over = threading.Event()
        self._left = False

    def leave(self) -> None:
        """Stop at the next chunk: nobody waits for the result any more."""
        self._left = True

    def heard(self, progress: Progress) -> None:
        """Note how far the work is; raises ``Superseded`` once nobody waits."""
        self.progress = progress
        self._notify()
        if self._left:
            raise Superseded("This explanation was stopped because its reader left.", "Ask again.")

    def do(self, work: Callable[[], object]) -> None:
        """Run ``work`` and keep what becomes of it."""
        try:
            result = work()
        except AppError as error:
            self.fail(error)
        except BaseException as error:  # an exit, too, that a model asks for: somebody waits for this
            log.exception("An explanation failed.")
            self.fail(told(error))
        else:
            if not self.over.is_set():
                self.result = result
        finally:
            self.over.set()
            self._notify()

    def fail(self, error: AppError) -> None:
        """End with an error, unless it is over; whoever still works on it stops at the next chunk."""
        self._left = True
        if not self.over.is_set():
            self.error = error
            self.over.set()
            self._notify()


class Bureau:
    """Takes explanations in and starts a thread for each; one per place, the newest.

    Passes of one that go side by side take ``threads`` cores, 0 for all. Without ``in_turn`` explanations go on side by side:
    their threads only wait for others who compute.
    """

    def __init__(self, jobs_max: int = 16, piece_s: float = PIECE_S, in_turn: bool = True, threads: int = 0) -> None:
        self._jobs_max, self._piece_s, self._in_turns, self._threads = jobs_max, piece_s, in_turn, threads
        self._jobs: dict[int, Job] = {}
        """By their threads."""
        self._turn = Turn()
        self._lock = threading.Lock()
        self._under_way = 0
        self._places: OrderedDict[str, Latest] = OrderedDict()

    def begin(self, place: str, work: Explaining[Result], notify: Callable[[], None] = lambda: None) -> Job:
        """Start ``work`` for ``place``, stopping what runs there.

        ``notify`` is called from the job's thread whenever it has got on, and at its end. Raises
        ``BusyError`` when too many run.
        """
        with self._lock:
            if self._under_way >= self._jobs_max:
                work.close()
                raise BusyError(f"{self._under_way} explanations are being computed; the limit is {self._jobs_max}.",
                                "Try again in a few seconds.")
            self._under_way += 1
            latest = self._places.setdefault(place, Latest())
            self._places.move_to_end(place)
            number = latest.stop()  # here, in the order of asking: threads may start in another
            if len(self._places) > PLACES_MAX:
                self._places.popitem(last=False)[1].stop()
        job = Job(notify)
        threading.Thread(target=self._do, args=(job, latest, number, work), name="unmask-explain", daemon=True).start()
        return job

    def look(self) -> None:
        """End the explanation whose piece does not come back, so that others go on; its thread stays with the model."""
        lost = self._turn.give_up(self._piece_s)
        with self._lock:
            job = None if lost is None else self._jobs.get(lost)
        if job is not None:
            log.error("A piece of an explanation takes longer than %g s: its thread is left behind.", self._piece_s)
            job.fail(AppError(f"The model did not answer within {self._piece_s:g} seconds, so the explanation was ended.",
                              "Try again later; the operator may raise --pass-time-s."))

    def _do(self, job: Job, latest: Latest, number: int, work: Explaining[Result]) -> None:
        me = threading.get_ident()
        with self._lock:
            self._jobs[me] = job
        try:
            job.do(lambda: latest.run(self._on_cores(work), job.heard, number))
        finally:
            with self._lock:
                del self._jobs[me]
                self._under_way -= 1

    def _on_cores(self, work: Explaining[Result]) -> Explaining[Result]:
        """Return ``work`` as this thread does it; one that waits for another process needs no core."""
        if self._in_turns:
            from backend.cores import CORES
            from backend.explanations.side_by_side import use_cores

            use_cores(self._threads or CORES)
        return self._in_turn(work)

    def _in_turn(self, work: Explaining[Result]) -> Explaining[Result]:
        """Yield what ``work`` yields, every piece computed while holding the turn."""
        try:
            if not self._in_turns:
                return (yield from work)
            while True:
                with self._turn:
                    progress = next(work)
                yield progress
        except StopIteration as end:
            return end.value
        finally:
            work.close()
