"""What sets two runs apart, place by place: tokens, moments of writing, order, cost.

A *place* is a rank in the answer, so that runs whose prompts have different lengths stand side by side.
Everything is folded from the two event lists; ``assets/compare.js`` holds the same numbers for the browser,
and a test gives both the same random runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.canvas import apply, start_of, steps_of
from backend.events import Event, Start, Step

KINDS = ("same", "moved", "differs", "only_a", "only_b", "open")
"""Same token at the same moment, same token at another moment, another token, written in one run only, in none."""


@dataclass(frozen=True)
class Mark:
    """How one place of the answer compares; ``by`` is A's moment minus B's, below 0 where A came first."""

    kind: str
    by: int = 0


@dataclass(frozen=True)
class Side:
    """One run up to a step: what it cost and wrote. ``consistency`` is the mean over the written places, or None."""

    steps: int
    passes: int
    rows: int
    written: int
    tokens_per_pass: float
    consistency: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs, each at a step of its own.

    ``tau`` is Kendall's tau-b of the orders of writing, over the places written in both: 1 the same
    order, -1 the reverse, None where it is not defined. ``fork`` is the first step after which the two answers
    were not equal, or None. ``first_different`` is the place of the first different token: the one
    that either run wrote earliest.
    """

    marks: tuple[Mark, ...]
    a: Side
    b: Side
    tau: float | None
    fork: int | None
    first_different: int | None

    def count(self, kind: str) -> int:
        """Return how many places are of this kind."""
        return sum(mark.kind == kind for mark in self.marks)


@dataclass(frozen=True)
class _Place:
    """What stands at a place: its token (None: masked or absent) and the step that wrote it (0: given)."""

    token: int | None
    step: int


@dataclass(frozen=True)
class _Run:
    start: Start
    steps: tuple[Step, ...]
    texts: dict[int, str]

    def moment(self, step: int, unit: str) -> int:
        return step if unit == "step" or step == 0 else self.steps[step - 1].passes

    def says(self, token: int | None) -> object:
        """Return what a token says in any vocabulary: the end of sequence, or its text."""
        if token is None:
            return None
        return ("end",) if token in {self.start.model.eos_id, *self.start.model.stop_ids} else self.texts.get(token, f"⟨{token}⟩")


def compare(
    a: Iterable[Event], b: Iterable[Event], at_a: int | None = None, at_b: int | None = None, unit: str = "passes"
) -> Comparison:
    """Return how two runs compare after ``at_a`` and ``at_b`` steps (None: all), moments in ``unit``.

    ``unit`` is ``passes`` or ``step``. Raises ``ValueError`` for another unit or a step that a run has not.
    """
    if unit not in ("passes", "step"):
        raise ValueError(f"Unit {unit!r} is unknown; give passes or step.")
    one, two = _run(a), _run(b)
    at_a, at_b = _step(one, at_a), _step(two, at_b)
    same_tokens = one.start.model.weights_hash == two.start.model.weights_hash
    places_a, places_b = _places(one, at_a), _places(two, at_b)
    marks = tuple(
        _mark(one, two, *pair, unit, same_tokens) for pair in _paired(places_a, places_b)
    )
    return Comparison(
        marks, _side(one, at_a), _side(two, at_b), _tau(places_a, places_b),
        _fork(one, two, same_tokens), _first_different(marks, places_a, places_b),
    )


def _run(events: Iterable[Event]) -> _Run:
    events = tuple(events)
    start, steps = start_of(events), steps_of(events)
    texts = dict(start.texts)
    for step in steps:
        texts.update(step.texts)
    return _Run(start, steps, texts)


def _step(run: _Run, at: int | None) -> int:
    if at is None:
        return len(run.steps)
    if not 0 <= at <= len(run.steps):
        raise ValueError(f"Step {at} is not in this run; it has steps 0 to {len(run.steps)}.")
    return at


def _places(run: _Run, at: int) -> list[_Place]:
    """Return what stands at each place of the answer after ``at`` steps."""
    mask = run.start.model.mask_id
    canvas = list(run.start.canvas)
    since = [0] * len(canvas)
    for step in run.steps[:at]:
        for position, count in step.grows:
            since[position:position] = [step.index] * count
        canvas = apply(canvas, step, mask)
        for position in (*step.erases, *(position for position, _, _ in step.writes)):
            since[position] = step.index
    answer = zip(canvas[run.start.prompt_length :], since[run.start.prompt_length :], strict=True)
    return [_Place(None if token == mask else token, step) for token, step in answer]


