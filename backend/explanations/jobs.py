"""Explanations on threads of their own: one computes at a time, a newer one stops the older.

A piece of an explanation (one chunk of passes) is computed while holding the turn, which goes round in
the order of asking. So however many visitors ask, explanations take one thread's share of the machine
beside the thread that decodes, and a long one never makes a short one wait for more than a chunk.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from backend.errors import AppError, BusyError
from backend.explanations.base import Explaining, Progress
from backend.explanations.latest import Latest, Superseded

log = logging.getLogger(__name__)

Result = TypeVar("Result")
PLACES_MAX = 256
"""Places (a view of a visitor's page) that are remembered; the oldest is forgotten."""


class Turn:
    """A lock that is handed on in the order of asking: nobody who comes back at once gets it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


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
            self.result = work()
        except AppError as error:
            self.error = error
        except Exception:
            log.exception("An explanation failed.")
            self.error = AppError("The explanation failed inside the program; its log says more.",
                                  "Try another method or another token.")
        finally:
            self.over.set()
            self._notify()


class Bureau:
    """Takes explanations in and starts a thread for each; one per place, the newest."""

    def __init__(self, jobs_max: int = 16) -> None:
        self._jobs_max = jobs_max
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

    def _do(self, job: Job, latest: Latest, number: int, work: Explaining[Result]) -> None:
        try:
            job.do(lambda: latest.run(self._in_turn(work), job.heard, number))
        finally:
            with self._lock:
                self._under_way -= 1

    def _in_turn(self, work: Explaining[Result]) -> Explaining[Result]:
        """Yield what ``work`` yields, every piece computed while holding the turn."""
        try:
            while True:
                with self._turn:
                    progress = next(work)
                yield progress
        except StopIteration as end:
            return end.value
        finally:
            work.close()
