"""Many runs of one visitor through the engine: a bounded number at a time, in one place of the queue.

The runs of a crowd share forward passes with each other, as those of ``run_many`` do. Together they
are one entry of the queue and one of the running, and as many of them run at a time as keep a shared
pass within ``ROWS_TOGETHER`` positions, so that a visitor beside them waits for little more than a
pass of his own. At most half of the places among the running go to crowds, one to a visitor.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backend.engine import LocalEngine, RunHandle
from backend.errors import BusyError, Problem, RequestError
from backend.events import RunRequest
from backend.settings import Settings
from backend.tasks.base import Task, held_out
from backend.tasks.catalogue import TASKS

ROWS_TOGETHER = 1024
"""Positions of one shared pass of a crowd, at most (a single longer canvas runs alone)."""

TOGETHER = 16
"""Runs of a crowd that decode at a time, at most."""

LOOK_S = 0.1
"""How often a crowd that waits looks again."""

HELD_OUT_SEED = 3
"""Of the held-out prompts: others than those of the accuracy tables."""


@dataclass(frozen=True)
class ManyRequest:
    """What a visitor asks for: ``prompt`` under ``runs`` seeds from ``seed`` on, or as many prompts of ``task``."""

    model: str
    decoder: str
    runs: int
    length: Any
    seed: Any = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    task: str | None = None

    def problems(self, most: int) -> list[Problem]:
        """Return what is wrong with the number of runs (at most ``most``), the seed and the task."""
        problems = []
        if not _whole(self.runs) or not 2 <= self.runs <= most:
            problems.append(Problem("runs", f"{self.runs!r} is out of range; give a whole number from 2 to {most}."))
        if not _whole(self.seed):
            problems.append(Problem("seed", f"{self.seed!r} is not a whole number; give the first seed, such as 0."))
        if self.prompt is None and self._task is None:
            problems.append(Problem("task", f"There is no task {self.task!r}; the tasks are {', '.join(item.name for item in TASKS)}."))
        return problems

    def requests(self) -> tuple[RunRequest, ...]:
        """Return the single requests of one without problems."""
        task = self._task
        prompts = [self.prompt] * self.runs if task is None else [item.prompt for item in held_out(task, self.runs, HELD_OUT_SEED)]
        return tuple(RunRequest(self.decoder, prompt, length=self.length, settings=self.settings, seed=self.seed + at, top_k=2)
                     for at, prompt in enumerate(prompts))

    @property
    def _task(self) -> Task | None:
        return next((item for item in TASKS if item.name == self.task), None)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Progress:
    """How far a crowd is: the runs that ended since the last look, and counts."""

    ended: tuple[tuple[int, RunHandle], ...]
    """(number of the run, from 0, and its handle)."""
    done: int
    of: int
    running: int
    ahead: int
    """Runs of others that wait before the first of these; 0 once one runs."""


class Crowd:
    """The runs of one request; ``progress`` drives them, so that nothing goes on for a reader who left."""

    def __init__(self, engine: LocalEngine, model: str, requests: tuple[RunRequest, ...], together: int) -> None:
        self.requests = requests
        self._engine, self._model, self._together = engine, model, together
        self._group = secrets.token_hex(8)
        self._flying: dict[int, RunHandle] = {}
        self._stopped = threading.Event()

    def progress(self) -> Iterator[Progress]:
        """Yield after every look until all runs are over, or those that had begun when it was stopped."""
        waiting = list(range(len(self.requests)))
        done = 0
        try:
            while self._flying or (waiting and not self._stopped.is_set()):
                waiting = self._begin(waiting)
                for handle in self._flying.values():
                    handle.touch()  # whoever reads the crowd reads every run of it
                first = next(iter(self._flying.values()), None)
                first.wait(LOOK_S) if first else self._stopped.wait(LOOK_S)
                ended = tuple((number, handle) for number, handle in self._flying.items() if handle.ended)
                for number, _ in ended:
                    del self._flying[number]
                done += len(ended)
                yield Progress(ended, done, len(self.requests), len(self._flying), self._ahead())
        finally:
            self.stop()

    def _begin(self, waiting: list[int]) -> list[int]:
        """Submit as many as may run at a time and return the others; a full queue only makes them wait.

        Raises ``BusyError`` when the queue is full before the first.
        """
        while waiting and len(self._flying) < self._together and not self._stopped.is_set():
            try:
                self._flying[waiting[0]] = self._engine.submit(self._model, self.requests[waiting[0]], self._group)
            except BusyError:
                if waiting[0] == 0:
                    raise
                break
            waiting = waiting[1:]
        return waiting

    def stop(self) -> None:
        """Begin no further run, and end those under way before their next pass."""
        self._stopped.set()
        for handle in tuple(self._flying.values()):
            handle.cancel()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    def _ahead(self) -> int:
        return min((handle.ahead for handle in list(self._flying.values())), default=0)


class Crowds:
    """The crowds of one server: one to a visitor, and no more than half of what may run."""

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        self._settings, self._engine = settings, engine
        self._of: dict[str, Crowd] = {}
        self._lock = threading.Lock()

    def begin(self, visitor: str, asked: ManyRequest) -> Crowd:
        """Return a crowd that is ready to be driven; ``end`` gives its place back.

        Raises ``RequestError`` for every wrong field, ``ModelError``, or ``BusyError`` where the
        visitor has one already or there is no place for another.
        """
        requests, length = self._checked(asked)
        crowd = Crowd(self._engine, asked.model, requests, max(1, min(TOGETHER, ROWS_TOGETHER // length)))
        most = max(1, self._settings.max_running // 2)
        with self._lock:
            if visitor in self._of:
                raise BusyError("Your runs of before are not over yet.", "Wait for them, or stop them.")
            if len(self._of) >= most:
                raise BusyError(f"Others run many at once already ({len(self._of)}; the limit is {most}).", "Try again in a minute.")
            self._of[visitor] = crowd
        return crowd

    def _checked(self, asked: ManyRequest) -> tuple[tuple[RunRequest, ...], int]:
        """Return the single requests and their longest canvas; what is wrong is found all at once."""
        problems = asked.problems(self._settings.many_runs)
        wrong = {problem.field for problem in problems}
        if "task" in wrong:
            raise RequestError(problems)
        # A wrong number or seed must not hide what else is wrong.
        sane = replace(asked, runs=2 if "runs" in wrong else asked.runs, seed=0 if "seed" in wrong else asked.seed)
        try:
            plans = [self._engine.plan(asked.model, request)[1] for request in sane.requests()]
        except RequestError as error:
            raise RequestError([*problems, *error.problems]) from error
        if problems:
            raise RequestError(problems)
        return sane.requests(), max(len(plan.canvas) for plan in plans)

    def end(self, visitor: str, crowd: Crowd) -> None:
        """Stop a crowd and give its place back; nothing happens the second time."""
        crowd.stop()
        with self._lock:
            if self._of.get(visitor) is crowd:
                del self._of[visitor]

    def stop(self, visitor: str) -> bool:
        """Stop the visitor's crowd; return whether there was one."""
        with self._lock:
            crowd = self._of.get(visitor)
        if crowd:
            crowd.stop()
        return crowd is not None
