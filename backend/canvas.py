"""Pure replay: the canvas and the scores of a run at any step, folded from its events.

``assets/trace.js`` holds the same fold for the browser; a test feeds both the same random runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from backend.events import End, Event, Start, Step

if TYPE_CHECKING:
    from backend.shapes import Float

OPEN = -1
"""Stands for an open position on the canvas of a model without a mask token."""

SAME_NUMBER = 1e-5
"""Largest difference of two numbers that ``same_run`` still calls equal."""


def start_of(events: Iterable[Event]) -> Start:
    """Return the run's ``Start``; raises ``ValueError`` when there is none."""
    for event in events:
        if isinstance(event, Start):
            return event
    raise ValueError("These events hold no Start, so the canvas before the first step is unknown.")


def steps_of(events: Iterable[Event]) -> tuple[Step, ...]:
    """Return the run's steps in order."""
    return tuple(event for event in events if isinstance(event, Step))


def apply(canvas: Sequence[int], step: Step, mask_id: int | None) -> list[int]:
    """Return the canvas after ``step``: masks inserted, then positions erased, then tokens written."""
    changed = list(canvas)
    for position, count in step.grows:
        changed[position:position] = [mask_id] * count
    for position in step.erases:
        changed[position] = mask_id
    for position, token, _ in step.writes:
        changed[position] = token
    return changed


def replay(events: Iterable[Event], n: int) -> tuple[int, ...]:
    """Return the canvas ids after the first ``n`` steps; 0 is the canvas before the first.

    Raises ``ValueError`` when ``n`` is not between 0 and the number of steps.
    """
    events = tuple(events)
    start, steps = start_of(events), steps_of(events)
    if not 0 <= n <= len(steps):
        raise ValueError(f"Step {n} is not in this run; it has steps 0 to {len(steps)}.")
    canvas: list[int] = list(start.canvas)
    for step in steps[:n]:
        canvas = apply(canvas, step, start.model.mask_id)
    return tuple(canvas)


def scores(events: Iterable[Event], name: str) -> Float["steps L"]:
    """Return the recorded score ``name``, float32; row k-1 belongs to step k, NaN = no such value.

    Raises ``ValueError`` that lists the recorded names when ``name`` is not among them.
    """
    import torch  # here, so that a page that only replays does not wait for it

    events = tuple(events)
    steps = steps_of(events)
    names = sorted({key for step in steps for key in step.scores})
    if steps and name not in names:
        raise ValueError(f"Score {name!r} is not recorded; this run has {', '.join(names)}.")
    grown = sum(count for step in steps for _, count in step.grows)
    matrix = torch.full((len(steps), len(start_of(events).canvas) + grown), math.nan)
    for row, step in enumerate(steps):
        values = step.scores.get(name, ())
        known = [(at, value) for at, value in zip(step.masked, values, strict=False) if value is not None]
        if known:
            at, value = zip(*known, strict=True)
            matrix[row, list(at)] = torch.tensor(value, dtype=torch.float32)
    return matrix


def same_run(a: Iterable[Event], b: Iterable[Event]) -> bool:
    """Tell whether two runs took the same decisions: ids, order and notes exactly, numbers closely.

    Numbers may differ by ``SAME_NUMBER`` (relative above 1); times are ignored.
    """
    return _alike(tuple(a), tuple(b))


_TIMES = frozenset({"elapsed_s"})


def _alike(a: object, b: object) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, float) or isinstance(b, float):
        return _close(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if hasattr(a, "__dataclass_fields__"):
        names = set(a.__dataclass_fields__) - _TIMES
        return all(_alike(getattr(a, name), getattr(b, name)) for name in names)
    return a == b


def _close(a: object, b: object) -> bool:
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    return math.isclose(a, b, rel_tol=SAME_NUMBER, abs_tol=SAME_NUMBER)


def answer_ids(canvas: Sequence[int], start: Start) -> tuple[tuple[int, ...], int]:
    """Return the response ids before the first that ends an answer, and how many follow (it included)."""
    response = tuple(canvas[start.prompt_length :])
    ends = {*start.model.stop_ids, start.model.eos_id}
    cut = next((at for at, token in enumerate(response) if token in ends), len(response))
    return response[:cut], len(response) - cut


def end_of(events: Iterable[Event]) -> End | None:
    """Return the run's ``End``, or None while it goes on."""
    return next((event for event in events if isinstance(event, End)), None)
