"""Two runs side by side: every number against a slow, naive count from the events."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given

from backend import RunRequest, compare, replay, run, run_many, same_run, scores
from backend.canvas import start_of, steps_of
from tests.conftest import FakeModel
from tests.strategies import runs


def last_change(events, n):
    """Return per answer position the last step up to ``n`` that wrote it, for runs without insertions."""
    start = start_of(events)
    moments = [0] * (len(start.canvas) - start.prompt_length)
    for step in steps_of(events)[:n]:
        for position, _, _ in step.writes:
            moments[position - start.prompt_length] = step.index
    return moments


@given(a=runs(grows=False), b=runs(grows=False))
def test_the_marks_are_those_of_the_replayed_canvases(a, b) -> None:
    compared = compare(a, b, unit="step")
    pairs = []
    for events in (a, b):
        start, n = start_of(events), len(steps_of(events))
        answer = replay(events, n)[start.prompt_length :]
        texts = {}
        for event in events[:-1]:
            texts |= event.texts
        moments = last_change(events, n)
        pairs.append([None if token == 9 else (token, moments[at]) for at, token in enumerate(answer)])
    longest = max(map(len, pairs))
    for place in range(longest):
        x, y = (side[place] if place < len(side) else None for side in pairs)
        mark = compared.marks[place]
        if x is None or y is None:
            assert mark.kind == ("open" if x == y else "only_a" if x else "only_b")
        elif x[0] != y[0]:
            assert mark.kind == "differs"
        else:
            assert (mark.kind, mark.by) == (("same" if x[1] == y[1] else "moved"), x[1] - y[1])


@given(events=runs())
def test_a_run_beside_itself_differs_nowhere(events) -> None:
    compared = compare(events, events)
    assert {mark.kind for mark in compared.marks} <= {"same", "open"}
    assert compared.a == compared.b and compared.fork is None and compared.first_different is None
    assert compared.tau is None or math.isclose(compared.tau, 1.0)


@given(a=runs(grows=False), b=runs(grows=False))
def test_the_fork_is_the_first_step_with_unequal_answers(a, b) -> None:
    def answer(events, n):
        start = start_of(events)
        whole = [None if token == 9 else token for token in replay(events, min(n, len(steps_of(events))))]
        return whole[start.prompt_length :]

    def alike(x, y):
        longest = max(len(x), len(y))
        return [*x, *[None] * (longest - len(x))] == [*y, *[None] * (longest - len(y))]

    steps = max(len(steps_of(a)), len(steps_of(b)))
    assert compare(a, b).fork == next((n for n in range(steps + 1) if not alike(answer(a, n), answer(b, n))), None)


@given(events=runs(grows=False))
def test_consistency_is_the_mean_over_the_written_places(events) -> None:
    start, steps = start_of(events), steps_of(events)
    values = []
    if steps:
        table = scores(events, "consistency")
        answer = replay(events, len(steps))
        for place, step in enumerate(last_change(events, len(steps))):
            at = start.prompt_length + place
            if step and answer[at] != 9 and not math.isnan(table[step - 1, at]):
                values.append(float(table[step - 1, at]))
    shown = compare(events, events).a.consistency
    assert shown is None if not values else math.isclose(shown, sum(values) / len(values), rel_tol=1e-6, abs_tol=1e-9)


def test_the_order_difference_is_kendalls_tau_b() -> None:
    model = FakeModel()
    a = tuple(run(model, RunRequest("llada", prompt="2+2=", length=8, settings={"steps": 4})))
    b = tuple(run(model, RunRequest("random_order", prompt="2+2=", length=8, seed=3)))
    x, y = last_change(a, 4), last_change(b, 8)
    pairs = list(combinations(range(8), 2))
    concordant = sum((x[i] - x[j]) * (y[i] - y[j]) > 0 for i, j in pairs)
    discordant = sum((x[i] - x[j]) * (y[i] - y[j]) < 0 for i, j in pairs)
    free_x, free_y = (sum(side[i] != side[j] for i, j in pairs) for side in (x, y))
    assert 0 < free_x < len(pairs)  # two tokens a step are ties
    assert math.isclose(compare(a, b).tau, (concordant - discordant) / math.sqrt(free_x * free_y))


def test_left_to_right_against_its_reverse_is_minus_one() -> None:
    from dataclasses import replace

    model = FakeModel()
    a = tuple(run(model, RunRequest("left_to_right", prompt="2+2=", length=6)))
    first = start_of(a).prompt_length
    mirrored = tuple(
        replace(event, writes=tuple((2 * first + 5 - at, token, prob) for at, token, prob in event.writes))
        if hasattr(event, "writes") else event for event in a
    )
    assert compare(a, mirrored).tau == -1.0


def test_the_same_request_twice_side_by_side_shows_no_difference_and_equals_single_runs() -> None:
    model = FakeModel()
    asked = [RunRequest("llada", prompt="2+2=", length=12, settings={"temperature": 0.7}, seed=4)] * 2
    lanes: dict[int, list] = {0: [], 1: []}
    for lane, event in run_many(model, asked):
        lanes[lane].append(event)
    single = tuple(run(model, asked[0]))
    assert same_run(lanes[0], single) and same_run(lanes[1], single)
    compared = compare(lanes[0], lanes[1])
    assert compared.count("same") == 12 and compared.fork is None and compared.tau == 1.0


def test_runs_of_other_vocabularies_are_compared_by_text() -> None:
    from dataclasses import replace

    a = tuple(run(FakeModel(), RunRequest("llada", prompt="2+2=", length=6)))
    other = []
    for event in a:
        if hasattr(event, "canvas"):
            model = replace(event.model, weights_hash="1" * 16, mask_id=1256, eos_id=1257)
            event = replace(event, model=model, canvas=tuple(token + 1000 for token in event.canvas), texts={token + 1000: text for token, text in event.texts.items()})
        elif hasattr(event, "writes"):
            event = replace(event, writes=tuple((at, token + 1000, prob) for at, token, prob in event.writes), texts={token + 1000: text for token, text in event.texts.items()})
        other.append(event)
    assert compare(a, other).count("same") == 6


def test_an_unknown_unit_or_step_is_refused() -> None:
    a = tuple(run(FakeModel(), RunRequest("llada", prompt="2+2=", length=4)))
    with pytest.raises(ValueError, match="passes or step"):
        compare(a, a, unit="seconds")
    with pytest.raises(ValueError, match="0 to 4"):
        compare(a, a, at_b=5)
