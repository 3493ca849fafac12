"""Branches: the counterfactual of the same run, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from backend import Edit, RequestError, RunRequest, branch, from_json, replay, run, run_many, same_run, to_json
from backend.canvas import end_of, start_of, steps_of
from backend.decoders.base import Choice
from backend.events import Fork
from backend.forks import Interventions, branched
from backend.noise import KeyedNoise
from tests.conftest import FakeModel

SAMPLED = [
    ("llada", {"temperature": 0.0}), ("llada", {"temperature": 0.9, "steps": 6}), ("llada", {"temperature": 0.9, "remasking": "random"}),
    ("dream", {"temperature": 0.8, "alg": "origin"}), ("random_order", {"temperature": 0.7}), ("ccd", {}), ("klass", {}),
]


class Overheard(KeyedNoise):
    """Keyed noise that keeps every draw by its place."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.draws: dict[tuple[int, int, int, int], np.ndarray] = {}

    def uniform(self, stream: int, step: int, position: int, size: int) -> np.ndarray:
        drawn = super().uniform(stream, step, position, size)
        self.draws[stream, step, position, size] = drawn
        return drawn


def parent(decoder: str = "llada", settings: dict | None = None, seed: int = 5, length: int = 12):
    return tuple(run(FakeModel(), RunRequest(decoder, prompt="2+2=", length=length, settings=settings or {}, seed=seed)))


