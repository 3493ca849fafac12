"""How settled a run was about each position, folded from its events alone.

A position's arg-max at a step is its first recorded candidate. It settles at the first step from which
that arg-max stays the same until the position is written; a flip is a change of it. How far a step was
from the last distribution of its position is bounded from below by what is recorded: the divergence of
the two distributions over the tokens that both lists name, everything else being one token more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.canvas import start_of, steps_of
from backend.events import Event

TINY = 1e-12


@dataclass(frozen=True)
class Course:
    """One position through a run.

    ``settled``: the step (1..n) from which its arg-max never changed again; ``flips``: how often it
    changed; ``written`` and ``token``: the step that wrote it last and what it wrote, None if none did; ``kept``: whether the token
    written is the arg-max it had settled on. ``steps``, ``favourites`` and ``kl``: the steps that recorded
    candidates, the arg-max there, and KL(final ‖ then) there, a lower bound in nats.
    """

    position: int
    settled: int
    flips: int
    written: int | None
    token: int | None
    kept: bool
    steps: tuple[int, ...]
    favourites: tuple[int, ...]
    kl: tuple[float, ...]

    @property
    def waited(self) -> int | None:
        """Steps between settling and being written."""
        return None if self.written is None else self.written - self.settled


@dataclass
class _Seen:
    """What the steps recorded about one position so far."""

    steps: list[int]
    lists: list[dict[int, float]]
    written: int | None = None
    token: int | None = None


def courses(events: Iterable[Event]) -> tuple[Course, ...]:
    """Return the course of every position that was ever masked and had candidates, in order.

    Positions are those of the last canvas: where a run inserts masks, earlier records move with them.
    """
    seen: dict[int, _Seen] = {}
    for step in steps_of(events):
        for at, count in step.grows:
            seen = {position + count * (position >= at): record for position, record in seen.items()}
        listed = step.candidates
        for position, ids, probs in zip(listed.positions, listed.ids, listed.probabilities, strict=True):
            record = seen.setdefault(position, _Seen([], []))
            record.steps.append(step.index)
            record.lists.append(dict(zip(ids, probs, strict=True)))
        for position, token, _ in step.writes:
            if position in seen:
                seen[position].written, seen[position].token = step.index, token
    return tuple(_course(position, seen[position]) for position in sorted(seen))


def _course(position: int, seen: _Seen) -> Course:
    favourites = [next(iter(found)) for found in seen.lists]
    changes = [at for at in range(1, len(favourites)) if favourites[at] != favourites[at - 1]]
    settled = seen.steps[changes[-1] if changes else 0]
    kl = tuple(divergence(seen.lists[-1], found) for found in seen.lists)
    return Course(position, settled, len(changes), seen.written, seen.token, seen.token == favourites[-1],
                  tuple(seen.steps), tuple(favourites), kl)


def divergence(final: dict[int, float], then: dict[int, float]) -> float:
    """Return KL(final ‖ then) over the tokens both name and one for the rest: at most the true value."""
    shared = final.keys() & then.keys()
    pairs = [(final[token], then[token]) for token in shared]
    pairs.append(tuple(max(0.0, 1.0 - sum(side)) for side in ([p for p, _ in pairs], [q for _, q in pairs])))
    return max(0.0, sum(p * math.log(p / max(q, TINY)) for p, q in pairs if p > TINY))


def in_words(events: Iterable[Event], found: Sequence[Course] | None = None) -> str:
    """Return one line about the run: how early its positions had settled, and how often they changed."""
    events = tuple(events)
    found = courses(events) if found is None else found
    written = [course for course in found if course.written is not None]
    if not written:
        return f"Nothing was written in {len(steps_of(events))} steps on a canvas of {len(start_of(events).canvas)} positions."
    waits = sorted(course.waited for course in written)
    at_once = sum(course.flips == 0 for course in written)
    flips = sum(course.flips for course in written)
    return (f"{len(written)} positions were written; {at_once} of them never changed their first guess, the others changed it "
            f"{flips} times in all. Half of them had settled at least {waits[len(waits) // 2]} steps before they were written.")
