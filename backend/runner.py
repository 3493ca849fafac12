"""The one loop: model x decoder -> events.

A run is a generator that asks for forward passes and yields events (``decoding``). ``Lanes`` drives
any number of them, gives each its pass, and lets passes of one kind (canvas length, computed rows,
caches) share a call of the model. ``run`` is one lane, ``run_many`` several, an engine lanes that come and go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Sequence

from backend.errors import AppError
from backend.events import End, Event, RunRequest, Totals
from backend.forks import staged
from backend.models.base import Model
from backend.noise import Noise
from backend.out_of_memory import REMEDY, is_memory, passes_together
from backend.passes import Pass, Reply
from backend.requests import Plan, prepare
from backend.world import Decoding, Limits, Spent, World

log = logging.getLogger(__name__)

BATCH_ROWS = 16384
"""Sequences x positions of one shared forward pass, at most."""

BATCH_ROWS_CPU = 384
"""The same on a processor: more rows leave its cache and each costs more, fewer do not fill it."""

FAILED = "The run failed inside the program; what it had written is kept. The log says more."


class Cancelled(Exception):
    """Thrown into a run that is to end now."""


def run(model: Model, request: RunRequest, *, limits: Limits = Limits(), noise: Noise | None = None) -> Iterator[Event]:
    """Return the events of one run as they happen; closing the iterator cancels it.

    ``noise`` replaces the draws keyed by the request's seed (recorded draws in tests). Raises
    ``RequestError`` at once; failures during decoding end the run with reason ``error``.
    """
    plan = prepare(model, request)
    return _only_events(model, {0: decoding(model, plan, limits, noise)})


def run_many(model: Model, requests: Sequence[RunRequest], *, limits: Limits = Limits()) -> Iterator[tuple[int, Event]]:
    """Return (number of the request, event) pairs of several runs that share forward passes.

    Raises ``RequestError`` of the first request that cannot be run, before any pass.
    """
    plans = [prepare(model, request) for request in requests]
    return _pairs(model, {number: decoding(model, plan, limits) for number, plan in enumerate(plans)})


def _only_events(model: Model, runs: dict[int, Decoding]) -> Iterator[Event]:
    for _, event in _pairs(model, runs):
        yield event


def _pairs(model: Model, runs: dict[int, Decoding]) -> Iterator[tuple[int, Event]]:
    lanes = Lanes(model)
    try:
        for number, process in runs.items():
            yield from lanes.join(number, process)
        while lanes.waiting:
            yield from lanes.turn()
    finally:
        lanes.close()


class Lanes:
    """Runs of one model that take their forward passes together.

    ``stops(key, event)`` tells of each event whether its run is to stand after it; it then takes no
    turns until it is released.
    """

    def __init__(self, model: Model, stops: Callable[[Hashable, Event], bool] = lambda key, event: False) -> None:
        self._model, self._stops = model, stops
        self._room = BATCH_ROWS_CPU if model.device.type == "cpu" else BATCH_ROWS
        self._waiting: dict[Hashable, tuple[Decoding, Pass]] = {}
        self._standing: dict[Hashable, tuple[Decoding, Pass | None]] = {}

    @property
    def waiting(self) -> tuple[Hashable, ...]:
        """The runs that go on, in the order of joining."""
        return tuple(self._waiting)

    def join(self, key: Hashable, process: Decoding) -> list[tuple[Hashable, Event]]:
        """Start a run and return its first events."""
        return self._advance(key, process, None)

    def turn(self, begins: Callable[[], None] = lambda: None) -> Iterator[tuple[Hashable, Event]]:
        """Give every waiting run one pass and yield the events that follow; ``begins`` is told before each shared pass."""
        for group in self._groups():
            keys = [key for key in group if key in self._waiting]
            if not keys:
                continue
            asked = [self._waiting[key][1] for key in keys]
            begins()
            parts: Sequence[Reply | Exception] = passes_together(self._model, asked)
            for key, part in zip(keys, parts, strict=True):
                if key in self._waiting:
                    yield from self._advance(key, self._waiting.pop(key)[0], part)

    def cancel(self, key: Hashable, why: str = "") -> list[tuple[Hashable, Event]]:
        """End a waiting run now and return its last events; nothing for a run that is over.

        ``why`` becomes the message of its ``End``: nothing where a person asked for it.
        """
        found = self._waiting.pop(key, None) or self._standing.pop(key, None)
        return self._advance(key, found[0], Cancelled(why)) if found else []

    def stand(self, key: Hashable) -> bool:
        """Let a waiting run stand before its next pass; return whether there was one."""
        if key not in self._waiting:
            return False
        self._standing[key] = self._waiting.pop(key)
        return True

    def release(self, key: Hashable) -> list[tuple[Hashable, Event]]:
        """Let a standing run go on; return the events that come before its next pass."""
        process, asked = self._standing.pop(key)
        if asked is None:
            return self._advance(key, process, None)
        self._waiting[key] = (process, asked)
        return []

    def close(self) -> None:
        """End all runs without events."""
        for process, _ in (*self._waiting.values(), *self._standing.values()):
            process.close()
        self._waiting.clear()
        self._standing.clear()

    def _advance(
        self, key: Hashable, process: Decoding, reply: Reply | Exception | None
    ) -> list[tuple[Hashable, Event]]:
        """Feed a run and collect its events until it asks for a pass or is over."""
        events: list[tuple[Hashable, Event]] = []
        try:
            item = process.throw(reply) if isinstance(reply, Exception) else process.send(reply)
            while not isinstance(item, Pass):
                events.append((key, item))
                if self._stops(key, item):
                    self._standing[key] = (process, None)
                    return events
                item = next(process)
            self._waiting[key] = (process, item)
        except StopIteration:
            pass
        except Exception:  # a failure outside the decoder's own loop must not reach the runs beside it
            log.exception("A run failed at its start or its end.")
            events.append((key, End("error", "", Totals(0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0), FAILED)))
        return events

    def _groups(self) -> list[list[Hashable]]:
        """Return the waiting runs, those of one kind of pass together, within the rows that one may have."""
        groups: list[list[Hashable]] = []
        room: dict[Hashable, tuple[list[Hashable] | None, int]] = {}
        for key, (_, asked) in self._waiting.items():
            group, used = room.get(asked.kind, (None, 0))
            if group is None or used + asked.rows > self._room:
                group, used = [], 0
                groups.append(group)
            group.append(key)
            room[asked.kind] = (group, used + asked.rows)
        return groups


def decoding(
    model: Model, plan: Plan, limits: Limits, noise: Noise | None = None, clock: Callable[[], float] = time.perf_counter,
) -> Decoding:
    """Yield the events of one run, and a ``Pass`` wherever a ``Reply`` is to be sent in; ``clock`` is in seconds."""
    world = World(model, plan, limits, noise, clock)
    yield world.start()
    reason, message = "done", ""
    try:
        yield from staged(plan.decoder, plan.request.forks, world)
    except Spent as error:
        reason, message = "budget", str(error)
    except Cancelled as error:
        reason, message = "cancelled", str(error)
    except AppError as error:
        reason, message = "error", str(error)
    except Exception as error:
        log.exception("A run of %s failed.", plan.decoder.name)
        reason, message = "error", f"The machine ran out of memory. {REMEDY}" if is_memory(error) else FAILED
    yield world.end(reason, message)