@pytest.mark.parametrize(("decoder", "settings"), SAMPLED)
def test_a_branch_with_no_change_equals_its_parent_exactly(decoder: str, settings: dict) -> None:
    events = parent(decoder, settings)
    for at in (1, len(steps_of(events)) // 2, len(steps_of(events))):
        assert same_run(branch(FakeModel(), events, at), events)
        step = next(step for step in steps_of(events)[at - 1 :] if step.writes)
        position, token, _ = step.writes[0]
        again = tuple(branch(FakeModel(), events, step.index, [("write", position, token)]))
        assert same_run(again[1:], events[1:])  # all but the request, which names the fork


@pytest.mark.parametrize(("decoder", "settings"), SAMPLED)
def test_with_one_changed_token_every_other_draw_is_the_same(decoder: str, settings: dict) -> None:
    model, events = FakeModel(), parent(decoder, settings)
    step = next(step for step in steps_of(events)[1:] if step.writes)
    position, token, _ = step.writes[0]
    other = next(each for each in step.candidates.ids[step.candidates.positions.index(position)] if each not in (token, model.mask_id))
    before, after = Overheard(5), Overheard(5)
    assert same_run(run(model, start_of(events).request, noise=before), events)
    request = branched(events, step.index, [Edit("write", position, other)])
    changed = tuple(run(model, request, noise=after))
    shared = before.draws.keys() & after.draws.keys()
    assert all(np.array_equal(before.draws[key], after.draws[key]) for key in shared)
    assert shared or not before.draws
    assert same_run(changed[1 : step.index], events[1 : step.index])
    assert replay(changed, step.index)[position] == other == replay(changed, len(steps_of(changed)))[position]
    assert end_of(changed).reason == "done"


def test_only_what_the_change_reaches_is_different() -> None:
    """The fake model looks one place to either side: farther places keep their token in a run of one step."""
    events = parent(settings={"steps": 1, "temperature": 0.9})
    step = steps_of(events)[0]
    position, token, _ = step.writes[4]
    changed = tuple(branch(FakeModel(), events, 1, [("write", position, 65 if token != 65 else 66)]))
    before, after = replay(events, 1), replay(changed, 1)
    assert [at for at in range(len(before)) if before[at] != after[at]] == [position]


def test_a_forbidden_token_never_comes_again_and_its_probability_is_zero() -> None:
    events = parent(settings={"temperature": 0.0})
    step = steps_of(events)[3]
    position, token, _ = step.writes[0]
    changed = tuple(branch(FakeModel(), events, 4, [("forbid", position, token)]))
    assert same_run(changed[1:4], events[1:4])
    assert all((position, token) != write[:2] for each in steps_of(changed)[3:] for write in each.writes)
    assert end_of(changed).reason == "done" and replay(changed, len(steps_of(changed)))[position] != token
    for each in steps_of(changed)[3:]:
        rows = dict(zip(each.candidates.positions, zip(each.candidates.ids, each.candidates.probabilities, strict=True), strict=True))
        if position in rows and token in rows[position][0]:
            assert rows[position][1][rows[position][0].index(token)] == 0.0


def test_a_pinned_token_is_written_and_no_later_step_erases_or_replaces_it() -> None:
    events = parent()
    position = steps_of(events)[8].writes[0][0]
    pinned = tuple(branch(FakeModel(), events, 3, [("pin", position, 65)]))
    assert same_run(pinned[1:3], events[1:3])
    assert all(replay(pinned, n)[position] == 65 for n in range(3, len(steps_of(pinned)) + 1)) and end_of(pinned).reason == "done"
    choice = Choice(((position, 66, 0.5), (9, 70, 0.5)), (position,))
    kept = Interventions((Fork(3, (("pin", position, 65),)),)).applied(choice, 5, list(replay(pinned, 4)), FakeModel.mask_id, None)
    assert kept.writes == ((9, 70, 0.5),) and kept.erases == () and "is pinned" in kept.why


def test_a_span_is_masked_and_written_again() -> None:
    events = parent()
    stood = [at for at, token in enumerate(replay(events, 8)) if at >= 4 and token != FakeModel.mask_id]
    span = stood[2:5]
    changed = tuple(branch(FakeModel(), events, 8, [("erase", at) for at in span]))
    assert all(replay(changed, 8)[at] == FakeModel.mask_id for at in span) and end_of(changed).reason == "done"


def test_a_move_by_hand_is_one_step_and_another_decoder_goes_on_after_it() -> None:
    events = parent()
    place = next(at for at, token in enumerate(replay(events, 3)) if at >= 4 and token == FakeModel.mask_id)
    request = branched(events, 3, decoder="manual", settings={"moves": f"{place - 4}=65"})
    changed = tuple(run(FakeModel(), replace(request, forks=(*request.forks, Fork(4, decoder="left_to_right")))))
    assert [write[:2] for write in steps_of(changed)[3].writes] == [(place, 65)]
    later = [write[0] for step in steps_of(changed)[4:] for write in step.writes]
    assert later == sorted(later) and end_of(changed).reason == "done"


def test_an_erased_position_is_masked_and_written_again() -> None:
    events = parent()
    position = steps_of(events)[2].writes[0][0]
    changed = tuple(branch(FakeModel(), events, 6, [("erase", position)]))
    assert same_run(changed[1:6], events[1:6])
    assert replay(changed, 6)[position] == FakeModel.mask_id
    assert FakeModel.mask_id not in replay(changed, len(steps_of(changed))) and end_of(changed).reason == "done"
    assert steps_of(changed)[5].erases == (position,) and "Your change" in steps_of(changed)[5].notes["why"]


@pytest.mark.parametrize("decoder", ["left_to_right", "fast_dllm", "block_diffusion", "assd", "order_token_search", "dream"])
def test_another_decoder_goes_on_from_the_step(decoder: str) -> None:
    events = parent(length=32)
    changed = tuple(branch(FakeModel(), events, 10, decoder=decoder, settings={}))
    assert same_run(changed[1:11], events[1:11])
    assert end_of(changed).reason == "done" and FakeModel.mask_id not in replay(changed, len(steps_of(changed)))
    early, late = ({write[0] for step in part for write in step.writes} for part in (steps_of(changed)[:10], steps_of(changed)[10:]))
    assert not early & late  # what the first decoder wrote stays


def test_a_branch_of_a_branch_keeps_both_changes() -> None:
    events = parent()
    first = steps_of(events)[2].writes[0][0]
    once = tuple(branch(FakeModel(), events, 3, [("write", first, 65)]))
    second = steps_of(once)[7].writes[0][0]
    twice = tuple(branch(FakeModel(), once, 8, [("write", second, 66)]))
    last = replay(twice, len(steps_of(twice)))
    assert (last[first], last[second]) == (65, 66) and same_run(twice[1:8], once[1:8])


@pytest.mark.parametrize(("at", "edits", "said"), [
    (0, (), "0 is not a step"), (13, (), "give 1 to 12"), (3, [("write", 2, 65)], "outside the answer"), (3, [("write", 16, 65)], "outside the answer"),
    (3, [("write", 5.0, 65)], "outside the answer"), (3, [("write", 5, True)], "cannot be meant"), (3, [("write", 5, 256)], "cannot be meant"), (3, [("write", 5, None)], "cannot be meant"), (3, [("shuffle", 5, 65)], "is not a change"),
])
def test_a_branch_that_cannot_be_is_refused(at: int, edits: list, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        branch(FakeModel(), parent(), at, edits)


def test_a_change_that_does_not_fit_ends_the_branch_with_a_sentence() -> None:
    events = parent()
    position = steps_of(events)[2].writes[0][0]
    for edits, said in (([("write", position, 65)], "was not predicted in this step"), ([("erase", steps_of(events)[9].writes[0][0])], "nothing to erase")):
        end = end_of(branch(FakeModel(), events, 6, edits))
        assert end.reason == "error" and said in end.message


def test_a_fixed_position_and_other_weights_are_refused() -> None:
    events = tuple(run(FakeModel(), RunRequest("llada", prompt="2+2=", length=6, fixed={1: 65})))
    with pytest.raises(RequestError, match="fixed by the request"):
        branch(FakeModel(), events, 2, [("write", 5, 66)])
    other = FakeModel()
    other.weights_hash = "1" * 16
    with pytest.raises(RequestError, match="other weights|were made with the weights"):
        branch(other, events, 2)


def test_who_goes_on_is_checked_before_any_pass() -> None:
    for decoder, settings, said in (("nobody", None, "no decoder 'nobody'"), ("dream", {"alg": "x"}, "settings.alg"), (None, {"steps": 0}, "settings.steps")):
        with pytest.raises(RequestError, match=said):
            branch(FakeModel(), parent(), 3, decoder=decoder, settings=settings)


def test_who_goes_on_is_held_against_the_model_and_the_canvas() -> None:
    uncached = FakeModel()
    uncached.capabilities = uncached.capabilities - {"cache"}
    for model, decoder, settings, said in (
        (uncached, "fast_dllm", {"cache": "dual"}, "offers cache"), (FakeModel(), "llada2", {}, "whole blocks"),
        (FakeModel(), "manual", {"moves": "0=99999999"}, "cannot be written"),
    ):
        with pytest.raises(RequestError, match=said):
            branch(model, parent(), 3, decoder=decoder, settings=settings)


def test_of_several_branches_each_is_held_against_the_decoder_that_is_at_work_by_then() -> None:
    """The first fork hands over from LLaDA to Dream; what the second changes are then Dream's settings."""
    handed = Fork(3, decoder="dream")
    asked = replace(start_of(parent()).request, forks=(handed, Fork(6, settings={"alg": "entropy"})))
    changed = tuple(run(FakeModel(), asked))
    assert end_of(changed).reason == "done" and same_run(changed[1:], tuple(run(FakeModel(), replace(asked, forks=asked.forks[::-1])))[1:])
    with pytest.raises(RequestError, match="settings.remasking"):
        run(FakeModel(), replace(asked, forks=(handed, Fork(6, settings={"remasking": "random"}))))
    with pytest.raises(RequestError, match="settings.alg"):  # before the hand-over LLaDA is at work still
        run(FakeModel(), replace(asked, forks=(handed, Fork(2, settings={"alg": "entropy"}))))
    with pytest.raises(RequestError, match="whole blocks"):
        run(FakeModel(), replace(asked, forks=(handed, Fork(5, decoder="llada2"), Fork(7, settings={"alg": "entropy"}))))


def test_a_schedule_that_takes_over_begins_at_its_first_step() -> None:
    """Eight steps of Dream's schedule after ten of another: the share of each is that of its own time, not of the run's."""
    events = parent(length=32)
    changed = tuple(branch(FakeModel(), events, 10, decoder="dream", settings={"steps": 8}))
    quotas = [len(step.writes) for step in steps_of(changed)[10:]]
    alone = tuple(run(FakeModel(), RunRequest("dream", prompt="2+2=", length=22, settings={"steps": 8})))
    assert quotas == [len(step.writes) for step in steps_of(alone)] and len(quotas) == 8


def test_a_lane_that_fails_leaves_the_other_as_it_would_be_alone() -> None:
    plain = RunRequest("llada", prompt="2+2=", length=12, seed=5)
    failing = branched(parent(), 6, [("erase", steps_of(parent())[9].writes[0][0])])
    lanes: dict[int, list] = {0: [], 1: []}
    for lane, event in run_many(FakeModel(), [plain, failing]):
        lanes[lane].append(event)
    assert end_of(lanes[1]).reason == "error" and same_run(lanes[0], run(FakeModel(), plain))


def test_a_branch_survives_json() -> None:
    events = parent()
    start = next(iter(branch(FakeModel(), events, 2, [("forbid", 5, 65)], "dream", {"temperature": 0.5})))
    assert from_json(json.dumps(to_json(start))) == start and start.request.forks[0].edits[0].action == "forbid"
