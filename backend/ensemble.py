"""Many runs looked at together: in which order they wrote, how sure they were, how often they were right.

Everything is a function of the runs' events. Of each answer only the positions up to its first
end-of-sequence count: what follows is filler, and would pass for a habit of writing from the right.

- *Kendall's tau-b* of the steps against reading order: (C - D) / sqrt(P (P - T)) with C and D pairs
  of positions written in reading order and against it, P all pairs, T pairs written in one step.
  1 = strictly from left to right, -1 = from right to left, 0 = neither (Kendall 1945).
- *Displacement*: how many places, on average, a position's rank among the writes is from its rank
  in the text; positions of one step share their middle rank. A random order expects (n^2 - 1) / 3n.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy

from backend.canvas import end_of, start_of, steps_of
from backend.events import Event
from backend.tasks.catalogue import find_task

BINS = 20
"""Bars of a histogram."""


@dataclass(frozen=True)
class RunRow:
    """One run in the table."""

    number: int
    seed: int
    prompt: str
    answer: str
    reason: str
    right: bool | None
    """None where the answer is unfinished or no program can judge it."""
    why: str
    steps: int
    passes: int
    tau: float | None
    displacement: float | None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """Mean of each score over the tokens that stand, at the step that wrote them."""


@dataclass(frozen=True)
class Spread:
    """Numbers in short: how many, their mean, sample standard deviation (0 for one), and extremes."""

    count: int
    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class Place:
    """The step at which one answer position was written, over all runs; None where none wrote it."""

    position: int
    step: Spread | None


@dataclass(frozen=True)
class Ensemble:
    """What many runs have in common, and how far they differ."""

    rows: tuple[RunRow, ...]
    places: tuple[Place, ...]
    tau: Spread | None
    displacement: Spread | None
    by_chance: float | None
    """Displacement that a random order would have, averaged over the runs."""
    histograms: Mapping[str, tuple[int, ...]]
    """Per score, how many written tokens fall into each of ``BINS`` equal parts of its range."""
    judged: int
    right: int
    interval: tuple[float, float] | None
    """95 % Wilson interval of the share of right answers, in percent."""
    answers: int
    orders: int
    """Different answers, and different orders of writing, among the runs."""
    alike: bool
    """Whether all runs took the same decisions, step by step."""


Runs = Sequence[Sequence[Event]]


def ensemble(runs: Runs, ranges: Mapping[str, tuple[float, float]]) -> Ensemble:
    """Return the view of these finished runs; ``ranges`` are the scores to look at and their scales."""
    rows = tuple(row_of(number, events, ranges) for number, events in enumerate(runs, 1))
    orders = [answer_steps(events) for events in runs]
    judged = [row for row in rows if row.right is not None]
    right = sum(bool(row.right) for row in judged)
    lengths = [count for order in orders if (count := sum(step is not None for step in order))]
    return Ensemble(
        rows, places(orders),
        spread([row.tau for row in rows]), spread([row.displacement for row in rows]),
        statistics.fmean((n * n - 1) / (3 * n) for n in lengths) if lengths else None,
        {name: histogram([value for events in runs for value in written_scores(events, name)], *limits)
         for name, limits in ranges.items()},
        len(judged), right, wilson(right, len(judged)) if judged else None,
        len({row.answer for row in rows}), len(set(orders)),
        len({decisions(events) for events in runs}) <= 1,
    )


def row_of(number: int, events: Sequence[Event], names: Sequence[str] | Mapping[str, object]) -> RunRow:
    """Return the table's row of one finished run."""
    begun, ended, order = start_of(events), end_of(events), answer_steps(events)
    prompt, answer = begun.request.prompt or "", ended.text if ended else ""
    reason = ended.reason if ended else "cancelled"
    task = find_task(prompt) if prompt and reason == "done" else None
    verdict = task.check(prompt, answer) if task else None
    means = {}
    for name in names:
        known = written_scores(events, name)
        means[name] = statistics.fmean(known) if known else None
    steps = steps_of(events)
    return RunRow(
        number, begun.request.seed, prompt, answer, reason, verdict.right if verdict else None, verdict.why if verdict else "",
        len(steps), steps[-1].passes if steps else 0, kendall_tau(order), displacement(order), means,
    )


def write_steps(events: Sequence[Event]) -> tuple[int | None, ...]:
    """Return per answer position of the last canvas the step that wrote the token that stands there.

    None where nothing was written: fixed tokens, and masks that were left.
    """
    return tuple(step for step, _ in _standing(events))


