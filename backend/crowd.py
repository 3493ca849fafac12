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
from dataclasses import dataclass, field
from typing import Any

from backend.engine import LocalEngine, RunHandle
from backend.errors import BusyError, Problem, RequestError
from backend.events import RunRequest
from backend.settings import Settings
from backend.tasks.base import held_out
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

    def requests(self, most: int) -> tuple[RunRequest, ...]:
        """Return the single requests; raises ``RequestError`` for what is wrong with their number or task."""
        problems = []
        if isinstance(self.runs, bool) or not isinstance(self.runs, int) or not 2 <= self.runs <= most:
            problems.append(Problem("runs", f"{self.runs!r} is out of range; give a whole number from 2 to {most}."))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            problems.append(Problem("seed", f"{self.seed!r} is not a whole number; give the first seed, such as 0."))
        task = next((item for item in TASKS if item.name == self.task), None)
        if self.prompt is None and task is None:
            problems.append(Problem("task", f"There is no task {self.task!r}; the tasks are {', '.join(item.name for item in TASKS)}."))
        if problems:
            raise RequestError(problems)
        prompts = [self.prompt] * self.runs if task is None else [item.prompt for item in held_out(task, self.runs, HELD_OUT_SEED)]
        return tuple(RunRequest(self.decoder, prompt, length=self.length, settings=self.settings, seed=self.seed + at, top_k=2)
                     for at, prompt in enumerate(prompts))


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
                while waiting and len(self._flying) < self._together and not self._stopped.is_set():
                    number = waiting.pop(0)
                    self._flying[number] = self._engine.submit(self._model, self.requests[number], self._group)
                next(iter(self._flying.values())).wait(LOOK_S)
                ended = tuple((number, handle) for number, handle in self._flying.items() if handle.ended)
                for number, _ in ended:
                    del self._flying[number]
                done += len(ended)
                yield Progress(ended, done, len(self.requests), len(self._flying), self._ahead())
        finally:
            self.stop()

    def stop(self) -> None:
        """Begin no further run, and end those under way before their next pass."""
        self._stopped.set()
        for handle in list(self._flying.values()):
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
        requests = asked.requests(self._settings.many_runs)
        self._engine.check(asked.model, requests)
        length = max(self._engine.canvas_length(asked.model, request) for request in requests)
        crowd = Crowd(self._engine, asked.model, requests, max(1, min(TOGETHER, ROWS_TOGETHER // length)))
        most = max(1, self._settings.max_running // 2)
        with self._lock:
            if visitor in self._of:
                raise BusyError("Your runs of before are not over yet.", "Wait for them, or stop them.")
            if len(self._of) >= most:
                raise BusyError(f"Others run many at once already ({len(self._of)}; the limit is {most}).", "Try again in a minute.")
            self._of[visitor] = crowd
        return crowd

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
