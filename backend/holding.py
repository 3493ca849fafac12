"""Pauses: a run that stands still between two steps, by its visitor's word or at a breakpoint.

A pause is no part of a run. Nothing of it enters the events, and the time it takes not into theirs, so a run that was
paused is the ``same_run`` as one that was not. While it stands nothing is computed for it, and it gives up its place:
another run takes it. When it is to go on it comes before all that wait in the queue. As many runs may stand as
may decode, each for a bounded time in all; after that it goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.errors import Problem, RequestError
from backend.events import Step

if TYPE_CHECKING:
    from backend.handle import RunHandle

KINDS = ("step", "written", "above", "below")
BREAKS_MAX = 16
"""Breakpoints of one run."""

PAUSE, GO_ON, ONE_STEP = "pause", "go_on", "one_step"
WISHES = (PAUSE, GO_ON, ONE_STEP)
"""What may be asked of a run that has begun."""

ASKED = "you asked for it"
STEPPED = "one step was made"


@dataclass(frozen=True)
class Breakpoint:
    """What a run pauses after: the step that meets it.

    ``kind`` is ``step`` (step ``at`` was made), ``written`` (canvas position ``at`` was written), or ``above`` or
    ``below``: a recorded ``score`` of a position written in the step is beyond ``value``, in the score's own unit.
    """

    kind: str
    at: int = 0
    score: str = ""
    value: float = 0.0

    def met(self, step: Step) -> str:
        """Return what of ``step`` meets it, in words; nothing where it does not."""
        if self.kind == "step":
            return f"step {self.at} was made" if step.index == self.at else ""
        written = [position for position, _, _ in step.writes]
        if self.kind == "written":
            return f"position {self.at} was written" if self.at in written else ""
        values = dict(zip(step.masked, step.scores.get(self.score, ()), strict=False))
        return next((f"{self.score} {values[at]:.4g} of position {at}, {self.kind} {self.value:g}"
                     for at in written if self._beyond(values.get(at))), "")

    def _beyond(self, value: float | None) -> bool:
        if value is None or math.isnan(value):
            return False
        return value > self.value if self.kind == "above" else value < self.value


def breakpoints(records: Any) -> tuple[Breakpoint, ...]:
    """Return the breakpoints that plain objects (``{"kind": "step", "at": 12}``) say; raises ``RequestError`` for every wrong one."""
    if not isinstance(records, list | tuple) or len(records) > BREAKS_MAX:
        raise RequestError([Problem("breaks", f"Give a list of at most {BREAKS_MAX} breakpoints.")])
    problems = [Problem("breaks", sentence) for record in records for sentence in _wrong(record)]
    if problems:
        raise RequestError(problems)
    return tuple(Breakpoint(**record) for record in records)


def _wrong(record: Any) -> Iterable[str]:
    if not isinstance(record, Mapping) or record.get("kind") not in KINDS or set(record) - {"kind", "at", "score", "value"}:
        yield f"{str(record)[:60]!r} is no breakpoint; its kind is one of {', '.join(KINDS)}."
    elif record["kind"] in ("step", "written"):
        at, least = record.get("at"), 1 if record["kind"] == "step" else 0
        if isinstance(at, bool) or not isinstance(at, int) or at < least:
            yield f"{at!r} is no {'step' if least else 'position'}; give a whole number from {least} on."
    elif not isinstance(record.get("score"), str) or not record["score"]:
        yield "A breakpoint on a score names the score, such as entropy."
    elif isinstance(record.get("value"), bool) or not isinstance(record.get("value"), int | float):
        yield f"{record.get('value')!r} is no value of {record['score'][:40]}; give a number."


@dataclass(frozen=True)
class Standing:
    """What is to be said of a run's pauses: whether it stands, after which step, why, and for how long at most."""

    paused: bool
    step: int
    why: str
    left_s: float = 0.0


class Stopwatch:
    """Seconds that pass while it is not stopped."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._lost, self._since = clock, 0.0, None

    def __call__(self) -> float:
        """Return the seconds; while it is stopped, those of that moment."""
        return (self._clock() if self._since is None else self._since) - self._lost

    def stop(self) -> None:
        """Stand still; nothing happens to one that does."""
        self._since = self._clock() if self._since is None else self._since

    def go(self) -> None:
        """Go on from where it stopped."""
        if self._since is not None:
            self._lost += self._clock() - self._since
            self._since = None


class _Hold:
    """One run's pauses: why it stands, since when, and how long it has stood before."""

    def __init__(self, handle: RunHandle) -> None:
        self.handle, self.watch = handle, Stopwatch()
        self.one, self.spent_s, self.since = False, 0.0, 0.0
        self.step, self.why, self.last_word = 0, "", ""

    def reason(self, step: Step) -> str:
        met = (item.met(step) for item in self.handle.breaks)
        return next((why for why in met if why), STEPPED if self.one else "")


