"""Which choice of a run is meant by a position and a step, and the canvas that the model then saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.canvas import replay, start_of, steps_of
from backend.errors import Problem, RequestError
from backend.events import Event, Start, Step


@dataclass(frozen=True)
class Moment:
    """One token of a run as it was chosen.

    ``step``: the step (1..n) that wrote it; ``position``: its place on ``ids``, the canvas [L] before the
    write (masks that the step inserted included); ``runner_up``: the best other recorded candidate.
    """

    step: int
    position: int
    token: int
    probability: float
    ids: tuple[int, ...]
    runner_up: int | None


def moment(events: Sequence[Event], position: int, step: int) -> Moment:
    """Return how the token that stands at ``position`` after ``step`` was written.

    Raises ``RequestError`` for a step or position that the run lacks, a position of the prompt, and one
    that is not written by then.
    """
    events = tuple(events)
    start, steps = start_of(events), steps_of(events)
    if not 1 <= step <= len(steps):
        raise RequestError([Problem("step", f"{step} is not a step of this run; give 1 to {len(steps)}.")])
    length = len(replay(events, step))
    if not start.prompt_length <= position < length:
        raise RequestError([Problem("position", _outside(start, position, length))])
    written = _last_write(steps[:step], position)
    if written is None:
        raise RequestError([Problem("position", _unwritten(steps, position, step))])
    at, place = written
    token, probability = next((token, prob) for spot, token, prob in steps[at - 1].writes if spot == place)
    ids = seen_by(events, steps[at - 1])
    return Moment(at, place, token, probability, ids, runner_up(steps[at - 1], place, token))


def seen_by(events: Sequence[Event], step: Step) -> tuple[int, ...]:
    """Return the canvas that the pass of a step saw: masks that it inserted are there already.

    A causal model may have no mask: its open places then hold some token, which nothing before them sees.
    """
    start = start_of(events)
    ids, mask = list(replay(events, step.index - 1)), start.model.mask_id
    for position, count in step.grows:
        ids[position:position] = [mask] * count
    if named_mask(start) is None:
        ids = [start.model.eos_id or 0 if token == mask else token for token in ids]
    return tuple(ids)


def named_mask(start: Start) -> int | None:
    """Return the mask token of a run's model; None where open places are only marked, by a number that is no token."""
    mask = start.model.mask_id
    return None if mask is None or mask < 0 else mask


def runner_up(step: Step, position: int, token: int) -> int | None:
    """Return the most probable recorded candidate of a position other than ``token``, or None."""
    listed = step.candidates
    if position not in listed.positions:
        return None
    return next((other for other in listed.ids[listed.positions.index(position)] if other != token), None)


def writings(events: Sequence[Event]) -> tuple[tuple[int, int, int], ...]:
    """Return (step, position at that step, token) of every write, in the order of an attribution matrix."""
    return tuple((step.index, position, token) for step in steps_of(events) for position, token, _ in step.writes)


def written_at(events: Sequence[Event], moment: Moment) -> tuple[int | None, ...]:
    """Return for each position of a moment's canvas the step that wrote it; None: prompt, fixed or masked."""
    found: list[int | None] = [None] * len(start_of(events).canvas)
    for step in steps_of(events)[: moment.step]:
        for position, count in step.grows:
            found[position:position] = [None] * count
        if step.index == moment.step:
            break  # its writes come after the pass that is explained
        for position in step.erases:
            found[position] = None
        for position, _, _ in step.writes:
            found[position] = step.index
    return tuple(found)


def _last_write(steps: Sequence[Step], position: int) -> tuple[int, int] | None:
    """Return (step, place at that step) of the write that a position shows after ``steps``, or None."""
    for step in reversed(steps):
        if any(place == position for place, _, _ in step.writes):
            return step.index, position
        if position in step.erases:
            return None
        for place, count in reversed(step.grows):
            if place <= position < place + count:
                return None  # inserted here, as a mask
            position -= count * (position >= place + count)
    return None


def _outside(start: Start, position: int, length: int) -> str:
    first = start.prompt_length
    if 0 <= position < first:
        return f"{position} belongs to the prompt, which was given and not chosen; give {first} to {length - 1}."
    return f"{position} is not in the answer; give {first} to {length - 1}."


def _unwritten(steps: Sequence[Step], position: int, step: int) -> str:
    place = position
    for later in steps[step:]:
        for at, count in later.grows:
            place += count * (place >= at)
        if any(spot == place for spot, _, _ in later.writes):
            return (f"{position} is not written yet after step {step}; step {later.index} writes it. "
                    f"Give step {later.index} or a later one.")
    return f"{position} is not written after step {step}, nor later in this run. Give a position that is."
