"""What makes the baseline samplers these samplers: schedules, draws, bounds and caches, by hand examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend import RunRequest, replay, run
from backend.canvas import steps_of
from backend.decoders.base import Layout, View
from backend.decoders.catalogue import find_decoder
from backend.decoders.dream import revealed
from backend.decoders.entropy_bound import losses
from backend.decoders.fast_dllm import _accepted
from backend.decoders.schedules import even_schedule, linear_schedule
from backend.noise import KeyedNoise
from tests.conftest import FakeModel

LENGTH = 16


def view_of(probs: list[list[float]], step: int = 1, seed: int = 0, positions: tuple[int, ...] | None = None) -> View:
    """Return the view of masked positions with these distributions over a vocabulary without a mask."""
    rows = torch.tensor(probs, dtype=torch.float32)
    best = rows.max(dim=1)
    entropies = -(rows * rows.clamp_min(1e-30).log()).sum(dim=1)
    places = positions or tuple(range(len(probs)))
    return View(step, Layout(0, len(probs), places), places, tuple(best.indices.tolist()),
                tuple(best.values.tolist()), tuple(entropies.tolist()), rows.clamp_min(1e-30).log(), KeyedNoise(seed), -1)


@pytest.mark.parametrize("schedule", (even_schedule, linear_schedule))
@pytest.mark.parametrize("masks", (1, 2, 7, 16, 33))
@pytest.mark.parametrize("steps", (1, 2, 3, 7, 40))
def test_a_schedule_sums_to_the_number_of_masks(schedule, masks, steps):
    assert sum(schedule(masks, steps)) == masks
    assert len(schedule(masks, steps)) <= steps


def test_the_two_schedules_spend_the_surplus_at_other_ends():
    assert even_schedule(7, 3) == (3, 2, 2)
    assert linear_schedule(7, 3) == (2, 2, 3)


def test_the_linear_schedule_keeps_the_float32_rounding_of_its_reference():
    assert linear_schedule(4, 3) == (1, 1, 2)
    exact, left = [], 4
    for steps_left in (3, 2, 1):
        exact.append(round(left / steps_left))
        left -= exact[-1]
    assert exact == [1, 2, 1]


@pytest.mark.parametrize(("masks", "steps", "want"), (
    (8, 8, [0, 1, 1, 1, 1, 1, 1, 2]), (16, 8, [1, 2, 2, 2, 2, 2, 2, 3]), (10, 4, [2, 2, 2, 4]), (8, 4, [1, 2, 2, 3]),
))
def test_dream_postpones_work_by_rounding_down(masks, steps, want):
    events = run(FakeModel(), RunRequest("dream", prompt="Go ", length=masks, settings={"steps": steps}))
    assert [len(step.writes) for step in steps_of(events)] == want


def test_dream_times_end_at_eps():
    assert revealed(4, 4, 0.25) == 1
    assert revealed(1, 2, 0.5) == pytest.approx(0.25)


def test_dream_draws_positions_with_the_probabilities_of_their_scores():
    decoder, counts = find_decoder("dream"), np.zeros(3)
    settings = decoder.Settings(alg="maskgit_plus", alg_temp=0.3, steps=2, eps=0.3)
    table = [[0.8, 0.1, 0.1], [0.5, 0.25, 0.25], [0.6, 0.2, 0.2]]
    for seed in range(3000):
        choice = decoder.choose(view_of(table, seed=seed), settings, None)
        assert len(choice.writes) == 1
        counts[choice.writes[0][0]] += 1
    want = np.exp(np.array([0.8, 0.5, 0.6]) / 0.3)
    want *= 3000 / want.sum()
    assert ((counts - want) ** 2 / want).sum() < 13.8, "chi-square, 2 degrees of freedom, p = 0.001"


def test_a_warm_draw_follows_the_tempered_distribution_and_records_the_plain_one():
    logits = torch.tensor([1.0, 0.2, -0.5])
    plain, counts = logits.softmax(0), np.zeros(3)
    for seed in range(4000):
        (token,), (probability,) = view_of([plain.tolist()], seed=seed).drawn(0.7)
        counts[token] += 1
        assert probability == pytest.approx(float(plain[token]), abs=1e-6)
    want = 4000 * np.array([0.696, 0.222, 0.082])
    assert ((counts - want) ** 2 / want).sum() < 13.8


def test_the_factor_rule_refuses_the_pair_whose_joint_is_another():
    """With p(1,1) = .32 and p(1,0) = p(0,1) = .34 both marginals of 1 are .66, and (1,1) is no mode."""
    settings = find_decoder("fast_dllm").Settings(factor=1.0)
    assert _accepted([0.66, 0.66], settings, None)[0] == 1
    assert _accepted([0.67, 0.67], settings, None)[0] == 2


def test_the_factor_thresholds_are_those_of_the_theorem():
    settings = find_decoder("fast_dllm").Settings(factor=1.0)
    for count, threshold in ((2, 2 / 3), (3, 0.75), (4, 0.8), (5, 5 / 6)):
        assert _accepted([threshold + 1e-9] * count, settings, None)[0] == count
        assert _accepted([threshold - 1e-6] * count, settings, None)[0] < count


def test_the_entropy_bound_cuts_where_the_sum_without_the_largest_passes_it():
    entropies = sorted((0.02, 0.05, 0.3, 0.04, 1.2))
    assert losses(entropies) == pytest.approx([0, 0.02, 0.06, 0.11, 0.41])
    assert [sum(loss <= gamma for loss in losses(entropies)) for gamma in (0.1, 0.0, 100.0)] == [3, 1, 5]


def test_klass_waits_for_a_confident_place_that_still_moves():
    decoder = find_decoder("klass")
    settings = decoder.Settings(confidence=0.6, kl=0.02, history=2)
    moving = [[[0.9, 0.1], [0.7, 0.3]], [[0.1, 0.9], [0.7, 0.3]], [[0.9, 0.1], [0.7, 0.3]]]
    state, written = None, []
    for number, table in enumerate(moving):
        view = view_of(table, step=number + 1)
        choice = decoder.choose(view, settings, state)
        state = choice.state
        written.append([position for position, _, _ in choice.writes])
    assert written[2] == [1], "place 1 did not move and is ready; place 0 flips and waits"


def test_klass_never_calls_a_first_pass_stable():
    decoder = find_decoder("klass")
    settings = decoder.Settings(confidence=0.5, kl=100.0, history=1)
    first = decoder.choose(view_of([[0.9, 0.1], [0.8, 0.2]]), settings, None)
    assert len(first.writes) == 1 and "No position was ready" in first.why
    second = decoder.choose(view_of([[0.9, 0.1], [0.8, 0.2]], step=2), settings, first.state)
    assert len(second.writes) == 2


@pytest.mark.parametrize("name", ("block_diffusion", "llada2"))
def test_cached_predictions_equal_uncached_ones_under_block_causal_attention(golden_models, name):
    model = golden_models["a2d_qwen3"]
    ids = (51, 45, 14, 26, 54)
    events = tuple(run(model, RunRequest(name, prompt_ids=ids, length=12, settings={"block_length": 4})))
    blocks = events[0].blocks
    offset = 0 if name == "llada2" else len(ids)
    for number, step in enumerate(steps_of(events)):
        canvas = torch.tensor([replay(events, number)])
        block = (torch.arange(canvas.shape[1]) - offset).div(4, rounding_mode="floor")
        logits = model.logits(canvas, (block[None] <= block[:, None])[None])
        top = logits.softmax(dim=-1).max(dim=-1).values[0]
        for position, row in zip(step.candidates.positions, step.candidates.probabilities, strict=True):
            assert row[0] == pytest.approx(float(top[position]), abs=2e-5)
    assert len(blocks) == 4 if name == "llada2" else 3


@pytest.mark.parametrize("cache", ("prefix", "dual"))
def test_a_bidirectional_cache_is_exact_at_the_pass_that_built_it_and_stale_later(golden_models, cache):
    model = golden_models["llada_gqa"]
    given = {"cache": cache, "block_length": 8, "threshold": 0.9, "audit": True}
    events = tuple(run(model, RunRequest("fast_dllm", prompt_ids=(76, 105, 3), length=16, settings=given)))
    drifts = [step.notes.get("cache_drift_max") for step in steps_of(events)]
    assert drifts[0] is None and max(value for value in drifts if value is not None) > 1e-3
    assert all(max(step.cache_ages) == 0 for step in steps_of(events) if "cache_drift_max" not in step.notes
               and "once more" not in step.notes["why"])
    aged = [step for step in steps_of(events) if max(step.cache_ages)]
    computed = 8 if cache == "dual" else 16
    assert aged[0].cache_ages == (1,) * 3 + ((0,) * 16 if cache == "prefix" else (0,) * 8 + (1,) * 8)
    assert sum(age == 0 for age in aged[0].cache_ages) == computed


def test_the_cache_saves_rows_and_not_passes():
    runs = {cache: tuple(run(FakeModel(), RunRequest("fast_dllm", prompt="abc", length=LENGTH, settings={
        "cache": cache, "block_length": 8, "threshold": None, "steps": LENGTH}))) for cache in ("none", "prefix", "dual")}
    passes = {name: events[-1].totals.passes for name, events in runs.items()}
    rows = {name: events[-1].totals.rows for name, events in runs.items()}
    assert passes == {"none": 16, "prefix": 16, "dual": 16}
    assert rows == {"none": 16 * 19, "prefix": 2 * 19 + 7 * 16 + 7 * 8, "dual": 2 * 19 + 14 * 8}


def test_block_diffusion_stops_after_the_block_that_ends_the_text():
    model = FakeModel()
    model._at[3 + 5, model.eos_id] += 1000
    events = tuple(run(model, RunRequest("block_diffusion", prompt="abc", length=LENGTH, settings={"block_length": 4})))
    final = replay(events, len(steps_of(events)))
    assert final[3 + 5] == model.eos_id and set(final[3 + 8:]) == {model.mask_id}
    assert events[-1].reason == "done" and model.mask_id not in final[: 3 + 8]


def test_llada2_writes_the_schedule_when_too_few_are_above_the_threshold():
    settings = {"block_length": 8, "steps_per_block": 3, "threshold": 1.0}
    events = run(FakeModel(), RunRequest("llada2", prompt="12345678", length=LENGTH, settings=settings))
    assert [len(step.writes) for step in steps_of(events)] == [3, 3, 2, 3, 3, 2]
    settings["threshold"] = 0.0
    events = run(FakeModel(), RunRequest("llada2", prompt="12345678", length=LENGTH, settings=settings))
    assert [len(step.writes) for step in steps_of(events)] == [8, 8]