class Pauses:
    """Which runs of an engine stand; the owner thread's own, but for ``wish``, ``stirs`` and ``held``."""

    def __init__(self, most: int, limit_s: float, clock: Callable[[], float]) -> None:
        self._most, self._limit_s, self._clock = most, limit_s, clock
        self._holds: dict[str, _Hold] = {}
        self._wishes: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._going: list[str] = []
        self.held: set[str] = set()
        """The runs that stand, those about to go on among them."""

    @property
    def stirs(self) -> bool:
        """Whether somebody wishes something, or a run waits for a place to go on in."""
        return bool(self._wishes or self._going)

    def wish(self, run_id: str, what: str) -> None:
        """Note what a visitor asks of a run."""
        self._wishes[run_id] = what

    def begin(self, handle: RunHandle) -> Stopwatch:
        """Take a run in that begins; return the watch that its times are read from."""
        hold = self._holds[handle.id] = _Hold(handle)
        return hold.watch

    def forget(self, run_id: str) -> None:
        """Let go of a run that is over."""
        self._holds.pop(run_id, None)
        self.held.discard(run_id)
        self._stopped.discard(run_id)
        self._going = [item for item in self._going if item != run_id]

    def stops(self, run_id: str, event: object) -> bool:
        """Tell whether a run is to stand once ``event`` is out."""
        hold = self._holds.get(run_id)
        if hold is None or not isinstance(event, Step):
            return False
        hold.step = event.index
        why = hold.reason(event)
        return bool(why) and self._may_stand(hold, why)

    def honour(self, stand: Callable[[str], bool]) -> None:
        """Do what was wished; ``stand`` makes a run stand and tells whether it does."""
        wishes, self._wishes = self._wishes, {}
        for run_id, what in wishes.items():
            hold = self._holds.get(run_id)
            if hold is None:
                continue
            if what == PAUSE and run_id not in self.held | self._stopped and self._may_stand(hold, ASKED):
                if not stand(run_id):
                    self._stopped.discard(run_id)
            elif what != PAUSE and run_id in self.held and run_id not in self._going:
                hold.one = what == ONE_STEP
                self._going.append(run_id)

    def expire(self) -> None:
        """Let those go on that have stood as long as they may."""
        for run_id in self.held.difference(self._going):
            hold = self._holds[run_id]
            if hold.spent_s + self._clock() - hold.since >= self._limit_s:
                hold.handle.breaks, hold.one = (), False
                hold.last_word = f"The run had stood for {self._limit_s:g} seconds, as long as one may, and went on."
                self._going.append(run_id)

    def tell(self) -> None:
        """Say of the runs that stopped that they stand: their last step is out by now."""
        for run_id in self._stopped:
            hold = self._holds[run_id]
            hold.since, hold.one = self._clock(), False
            hold.watch.stop()
            self.held.add(run_id)
            hold.handle.stand(Standing(True, hold.step, hold.why, self._limit_s - hold.spent_s))
        self._stopped.clear()

    def release(self, groups: set[str], most: int) -> list[str]:
        """Return the runs that go on now, the first to ask first, while ``groups`` run and ``most`` may."""
        released, groups = [], set(groups)
        for run_id in self._going:
            group = self._holds[run_id].handle.group
            if group in groups or len(groups) < most:
                groups.add(group)
                released.append(run_id)
        self._going = [run_id for run_id in self._going if run_id not in released]
        for run_id in released:
            hold = self._holds[run_id]
            hold.spent_s += self._clock() - hold.since
            hold.watch.go()
            self.held.discard(run_id)
            hold.handle.stand(Standing(False, hold.step, hold.last_word))
        return released

    def _may_stand(self, hold: _Hold, why: str) -> bool:
        if hold.spent_s >= self._limit_s:
            return False
        if len(self.held | self._stopped) >= self._most:
            many = f"{self._most} runs stand paused on this server, as many as may: this one goes on."
            hold.handle.stand(Standing(False, hold.step, many))
            return False
        hold.why = why
        self._stopped.add(hold.handle.id)
        return True
