"""Which choice a position and a step mean, and the canvas on which it was made."""

from __future__ import annotations

import pytest

from backend import RunRequest, replay, run
from backend.canvas import steps_of
from backend.errors import RequestError
from backend.events import Candidates, End, ModelInfo, RunRequest as Request, Start, Step, Totals
from backend.explanations.attribution import attribute, attribution_matrix
from backend.explanations.base import AttributionRequest
from backend.explanations.moments import moment, seen_by, writings, written_at

MASK = 9


def made(*steps: Step) -> tuple:
    """Return a run over a prompt of two tokens and three masks."""
    model = ModelInfo("m", "fake", "masked_diffusion", "0" * 16, "float32", "cpu", 10, MASK, 1)
    end = End("done", "", Totals(len(steps), len(steps), 0, 0.0, 0, 0.0, 0, 0.0, 0))
    return (Start(Request("x", length=3), model, (4, 5, MASK, MASK, MASK), 2, ((2, 5),), {}), *steps, end)


def step(index: int, **what: object) -> Step:
    return Step(index, index, 5 * index, 0.0, **what)


def test_the_last_write_up_to_the_step_is_meant() -> None:
    events = made(step(1, writes=((3, 6, 0.5),)), step(2, writes=((3, 7, 0.6), (2, 8, 0.9))), step(3, writes=((4, 1, 1.0),)))
    assert (moment(events, 3, 1).token, moment(events, 3, 1).ids) == (6, (4, 5, MASK, MASK, MASK))
    for later in (2, 3):
        found = moment(events, 3, later)
        assert (found.step, found.token, found.ids) == (2, 7, (4, 5, MASK, 6, MASK))
    assert written_at(events, moment(events, 4, 3)) == (None, None, 2, 2, None)


def test_an_erased_place_is_not_written_until_it_is_again() -> None:
    events = made(step(1, writes=((3, 6, 0.5),)), step(2, erases=(3,), writes=((2, 8, 0.9),)), step(3, writes=((3, 7, 0.8),)))
    with pytest.raises(RequestError, match="not written yet after step 2; step 3 writes it"):
        moment(events, 3, 2)
    assert moment(events, 3, 3).ids == (4, 5, 8, MASK, MASK)


def test_places_move_where_masks_are_inserted_before_them() -> None:
    events = made(step(1, writes=((4, 6, 0.5),)), step(2, grows=((3, 2),), writes=((3, 7, 0.5),)))
    found = moment(events, 6, 2)
    assert (found.step, found.position, found.token, found.ids) == (1, 4, 6, (4, 5, MASK, MASK, MASK))
    assert seen_by(events, steps_of(events)[1]) == (4, 5, MASK, MASK, MASK, MASK, 6)
    assert written_at(events, moment(events, 3, 2)) == (None,) * 6 + (1,)
    assert writings(events) == ((1, 4, 6), (2, 3, 7))
    with pytest.raises(RequestError, match="nor later in this run"):
        moment(events, 4, 2)


def test_the_runner_up_is_the_best_other_candidate() -> None:
    listed = Candidates((3,), ((7, 6, 5),), ((0.5, 0.3, 0.1),))
    assert moment(made(step(1, writes=((3, 7, 0.5),), candidates=listed)), 3, 1).runner_up == 6
    assert moment(made(step(1, writes=((3, 6, 0.3),), candidates=listed)), 3, 1).runner_up == 7
    assert moment(made(step(1, writes=((3, 6, 0.3),))), 3, 1).runner_up is None


def test_a_causal_run_without_a_mask_is_explained_from_what_came_before(causal_model) -> None:
    events = tuple(run(causal_model, RunRequest("greedy", prompt_ids=(1, 2, 3), length=3)))
    assert causal_model.mask_id is None and min(events[0].canvas) < 0
    second = steps_of(events)[1]
    position, token, _ = second.writes[0]
    found = moment(events, position, 2)
    assert min(found.ids) >= 0 and found.ids[:position] == replay(events, 1)[:position]
    want = attribute(causal_model, AttributionRequest(found.ids, position, token, baseline="mean"))
    assert want.scores[position:].abs().max() == 0 and want.scores[:position].abs().min() > 0
    assert attribution_matrix(causal_model, events, baseline="mean")[1].tolist() == pytest.approx(want.scores.tolist(), abs=1e-6)
