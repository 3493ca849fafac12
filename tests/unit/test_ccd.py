"""CCD against its hand example, its released schedule, and the identities of its specification."""

from __future__ import annotations

import math

import pytest
import torch

from backend import RunRequest, replay, run, scores
from backend.canvas import steps_of
from backend.decoders.base import Layout, View
from backend.decoders.catalogue import find_decoder
from backend.noise import KeyedNoise
from tests.conftest import FakeModel

CCD = find_decoder("ccd")
A, B, C = 0, 1, 2
FIRST = {B: (0.10, 0.80, 0.10), C: (0.70, 0.20, 0.10)}
SECOND = {B: (0.15, 0.75, 0.10), C: (0.20, 0.70, 0.10)}
NOW = {A: (0.90, 0.06, 0.04), B: (0.20, 0.70, 0.10), C: (0.15, 0.80, 0.05)}
FLAT = (0.34, 0.33, 0.33)


def view_of(table: dict[int, tuple[float, ...]], step: int) -> View:
    """Return the view of positions with these distributions."""
    positions = tuple(sorted(table))
    rows = torch.tensor([table[at] for at in positions])
    best = rows.max(dim=1)
    return View(step, Layout(0, 8, tuple(range(8))), positions, tuple(best.indices.tolist()), tuple(best.values.tolist()),
                tuple((-(rows * rows.log()).sum(1)).tolist()), rows.log(), KeyedNoise(0), -1)


def decided(**given):
    """Return the choice on the hand example: two passes of history, then the pass to decide on.

    Positions 3 and 4 are certain and are what the first two passes write. A is among the three most
    certain that remain in the second pass only, so it was not kept in all of them.
    """
    settings, state = CCD.Settings(history=2, buffer_size=3, **given), None
    for step, past in enumerate((FIRST, SECOND), 1):
        sure = {at: (0.98, 0.01, 0.01) for at in range(2 + step, 5)}
        state = CCD.choose(view_of({A: FLAT, **past, **sure}, step), settings, state).state
    return CCD.choose(view_of(NOW, 3), settings, state)


def test_the_base_rule_would_write_a_and_ccd_writes_b():
    """A has no history, and C's favourite changed, so its averaged entropy is the larger one."""
    base = CCD.choose(view_of(NOW, 1), CCD.Settings(history=2), None)
    assert [at for at, _, _ in base.writes] == [A]
    choice = decided(adaptive=False)
    assert [(at, token) for at, token, _ in choice.writes] == [(B, 1)]
    assert choice.notes["path"] == "matched" and choice.notes["rejected_top1"] == A
    assert dict(choice.notes["averaged_entropies"]) == pytest.approx({B: 0.7306, C: 0.8964}, abs=1e-4)


def test_the_disagreement_is_that_of_the_example():
    a, b, c = decided(adaptive=False).scores["disagreement"]
    assert b == pytest.approx(0.0068, abs=1e-4) and c == pytest.approx(0.1575, abs=1e-4)


def test_the_adaptive_budget_writes_both_whose_favourite_is_the_last_one():
    choice = decided(adaptive=True)
    assert [(at, token) for at, token, _ in choice.writes] == [(B, 1), (C, 1)]


def test_the_entropy_bound_writes_b_alone():
    choice = decided(adaptive=True, ds_rule="entropy_below_eps", eps=0.8)
    assert [(at, token) for at, token, _ in choice.writes] == [(B, 1)]


class Frozen(FakeModel):
    """Predictions that do not depend on the context, surest from left to right."""

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
        places = torch.arange(input_ids.shape[1], dtype=torch.float32)
        rows = torch.zeros(len(input_ids), input_ids.shape[1], self.vocab_size)
        rows[:, :, 65] = 9.0 - 0.05 * places
        return rows


def written(settings: dict, length: int = 64) -> list[int]:
    """Return how many tokens each pass writes on the frozen model."""
    events = run(Frozen(), RunRequest("ccd", prompt_ids=(), length=length, settings={"mode": "release", **settings}))
    return [len(step.writes) for step in steps_of(events)]


def test_the_released_schedule_on_a_frozen_model_is_the_simulated_one():
    assert written({"adaptive": False}) == [1] * 64
    assert written({}) == [1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 2, 2, 1]
    assert written({"steps": 32}) == [2] * 6 + [3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("given", ({"mode": "paper", "history": 0, "adaptive": False}, {"mode": "release", "warm": 16}))
def test_without_history_ccd_is_its_base_decoder(given):
    base = list(run(FakeModel(), RunRequest("ccd", prompt="base ", length=16, settings={"history": 8, "steps": 16, "mode": "release", "warm": 64})))
    ours = list(run(FakeModel(), RunRequest("ccd", prompt="base ", length=16, settings=given)))
    assert [replay(ours, n) for n in range(17)] == [replay(base, n) for n in range(17)]
    for step in steps_of(ours):
        ((position, _, _),) = step.writes
        entropies = dict(zip(step.masked, step.scores["entropy"], strict=True))
        assert entropies[position] == min(entropies.values())


@pytest.mark.parametrize("mode", ("paper", "release"))
def test_the_adaptive_budget_never_needs_more_passes(mode):
    passes = {}
    for adaptive in (False, True):
        events = list(run(FakeModel(3.0), RunRequest("ccd", prompt="fast ", length=32, settings={"mode": mode, "adaptive": adaptive})))
        passes[adaptive] = events[-1].totals.passes
        for step in steps_of(events):
            assert len(step.writes) >= 1
            if step.notes["path"] == "matched" and mode == "paper":
                order = sorted(step.masked, key=lambda at: (dict(zip(step.masked, step.scores["entropy"]))[at], at))
                assert {at for at, _, _ in step.writes} <= set(order[:4])
    assert passes[True] <= passes[False] == 32


def test_disagreement_is_never_negative_and_zero_for_equal_rows():
    events = list(run(Frozen(), RunRequest("ccd", prompt_ids=(), length=12, settings={"adaptive": False})))
    values = scores(events, "disagreement")
    known = values[~values.isnan()]
    assert len(known) and known.min() >= 0 and known.max() < 1e-5
    moving = scores(list(run(FakeModel(), RunRequest("ccd", prompt="m", length=12))), "disagreement")
    known = moving[~moving.isnan()]
    assert known.min() >= 0 and known.max() <= math.log(3) + 1e-6


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_pass_writes_its_share_and_a_match_comes_from_the_most_certain(adaptive):
    settings = {"adaptive": adaptive, "steps": 16, "block_length": 16, "buffer_size": 4, "history": 1, "history_rule": "any"}
    events = tuple(run(FakeModel(0.7), RunRequest("ccd", prompt="look ", length=32, settings=settings)))
    entropies, matched = scores(events, "entropy"), 0
    for number, step in enumerate(steps_of(events)):
        canvas = replay(events, number)
        block = range(5 + 16 * step.notes["block"], 21 + 16 * step.notes["block"])
        masked = [at for at in block if canvas[at] == 256]
        assert len(step.writes) >= min(2, len(masked))
        if step.notes["path"] == "matched":
            matched += 1
            most_certain = sorted(masked, key=lambda at: float(entropies[number][at]))[:4]
            assert {at for at, _, _ in step.writes} <= set(most_certain)
    assert matched > 0
