"""Order-Token Search against its hand example, its cost formula and LLaDA's sampler."""

from __future__ import annotations

import math

import pytest
import torch

from backend import RunRequest, replay, run
from backend.canvas import steps_of
from backend.decoders.catalogue import find_decoder
from backend.decoders.order_token_search import Beam, Counts, Proposal, scored
from backend.events import Branch
from backend.models.base import ModelOutput
from backend.requests import prepare
from backend.world import World
from tests.conftest import FakeModel

JOINT = {(0, 0): 0.40, (1, 1): 0.35, (0, 1): 0.15, (1, 0): 0.10}
MASK = 2


class Exact(FakeModel):
    """Exact conditionals of a joint distribution of two tokens: a = 0, b = 1, the mask is 2."""

    mask_id, eos_id, vocab_size = MASK, None, 3

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
        out = torch.full((*input_ids.shape, 3), -60.0)
        for row, ids in enumerate(input_ids.tolist()):
            for position in range(2):
                other = ids[1 - position]
                mass = [sum(p for pair, p in JOINT.items() if pair[position] == token and other in (MASK, pair[1 - position]))
                        for token in (0, 1)]
                out[row, position, :2] = torch.tensor(mass).div(sum(mass)).log()
        return out


def answers(world: World, asking):
    """Run a generator of passes against the exact model and return its result."""
    model = Exact()
    try:
        asked = next(asking)
        while True:
            asked = asking.send(ModelOutput(model.logits(asked.canvases)[asked.project]))
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize(("text", "block", "want"), (
    ((0, 0), 0, -0.2231), ((1, 1), 0, -0.3567), ((0, 1), 0, -1.2040), ((1, 0), 0, -1.6094),
    ((0, 0), 1, -0.3185), ((1, 1), 1, -0.2513), ((0, 1), 1, -1.2993), ((1, 0), 1, -1.5041),
))
def test_a_block_is_scored_against_the_predicted_rest(text, block, want):
    plan = prepare(Exact(), RunRequest("order_token_search", prompt_ids=(), length=2, top_k=2, settings={"block_length": 1, "steps": 2}))
    world = World(Exact(), plan)
    world.start()
    written = (text[0], MASK) if block else (MASK, MASK)
    proposal = Proposal(Beam(written), Beam(text), text, ((block, text[block], 0.5),))
    ((score, _),) = answers(world, scored(world, plan.settings, [proposal], (block, block + 1), Counts()))
    assert score == pytest.approx(want, abs=1e-4)


def test_the_search_returns_the_joint_mode():
    found = set()
    for seed in range(4):
        events = tuple(run(Exact(), RunRequest("order_token_search", prompt_ids=(), length=2, seed=seed, top_k=2, settings={
            "beams": 8, "block_length": 1, "steps": 2, "temperature": 2.0})))
        found.add(replay(events, 2))
    assert found == {(0, 0)}


def run_of(model, **given) -> tuple:
    """Return the events of a search on a fake model."""
    seed = given.pop("seed", 0)
    return tuple(run(model, RunRequest("order_token_search", prompt="seek ", length=32, seed=seed, settings=given)))


@pytest.mark.parametrize("temperature", (0.0, 0.8))
def test_one_beam_is_llada_with_the_same_noise(temperature):
    shared = {"block_length": 8, "steps": 16, "temperature": temperature}
    ours = run_of(FakeModel(), beams=1, seed=4, **shared)
    theirs = tuple(run(FakeModel(), RunRequest("llada", prompt="seek ", length=32, seed=4, settings=shared)))
    assert [replay(ours, n) for n in range(17)] == [replay(theirs, n) for n in range(17)]


def test_the_cost_is_that_of_the_formula():
    beams, blocks, per_block = 3, 4, 4
    last = steps_of(run_of(FakeModel(0.7), beams=beams, block_length=8, steps=16, temperature=1.5))[-1]
    assert last.notes["proposal_sequences"] == 1 + (per_block - 1) * beams + (blocks - 1) * per_block * beams
    assert last.notes["scoring_sequences"] == beams + (blocks - 1) * beams**2
    assert last.passes == 16 + blocks, "proposals and scores are one batched pass each"


def test_kept_candidates_score_at_least_as_well_as_pruned_ones_and_scores_add_up():
    events = run_of(FakeModel(0.7), beams=3, block_length=8, steps=8, temperature=1.0)
    branches = [event for event in events if isinstance(event, Branch)]
    parents = {branch.node: branch for branch in branches}
    for step in {branch.step for branch in branches}:
        kept = [branch.score for branch in branches if branch.step == step and branch.kept]
        pruned = [branch.score for branch in branches if branch.step == step and not branch.kept]
        assert not pruned or min(kept) >= max(pruned) - 1e-9
        assert 1 <= len(kept) <= 3
    for branch in branches:
        assert branch.parent is None or parents[branch.parent].kept
        assert branch.score <= (parents[branch.parent].score if branch.parent else 0.0) + 1e-9
        assert math.isfinite(branch.score)


def test_a_child_shares_the_prompt_and_the_earlier_blocks_with_its_parent():
    events = run_of(FakeModel(0.7), beams=3, block_length=8, steps=8, temperature=1.0)
    block_of = {step.index: step.notes["block"] for step in steps_of(events)}
    branches = {event.node: event for event in events if isinstance(event, Branch)}
    deepest = 0
    for branch in branches.values():
        first = 5 + 8 * block_of[branch.step]
        written = {at for at, _, _ in branch.writes}
        assert written and written <= set(range(first, first + 8))
        line, parent = [], branch.parent
        while parent is not None:
            line, parent = [*line, branches[parent]], branches[parent].parent
        assert written.isdisjoint(at for ancestor in line for at, _, _ in ancestor.writes)
        deepest = max(deepest, len(line))
    assert deepest == 3  # four blocks, chosen among once each


def test_the_number_of_masks_falls_by_the_same_quota_for_every_beam():
    events = run_of(FakeModel(0.7), beams=4, block_length=16, steps=16, temperature=1.0)
    left = [state.count(256) for state in (replay(events, n) for n in range(17))]
    assert left == [32 - 2 * n for n in range(17)]


def test_without_noise_all_proposals_are_one():
    events = run_of(FakeModel(), beams=4, block_length=8, steps=16, temperature=0.0)
    assert all(step.notes["distinct"] == 1 and len(step.notes["scores"]) == 1 for step in steps_of(events))


def test_the_last_shown_canvas_is_that_of_the_best_beam():
    assert find_decoder("order_token_search").remasks
    last = steps_of(run_of(FakeModel(0.7), beams=4, block_length=8, steps=8, temperature=1.2))[-1]
    assert last.notes["scores"][0] == max(last.notes["scores"])
