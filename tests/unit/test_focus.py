"""FOCUS: its importance and selection by hand, its laws on whole runs, and what it reduces to."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend import RunRequest, replay, run, scores
from backend.canvas import steps_of
from backend.decoders.eviction import importance, importance_gain, logarithms, selection
from tests.conftest import FakeModel

PLACES = (3, 4, 5, 8, 9, 10, 13, 15)
GAINS = (-0.9, -0.2, 1.6, -0.5, 0.1, -0.6, 0.9, -0.4)


def test_pooling_gives_a_token_the_score_of_its_neighbour():
    flat = torch.zeros(1, 4, 4)
    peaked = torch.tensor([0.0, 0.0, 0.0, 2 * math.log(2)]).repeat(1, 4, 1)
    assert importance(flat, 3).tolist() == pytest.approx([1, 1, 1, 1])
    assert importance(peaked, 3).tolist() == pytest.approx([0.4, 0.4, 1.6, 1.6])
    assert importance_gain([flat, peaked], 3) == pytest.approx([-0.6, -0.6, 0.6, 0.6])
    assert importance_gain([flat, peaked], 1) == pytest.approx([-3 / 7, -3 / 7, -3 / 7, 9 / 7])


@pytest.mark.parametrize(("alpha", "progress", "budget", "selected", "kept"), (
    (1.5, 8, 2, {5, 13}, {4, 5, 9, 10, 13}),
    (1.5, 15, 2, {5, 13}, {4, 5, 13}),
    (1.5, -1, 2, {5, 13}, {3, 4, 5, 8, 9, 10, 13}),
    (2.5, 8, 3, {5, 9, 13}, {4, 5, 8, 9, 10, 13}),
    (8.0, 8, 8, set(PLACES), set(PLACES)),
))
def test_the_hand_example_keeps_what_it_should(alpha, progress, budget, selected, kept):
    picked = selection(PLACES, GAINS, 1.0, alpha, progress)
    assert picked.budget == budget and picked.above == 2
    assert {PLACES[at] for at in picked.selected} == selected
    assert {PLACES[at] for at in picked.kept} == kept


def test_equal_gains_keep_everything_and_one_mask_is_kept():
    assert selection(range(6), [0.0] * 6, 1.0, 1.5, 5).kept == frozenset(range(6))
    assert selection((4,), [0.0], 1.0, 1.0, -1).kept == {0}


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(
    st.lists(st.integers(0, 40), min_size=n, max_size=n, unique=True), st.lists(st.floats(-2, 2), min_size=n, max_size=n),
    st.floats(1, 4), st.floats(1, 6), st.integers(-1, 40))))
def test_the_laws_of_the_kept_set(case):
    places, gains, alpha, pace, progress = case
    places = sorted(places)
    picked = selection(places, gains, pace, alpha, progress)
    assert picked.selected <= picked.kept and len(picked.selected) >= picked.budget
    edge = max(places[at] for at in picked.kept)
    assert all(at in picked.kept for at, place in enumerate(places) if progress < place < edge)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 10**6))
def test_importance_sums_to_heads_times_tokens(heads, count, seed):
    scores = torch.randn(heads, count, count, generator=torch.Generator().manual_seed(seed))
    assert float(importance(scores, 3).sum()) == pytest.approx(heads * count)
    assert importance(logarithms(scores.softmax(dim=-1)), 3).tolist() == pytest.approx(importance(scores, 3).tolist(), abs=1e-5)


def events_of(**given) -> tuple:
    """Return the events of a run on a fake model."""
    return tuple(run(FakeModel(), RunRequest("focus", prompt="look ", length=32, settings={"block_length": 16, **given})))


def test_with_a_large_budget_nothing_is_evicted_and_it_is_threshold_decoding():
    ours = events_of(alpha=1000.0, threshold=0.6)
    theirs = tuple(run(FakeModel(), RunRequest("fast_dllm", prompt="look ", length=32, settings={"block_length": 16, "threshold": 0.6})))
    assert all(not step.notes["evicted"] for step in steps_of(ours))
    assert [replay(ours, n) for n in range(len(ours) - 1)] == [replay(theirs, n) for n in range(len(theirs) - 1)]


def test_evicted_tokens_wait_and_gains_sum_to_zero():
    events = events_of(threshold=0.6)
    deltas = scores(events, "focus_delta")
    evictions = 0
    for number, step in enumerate(steps_of(events)):
        evictions += len(step.notes["evicted"])
        written = {position for position, _, _ in step.writes}
        assert written and written <= set(step.notes["kept"]) and not written & set(step.notes["evicted"])
        known = deltas[number][~deltas[number].isnan()]
        assert abs(float(known.sum())) < 1e-5
    assert evictions > 0


def test_eviction_saves_compute_and_the_share_is_between_none_and_all(gqa):
    given = {"block_length": 16, "threshold": 0.9, "alpha": 1.0}
    last = steps_of(run(gqa, RunRequest("focus", prompt_ids=(5, 6, 7), length=32, settings=given)))[-1]
    assert 0 <= last.notes["compute_saved"] < 1
    assert last.notes["processed_per_token"] >= 1
