"""Statistics over many runs, against their definitions written out slowly and closed forms."""

from __future__ import annotations

import csv
import io
import itertools
import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import RunRequest, replay, run, run_many, scores
from backend.canvas import start_of, steps_of
from backend.ensemble import (
    BINS, answer_steps, csv_text, decisions, displacement, ensemble, histogram, kendall_tau, places, row_of, spread, wilson,
    write_steps, written_scores,
)
from backend.measures.catalogue import MEASURES
from tests.conftest import FakeModel
from tests.strategies import runs

ORDERS = st.lists(st.none() | st.integers(1, 12), min_size=0, max_size=14)


def slow_tau(steps: list[int | None]) -> float | None:
    known = [step for step in steps if step is not None]
    agree = against = tied = 0
    for one, other in itertools.combinations(known, 2):
        agree += one < other
        against += one > other
        tied += one == other
    total = agree + against + tied
    return None if agree + against == 0 else (agree - against) / math.sqrt(total * (total - tied))


def slow_displacement(steps: list[int | None]) -> float | None:
    known = [step for step in steps if step is not None]
    if not known:
        return None
    ranks = [sum(other < one for other in known) + (sum(other == one for other in known) - 1) / 2 for one in known]
    return sum(abs(rank - at) for at, rank in enumerate(ranks)) / len(known)


@given(ORDERS)
def test_tau_and_displacement_are_what_their_definitions_say(steps: list[int | None]) -> None:
    assert kendall_tau(steps) == (None if slow_tau(steps) is None else pytest.approx(slow_tau(steps)))
    assert displacement(steps) == (None if slow_displacement(steps) is None else pytest.approx(slow_displacement(steps)))