def _paired(a: Sequence[_Place], b: Sequence[_Place]) -> Iterable[tuple[_Place, _Place]]:
    absent = _Place(None, 0)
    for place in range(max(len(a), len(b))):
        yield a[place] if place < len(a) else absent, b[place] if place < len(b) else absent


def _mark(one: _Run, two: _Run, a: _Place, b: _Place, unit: str, same_tokens: bool) -> Mark:
    if a.token is None or b.token is None:
        return Mark("open" if a.token is b.token else "only_b" if a.token is None else "only_a")
    if not _equal(one, two, a.token, b.token, same_tokens):
        return Mark("differs")
    by = one.moment(a.step, unit) - two.moment(b.step, unit)
    return Mark("moved", by) if by else Mark("same")


def _equal(one: _Run, two: _Run, a: int | None, b: int | None, same_tokens: bool) -> bool:
    return a == b if same_tokens else one.says(a) == two.says(b)


def _side(run: _Run, at: int) -> Side:
    last = run.steps[at - 1] if at else None
    places = _places(run, at)
    passes = last.passes if last else 0
    written = sum(len(step.writes) - len(step.erases) for step in run.steps[:at])
    # A rewrite in place is one write more on the tape and none more on the canvas; the readouts count the tape.
    return Side(at, passes, last.rows if last else 0, written, written / passes if passes else 0.0, _consistency(run, places, at))


def _consistency(run: _Run, places: Sequence[_Place], at: int) -> float | None:
    """Return the mean consistency of the written places at the pass that wrote each."""
    values = []
    for rank, place in enumerate(places):
        if place.token is None or place.step == 0:
            continue
        step, position = run.steps[place.step - 1], _position_then(run, rank, place.step, at)
        if position in step.masked and "consistency" in step.scores:
            value = step.scores["consistency"][step.masked.index(position)]
            if value is not None:
                values.append(value)
    return sum(values) / len(values) if values else None


def _position_then(run: _Run, rank: int, written: int, at: int) -> int | None:
    """Return where a place of step ``at`` stood when the pass of step ``written`` ran; None before it existed."""
    position = run.start.prompt_length + rank
    for step in reversed(run.steps[written - 1 : at]):
        for where, count in reversed(step.grows):
            if where <= position < where + count:
                return None
            position -= count if position >= where else 0
    return position


def _tau(a: Sequence[_Place], b: Sequence[_Place]) -> float | None:
    """Return Kendall's tau-b of the steps at which the places written in both runs were written."""
    both = [(x.step, y.step) for x, y in zip(a, b, strict=False)
            if x.token is not None and y.token is not None and x.step and y.step]
    agree = ties_a = ties_b = 0
    pairs = len(both) * (len(both) - 1) // 2
    for first in range(len(both)):
        for second in range(first):
            in_a = _sign(both[first][0] - both[second][0])
            in_b = _sign(both[first][1] - both[second][1])
            agree += in_a * in_b
            ties_a += in_a == 0
            ties_b += in_b == 0
    if pairs - ties_a <= 0 or pairs - ties_b <= 0:
        return None
    return agree / ((pairs - ties_a) * (pairs - ties_b)) ** 0.5


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _fork(one: _Run, two: _Run, same_tokens: bool) -> int | None:
    """Return the first step after which the two answers were not equal; a run that is over keeps its last."""
    for step in range(max(len(one.steps), len(two.steps)) + 1):
        a, b = (_places(run, min(step, len(run.steps))) for run in (one, two))
        if any(not _equal(one, two, x.token, y.token, same_tokens) for x, y in _paired(a, b)):
            return step
    return None


def _first_different(marks: Sequence[Mark], a: Sequence[_Place], b: Sequence[_Place]) -> int | None:
    different = [place for place, mark in enumerate(marks) if mark.kind == "differs"]
    return min(different, key=lambda place: (min(a[place].step, b[place].step), place), default=None)
