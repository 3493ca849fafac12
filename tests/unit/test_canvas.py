"""Replay: the canvas and the scores at a step are a pure fold over the events."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.canvas import SAME_NUMBER, answer_ids, replay, same_run, scores, start_of, steps_of
from backend.events import Event, Step
from tests.strategies import EOS, MASK, runs


def naive(events: tuple[Event, ...], n: int) -> list[int]:
    """Return the canvas after ``n`` steps by looking every cell up from the end backwards."""
    start, steps = start_of(events), steps_of(events)[:n]
    cells: list[object] = [("start", at) for at in range(len(start.canvas))]
    changes: dict[object, int] = {("start", at): token for at, token in enumerate(start.canvas)}
    for step in steps:
        for number, (at, count) in enumerate(step.grows):
            fresh = [(step.index, number, k) for k in range(count)]
            cells = [*cells[:at], *fresh, *cells[at:]]
            changes |= dict.fromkeys(fresh, MASK)
        changes |= {cells[at]: MASK for at in step.erases}
        changes |= {cells[at]: token for at, token, _ in step.writes}
    return [changes[cell] for cell in cells]


@given(runs(), st.data())
def test_replay_equals_following_every_cell_by_hand(events: tuple[Event, ...], data: st.DataObject) -> None:
    n = data.draw(st.integers(0, len(steps_of(events))))
    assert list(replay(events, n)) == naive(events, n)


@given(runs())
def test_replay_of_the_first_steps_does_not_look_at_the_later_ones(events: tuple[Event, ...]) -> None:
    steps = steps_of(events)
    for n in range(len(steps) + 1):
        assert replay(events, n) == replay((events[0], *steps[:n]), n)
    assert replay(events, 0) == events[0].canvas


@given(runs())
def test_replay_never_touches_the_prompt(events: tuple[Event, ...]) -> None:
    start = start_of(events)
    last = replay(events, len(steps_of(events)))
    assert last[: start.prompt_length] == start.canvas[: start.prompt_length]
    assert len(last) == len(start.canvas) + sum(count for step in steps_of(events) for _, count in step.grows)


@given(runs())
def test_scores_hold_what_each_step_recorded_and_nan_elsewhere(events: tuple[Event, ...]) -> None:
    matrix = scores(events, "confidence")
    for row, step in zip(matrix.tolist(), steps_of(events), strict=True):
        known = dict(zip(step.masked, step.scores["confidence"], strict=True))
        for position, value in enumerate(row):
            expected = known.get(position)
            assert math.isnan(value) if expected is None else value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("n", [-1, 99])
@settings(max_examples=10)
@given(events=runs())
def test_a_step_that_is_not_in_the_run_is_refused_with_its_range(n: int, events: tuple[Event, ...]) -> None:
    with pytest.raises(ValueError, match=f"Step {n} is not in this run; it has steps 0 to {len(steps_of(events))}"):
        replay(events, n)


def test_events_without_a_start_are_refused() -> None:
    with pytest.raises(ValueError, match="no Start"):
        replay((Step(1, 1, 1, 0.0),), 0)


@settings(max_examples=10)
@given(runs().filter(lambda events: steps_of(events)))
def test_an_unknown_score_is_refused_with_the_names_that_exist(events: tuple[Event, ...]) -> None:
    with pytest.raises(ValueError, match="confidence, consistency"):
        scores(events, "beauty")


@given(runs())
def test_a_run_is_the_same_as_itself_at_another_speed(events: tuple[Event, ...]) -> None:
    slower = tuple(replace(event, elapsed_s=event.elapsed_s + 1) if isinstance(event, Step) else event for event in events)
    assert same_run(events, slower)


@given(runs().filter(lambda events: any(step.writes for step in steps_of(events))), st.floats(-1, 1))
def test_numbers_may_differ_by_the_stated_amount_and_no_more(events: tuple[Event, ...], change: float) -> None:
    at = next(number for number, event in enumerate(events) if isinstance(event, Step) and event.writes)
    (position, token, probability), *others = events[at].writes
    for shift, same in ((change * 0.9 * SAME_NUMBER, True), (math.copysign(3 * SAME_NUMBER, change), False)):
        moved = replace(events[at], writes=((position, token, probability + shift), *others))
        assert same_run(events, (*events[:at], moved, *events[at + 1 :])) is same


@given(runs().filter(lambda events: any(step.writes for step in steps_of(events))))
def test_another_token_makes_another_run(events: tuple[Event, ...]) -> None:
    at = next(number for number, event in enumerate(events) if isinstance(event, Step) and event.writes)
    (position, token, probability), *others = events[at].writes
    other = replace(events[at], writes=((position, (token + 1) % MASK, probability), *others))
    assert not same_run(events, (*events[:at], other, *events[at + 1 :]))
    assert not same_run(events, events[:-1])


@given(runs())
def test_the_answer_ends_before_the_first_end_of_sequence(events: tuple[Event, ...]) -> None:
    start = start_of(events)
    response = replay(events, len(steps_of(events)))[start.prompt_length :]
    answer, tail = answer_ids((*start.canvas[: start.prompt_length], *response), start)
    assert EOS not in answer and len(answer) + tail == len(response)
    assert answer + response[len(answer) :] == response
    assert tail == 0 or response[len(answer)] == EOS