@pytest.mark.parametrize("count", [2, 5, 6])
def test_the_two_straight_orders_have_closed_forms(count: int) -> None:
    rising, falling = range(1, count + 1), range(count, 0, -1)
    assert kendall_tau(rising) == pytest.approx(1) and displacement(rising) == 0
    assert kendall_tau(falling) == pytest.approx(-1) and displacement(falling) == pytest.approx((count * count // 2) / count)


@pytest.mark.parametrize("count", [3, 6])
def test_random_orders_have_a_mean_tau_of_0_and_the_displacement_of_chance(count: int) -> None:
    orders = list(itertools.permutations(range(1, count + 1)))
    assert statistics.fmean(kendall_tau(order) for order in orders) == pytest.approx(0)
    assert statistics.fmean(displacement(order) for order in orders) == pytest.approx((count * count - 1) / (3 * count))


@given(runs())
def test_the_step_that_wrote_a_token_is_the_first_from_which_it_stands(events: tuple) -> None:
    if any(step.grows for step in steps_of(events)):
        return  # the fold over grown canvases is compared in the test below
    begun, last = start_of(events), len(steps_of(events))
    canvases = [replay(events, n) for n in range(last + 1)]
    for at, found in enumerate(write_steps(events)):
        position = begun.prompt_length + at
        written = any(write[0] == position for step in steps_of(events) for write in step.writes)
        if found is not None:
            assert canvases[found][position] == canvases[last][position]
            assert any(write[0] == position for write in steps_of(events)[found - 1].writes)
        elif written:
            erased = [step.index for step in steps_of(events) if position in step.erases]
            assert erased and canvases[last][position] == begun.model.mask_id


@given(runs())
def test_there_is_one_step_per_place_of_the_last_canvas(events: tuple) -> None:
    assert len(write_steps(events)) == len(replay(events, len(steps_of(events)))) - start_of(events).prompt_length


def test_left_to_right_is_in_reading_order_and_what_follows_the_end_does_not_count(fake: FakeModel) -> None:
    events = tuple(run(fake, RunRequest("left_to_right", prompt="ab", length=9)))
    assert write_steps(events) == tuple(range(1, 10))
    assert kendall_tau(answer_steps(events)) == pytest.approx(1) and displacement(answer_steps(events)) == 0
    token = steps_of(events)[3].writes[0][1]
    ended = (replace(events[0], model=replace(events[0].model, eos_id=token)), *events[1:])
    first = next(at for at, step in enumerate(steps_of(events)) if step.writes[0][1] == token)
    assert answer_steps(ended) == tuple(range(1, first + 2))


def test_a_score_is_read_at_the_step_that_wrote_the_token(fake: FakeModel) -> None:
    events = tuple(run(fake, RunRequest("random_order", prompt="ab", length=8, seed=3)))
    matrix = scores(events, "entropy")
    expected = [float(matrix[step - 1, 2 + at]) for at, step in enumerate(answer_steps(events))]
    assert written_scores(events, "entropy") == pytest.approx(expected)


@given(st.lists(st.floats(-1, 3), max_size=40))
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    bins = histogram(values, 0.0, 2.0)
    edges = [2.0 * at / BINS for at in range(BINS + 1)]
    slow = [sum((at == 0 or value >= edges[at]) and (at == BINS - 1 or value < edges[at + 1]) for value in values) for at in range(BINS)]
    assert sum(bins) == len(values)
    assert sum(abs(a - b) for a, b in zip(bins, slow, strict=True)) <= 2 * sum(any(abs(value - edge) < 1e-9 for edge in edges) for value in values)


@given(st.lists(st.none() | st.floats(-5, 5), max_size=9))
def test_a_spread_leaves_out_what_is_missing(values: list[float | None]) -> None:
    known, short = [value for value in values if value is not None], spread(values)
    if not known:
        assert short is None
    else:
        assert (short.count, short.low, short.high) == (len(known), min(known), max(known))
        assert short.mean == pytest.approx(sum(known) / len(known), abs=1e-9)
        square = sum((value - short.mean) ** 2 for value in known)
        assert short.deviation == pytest.approx(math.sqrt(square / (len(known) - 1)) if len(known) > 1 else 0.0, abs=1e-6)


@pytest.mark.parametrize(("right", "count"), [(0, 5), (3, 8), (50, 100), (7, 7)])
def test_wilsons_limits_are_where_the_score_test_just_rejects(right: int, count: int) -> None:
    low, high = (limit / 100 for limit in wilson(right, count))
    assert 0 <= low <= right / count <= high <= 1
    for limit in (low, high):
        if 0 < limit < 1:
            assert abs(right / count - limit) / math.sqrt(limit * (1 - limit) / count) == pytest.approx(1.959964, rel=1e-6)


def many(model: object, decoder: str, prompts: list[str], settings: dict | None = None, seeds: range = range(4)) -> list[list]:
    found: list[list] = [[] for _ in prompts]
    requests = [RunRequest(decoder, prompt, length=8, settings=settings or {}, seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)]
    for number, event in run_many(model, requests):
        found[number].append(event)
    return found


RANGES = {measure.name: (measure.low, measure.high(258)) for measure in MEASURES}


def test_many_seeds_of_a_rule_that_draws_nothing_are_one_run(fake: FakeModel) -> None:
    view = ensemble(many(fake, "llada", ["ab"] * 4), RANGES)
    assert view.alike and (view.answers, view.orders) == (1, 1)
    assert view.tau.deviation == 0 and all(place.step.deviation == 0 for place in view.places)
    assert view.judged == 0 and view.interval is None


def test_many_seeds_of_a_random_order_differ_and_the_view_says_how(fake: FakeModel) -> None:
    together = many(fake, "random_order", ["ab"] * 4)
    view = ensemble(together, RANGES)
    assert not view.alike and view.orders == 4 and len({decisions(events) for events in together}) == 4
    assert [row.tau for row in view.rows] == [pytest.approx(slow_tau(list(answer_steps(events)))) for events in together]
    for place in view.places:
        steps = [answer_steps(events)[place.position] for events in together]
        assert place.step.mean == pytest.approx(sum(steps) / 4) and (place.step.low, place.step.high) == (min(steps), max(steps))
    assert view.by_chance == pytest.approx((64 - 1) / 24)
    assert all(sum(view.histograms[name]) == len([v for events in together for v in written_scores(events, name)]) for name in RANGES)


def test_verdicts_are_counted_where_a_program_can_judge() -> None:
    together = many(FakeModel(), "left_to_right", ["sum: 1+2=", "ab", "sum: 3+4=", "ab"])
    view = ensemble(together, {})
    assert view.judged == 2 and view.right == 0 and view.interval == wilson(0, 2)
    assert [row.right for row in view.rows] == [False, None, False, None] and view.rows[0].why


def test_places_of_answers_of_unequal_length_count_the_runs_that_reach_them() -> None:
    found = places([(1, 2), (3,), (None, 4)])
    assert [place.step.count for place in found] == [2, 2] and found[1].step.mean == 3


def test_the_table_survives_a_spreadsheet(fake: FakeModel) -> None:
    row = row_of(1, many(fake, "llada", ["ab"], seeds=range(1))[0], ("confidence",))
    nasty = replace(row, answer='=cmd|"x"!A1', prompt='a,"b"\nc', tau=None)
    lines = list(csv.DictReader(io.StringIO(csv_text([row, nasty]))))
    assert lines[0]["answer"] == row.answer or row.answer[:1] in "=+-@\t\r"
    assert lines[1]["answer"] == "'" + nasty.answer and lines[1]["prompt"] == nasty.prompt and lines[1]["kendall_tau"] == ""
    assert float(lines[0]["mean_confidence"]) == pytest.approx(row.scores["confidence"], rel=1e-5)
