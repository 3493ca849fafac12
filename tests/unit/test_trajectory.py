"""Courses of positions from hand-written events, and regret against one masked position at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend import ModelInfo, RunRequest, Start, Step, replay, run
from backend.canvas import steps_of
from backend.errors import RequestError
from backend.events import Candidates
from backend.explanations.regret import Regret, regrets
from backend.explanations.regret import in_words as regret_in_words
from backend.explanations.trajectory import courses, divergence, in_words

INFO = ModelInfo("m", "f", "masked_diffusion", "", "float32", "cpu", 10, 9, None)


def start_of(length: int) -> Start:
    return Start(RunRequest("llada", prompt_ids=(), length=length), INFO, (9,) * length, 0, (), {})


def step_of(index: int, favourites: dict[int, int], writes=(), **changes) -> Step:
    """A step that saw these favourites with probability 0.6, and token 8 with 0.3."""
    listed = Candidates(tuple(favourites), tuple((token, 8) for token in favourites.values()), ((0.6, 0.3),) * len(favourites))
    return Step(index, index, 0, 0.0, writes=tuple((*write, 0.6) for write in writes), candidates=listed, **changes)


def test_a_position_settles_at_the_last_change_of_its_favourite():
    events = (start_of(2), step_of(1, {0: 1, 1: 1}), step_of(2, {0: 1, 1: 2}, [(0, 1)]), step_of(3, {1: 1}),
              step_of(4, {1: 1}, [(1, 2)]))
    first, second = courses(events)
    assert (first.settled, first.flips, first.written, first.waited, first.kept) == (1, 0, 2, 1, True)
    assert (second.settled, second.flips, second.written, second.waited, second.kept) == (3, 2, 4, 1, False)
    assert (first.token, second.token, second.favourites) == (1, 2, (1, 2, 1, 1))
    assert second.steps == (1, 2, 3, 4) and second.kl[0] == second.kl[2] == second.kl[3] == 0
    assert in_words(events).startswith("2 positions were written; 1 of them never changed")


def test_records_move_with_inserted_masks():
    events = (start_of(1), step_of(1, {0: 1}), step_of(2, {0: 3, 2: 1}, [(2, 1)], grows=((0, 2),)))
    by_position = {course.position: course for course in courses(events)}
    assert by_position[2].steps == (1, 2) and by_position[2].written == 2
    assert by_position[0].steps == (2,) and by_position[0].written is None


def test_a_run_that_wrote_nothing_says_so():
    assert in_words((start_of(3),)) == "Nothing was written in 0 steps on a canvas of 3 positions."


def test_divergence_is_taken_over_shared_tokens_and_the_rest_as_one():
    want = 0.3 * math.log(0.3 / 0.5) + 0.7 * math.log(0.7 / 0.5)
    assert divergence({1: 0.6, 8: 0.3}, {8: 0.5, 2: 0.4}) == pytest.approx(want)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=6, max_size=6), st.integers(1, 5), st.integers(1, 5))
def test_the_recorded_divergence_is_a_lower_bound_of_the_true_one(weights, kept, others):
    p, q = (torch.tensor(side, dtype=torch.float64) for side in zip(*weights, strict=True))
    p, q = p / p.sum(), q / q.sum()
    lists = [{int(at): float(side[at]) for at in side.topk(count).indices} for side, count in ((p, kept), (q, others))]
    assert divergence(*lists) <= float((p * (p / q).log()).sum()) + 1e-9


def test_regret_is_log_p_then_minus_log_p_on_the_final_canvas_with_that_position_masked(mha):
    events = tuple(run(mha, RunRequest("llada", prompt_ids=(3, 4, 5), length=6, settings={"steps": 3})))
    final = replay(events, 3)
    written = {position: (step.index, token, prob) for step in steps_of(events) for position, token, prob in step.writes}
    found = regrets(mha, events)
    assert [item.position for item in found] == sorted(written)
    for item in found:
        canvas = torch.tensor([final])
        canvas[0, item.position] = mha.mask_id
        probs = mha.logits(canvas)[0, item.position].softmax(dim=-1)
        step, token, then = written[item.position]
        assert (item.step, item.token, item.then) == (step, token, then)
        assert item.now == pytest.approx(float(probs[token]), rel=1e-4)
        assert item.nats == pytest.approx(math.log(then) - math.log(float(probs[token])), abs=1e-4)
        assert item.favourite == int(probs.argmax())


def test_a_token_that_was_erased_has_no_regret(mha):
    info = ModelInfo("m", "f", "masked_diffusion", "", "float32", "cpu", mha.vocab_size, mha.mask_id, None)
    start = Start(RunRequest("llada", prompt_ids=(), length=2), info, (mha.mask_id,) * 2, 0, (), {})
    events = (start, Step(1, 1, 0, 0.0, writes=((0, 4, 0.5), (1, 5, 0.5))), Step(2, 2, 0, 0.0, erases=(0,)),
              Step(3, 3, 0, 0.0, writes=((0, 6, 0.25),)))
    assert [(item.position, item.token, item.step) for item in regrets(mha, events)] == [(0, 6, 3), (1, 5, 1)]


def test_a_run_of_another_model_cannot_be_scored_again(mha):
    with pytest.raises(RequestError, match="Load the model of the run"):
        regrets(mha, (start_of(2), step_of(1, {0: 1}, [(0, 1)])))


def test_the_largest_regret_is_told_with_what_the_model_would_write_now(mha):
    found = (Regret(0, 3, 1, 0.5, 0.9, math.log(0.5 / 0.9), 3), Regret(4, 5, 2, 0.9, 0.1, math.log(9), 7))
    line = regret_in_words(mha, found)
    assert line.startswith("Masked alone on the finished canvas, 1 of 2 written tokens are less probable")
    assert f"is 2.20 nats: {mha.token(5)!r} at position 4 had probability 0.900 at step 2 and has 0.100 now" in line
    assert f"would now write {mha.token(7)!r} there" in line


def test_a_model_without_a_mask_has_no_regret(causal_model):
    with pytest.raises(RequestError, match="has no mask token"):
        regrets(causal_model, (start_of(2), step_of(1, {0: 1}, [(0, 1)])))


def test_small_regrets_are_told_as_none_and_no_written_token_as_nothing(mha):
    assert "regrets nothing" in regret_in_words(mha, (Regret(0, 3, 1, 0.50, 0.49, math.log(0.50 / 0.49), 3),))
    assert regret_in_words(mha, ()).startswith("Nothing that was written stands")