def answer_steps(events: Sequence[Event]) -> tuple[int | None, ...]:
    """Return ``write_steps`` up to the first token that ends an answer, it included."""
    model, standing = start_of(events).model, _standing(events)
    stops = {*model.stop_ids, model.eos_id} - {None}
    ends = [at for at, (_, token) in enumerate(standing) if token in stops]
    return tuple(step for step, _ in standing[: ends[0] + 1 if ends else len(standing)])


def _standing(events: Sequence[Event]) -> list[tuple[int | None, int | None]]:
    """Return (step, token) per answer position; writing a token anew where it stands changes nothing."""
    begun = start_of(events)
    stands: list[tuple[int | None, int | None]] = [(None, token) for token in begun.canvas]
    for step in steps_of(events):
        for position, count in step.grows:
            stands[position:position] = [(None, begun.model.mask_id)] * count
        for position in step.erases:
            stands[position] = (None, begun.model.mask_id)
        for position, token, _ in step.writes:
            if stands[position][0] is None or stands[position][1] != token:
                stands[position] = (step.index, token)
    return stands[begun.prompt_length :]


def decisions(events: Sequence[Event]) -> tuple[object, ...]:
    """Return what a run changed, step by step, without any number that rounding could touch."""
    return tuple((tuple(write[:2] for write in step.writes), step.erases, step.grows) for step in steps_of(events))


def written_scores(events: Sequence[Event], name: str) -> list[float]:
    """Return a score of every token that stands in the answer, at the step that wrote it, where recorded."""
    begun, order = start_of(events), answer_steps(events)
    steps = {step.index: step for step in steps_of(events)}
    if any(step.grows for step in steps.values()):
        return []  # positions then move between steps, and a score is filed under the old one
    found = []
    for at, index in enumerate(order):
        step, position = steps.get(index), begun.prompt_length + at
        if step and name in step.scores and position in step.masked:
            found.append(step.scores[name][step.masked.index(position)])
    return [value for value in found if value is not None]


def kendall_tau(steps: Sequence[int | None]) -> float | None:
    """Return tau-b of the steps against reading order; None for fewer than two positions or one step."""
    order = numpy.array([step for step in steps if step is not None], dtype=numpy.int64)
    pairs = len(order) * (len(order) - 1) // 2
    signs = numpy.triu(numpy.sign(order[None, :] - order[:, None]), 1)
    apart = int(numpy.abs(signs).sum())
    return float(signs.sum() / math.sqrt(pairs * apart)) if apart else None


def displacement(steps: Sequence[int | None]) -> float | None:
    """Return the mean distance, in places, of the order of writing from reading order; None where nothing was written."""
    order = numpy.array([step for step in steps if step is not None], dtype=numpy.int64)
    if not len(order):
        return None
    _, which, counts = numpy.unique(order, return_inverse=True, return_counts=True)
    middle = numpy.cumsum(counts) - (counts + 1) / 2
    return float(numpy.abs(middle[which] - numpy.arange(len(order))).mean())


def places(orders: Sequence[Sequence[int | None]]) -> tuple[Place, ...]:
    """Return, per answer position, the steps at which the runs wrote it."""
    longest = max(map(len, orders), default=0)
    return tuple(Place(at, spread([order[at] for order in orders if at < len(order)])) for at in range(longest))


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return numbers in short, None left out; None where there are none."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    return Spread(len(known), statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else 0.0, min(known), max(known))


def histogram(values: Sequence[float], low: float, high: float) -> tuple[int, ...]:
    """Return how many values fall into each of ``BINS`` equal parts of low..high; values beyond count at the ends."""
    bins = [0] * BINS
    for value in values:
        bins[min(BINS - 1, max(0, int((value - low) / (high - low) * BINS)))] += 1
    return tuple(bins)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of ``right`` in ``count``, in percent."""
    z, share = 1.959964, right / count
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return 100 * max(0.0, (middle - reach) / scale), 100 * min(1.0, (middle + reach) / scale)


def csv_text(rows: Sequence[RunRow]) -> str:
    """Return the table as CSV (RFC 4180); a text that a spreadsheet would compute gets an apostrophe in front."""
    names = list(rows[0].scores) if rows else []
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["run", "seed", "prompt", "answer", "ended", "right", "why", "steps", "passes", "kendall_tau", "displacement",
                     *(f"mean_{name}" for name in names)])
    for row in rows:
        writer.writerow([
            row.number, row.seed, _inert(row.prompt), _inert(row.answer), row.reason, "" if row.right is None else row.right, _inert(row.why),
            row.steps, row.passes, *(_plain(value) for value in (row.tau, row.displacement, *(row.scores[name] for name in names))),
        ])
    return file.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
