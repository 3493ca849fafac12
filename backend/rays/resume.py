"""A run that outlives the replica it began on.

1. The run is asked for, and its events go to the reader as they come.
2. Where the line breaks before the end, the same request is asked for again, of whichever replica is free. Noise is
   keyed by (seed, step, position), so that it makes the same events again.
3. What the reader has is compared with what comes now, event by event, as ``same_run`` does, and not told again.
   A difference ends the run with a sentence: the reader never gets the end of another run.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from backend.canvas import answer_ids, replay, same_run
from backend.errors import AppError
from backend.events import End, Event, Start, Step, Totals

log = logging.getLogger(__name__)

RESUMES = 3
"""Replicas that one run may lose: one that takes each down with it must not go through them all."""


class Lost(Exception):
    """The line to a replica broke before the end of its run."""


class Differs(AppError):
    """What a second replica makes of a run is not what the first had made."""

    code = "differs"


def resumed(ask: Callable[[], Iterable[Event]]) -> Iterator[Event]:
    """Yield the events of one run, up to its ``End``, from as many replicas as it takes.

    ``ask`` begins the run anew and may raise ``Lost`` at any event. Raises ``Differs``, or ``AppError`` once
    ``RESUMES`` + 1 replicas were lost.
    """
    told: list[Event] = []
    for lost in range(RESUMES + 1):
        try:
            yield from _beyond(ask(), told)
            return
        except Lost as error:
            log.warning("A run lost its replica after %d events (%s); lost so far: %d.", len(told), error, lost + 1)
    raise AppError(f"The run lost its replica {RESUMES + 1} times and was ended; what it had written is kept.",
                   "Run it again; the log of the server says more.")


def _beyond(events: Iterable[Event], told: list[Event]) -> Iterator[Event]:
    """Yield the events that come after those ``told``, which they must begin with, and add them to these."""
    known, late_s, events = len(told), 0.0, iter(events)
    for at, event in enumerate(events):
        if isinstance(event, End) and event.reason == "cancelled":
            raise Lost("its replica ended it")  # nobody asked for that here: whoever cancels closes the line
        if at < known:
            if not same_run((told[at],), (event,)):
                raise Differs(f"The run went on at another replica, which made event {at + 1} otherwise than the first, so it was ended; "
                              "what it had written is kept.", "Run it again; the replicas must have the same weights, versions and devices.")
            if isinstance(event, Step):  # of a run, only steps and the end say when they were
                late_s = told[at].elapsed_s - event.elapsed_s
            continue
        told.append(_later(event, late_s))
        yield told[-1]
        if isinstance(event, End):
            with contextlib.suppress(Lost):  # the run is whole
                deque(events, maxlen=0)  # a line that is left before it is over cancels its call
            return
    raise Lost("its events stopped before the end")


def _later(event: Event, seconds: float) -> Event:
    """Return an event whose times go on from those of the first replica."""
    if seconds and isinstance(event, Step):
        return replace(event, elapsed_s=event.elapsed_s + seconds)
    if seconds and isinstance(event, End):
        return replace(event, totals=replace(event.totals, elapsed_s=event.totals.elapsed_s + seconds))
    return event


def ended_here(told: Sequence[Event], decode: Callable[[tuple[int, ...]], str], reason: str, message: str) -> End:
    """Return the end of a run that its reader's side ends, counted from what was ``told``.

    Passes that the replica made beyond the last step, or for one that was not told, are not among the counts.
    """
    if not told or not isinstance(told[0], Start):
        return End(reason, "", Totals(0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0), message)
    start, steps = told[0], [event for event in told if isinstance(event, Step)]
    answer, tail = answer_ids(replay(told, len(steps)), start)
    answer = tuple(token for token in answer if token != start.model.mask_id)
    passes, rows, elapsed_s = (steps[-1].passes, steps[-1].rows, steps[-1].elapsed_s) if steps else (0, 0, 0.0)
    written = sum(len(step.writes) - len(step.erases) for step in steps)
    totals = Totals(len(steps), passes, rows, elapsed_s, written, written / max(passes, 1), len(answer), len(answer) / max(passes, 1), tail)
    return End(reason, decode(answer), totals, message)
