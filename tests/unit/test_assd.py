"""ASSD: exactness by enumeration and by chi-square, first drafts, the bound on calls, and independence."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend import RunRequest, replay, run
from backend.canvas import steps_of
from backend.decoders.assd import judged
from backend.noise import KeyedNoise
from tests.conftest import FakeModel

FIRST = (0.6, 0.4)
SECOND = {0: (0.9, 0.1), 1: (0.2, 0.8)}
MARGINAL = (0.62, 0.38)
TARGET = {(0, 0): 0.54, (0, 1): 0.06, (1, 0): 0.08, (1, 1): 0.32}


class Chain(FakeModel):
    """Places that depend on their left neighbour: the toy of two tokens, repeated; 2 is the mask."""

    mask_id, eos_id, vocab_size = 2, None, 3

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
        out = torch.full((*input_ids.shape, 3), -60.0)
        for row, ids in enumerate(input_ids.tolist()):
            marginal = FIRST
            for at in range(len(ids)):
                if at:
                    given = SECOND.get(ids[at - 1])
                    marginal = given or tuple(sum(marginal[a] * SECOND[a][b] for a in (0, 1)) for b in (0, 1))
                out[row, at, :2] = torch.tensor(marginal, dtype=torch.float64).log().float()
                if ids[at] != 2:
                    marginal = (1.0, 0.0) if ids[at] == 0 else (0.0, 1.0)
        return out


def events_of(model, length: int, seed: int = 0, **given) -> tuple:
    """Return the events of a run."""
    return tuple(run(model, RunRequest("assd", prompt_ids=(), length=length, seed=seed, settings=given, top_k=2)))


def probability(text: tuple[int, ...]) -> float:
    """Return what one-by-one sampling from left to right gives a text."""
    total = FIRST[text[0]]
    for left, token in zip(text, text[1:], strict=False):
        total *= SECOND[left][token]
    return total


@pytest.mark.parametrize(("length", "drafts", "critical"), ((2, 2, 16.27), (3, 3, 24.32)))
def test_texts_are_distributed_as_if_written_one_by_one(length, drafts, critical):
    """Chi-square at p = 0.001 with 2^length - 1 degrees of freedom."""
    runs, counts = 400, {}
    model = Chain()
    for seed in range(runs):
        events = events_of(model, length, seed, drafts=drafts)
        text = replay(events, len(steps_of(events)))
        counts[text] = counts.get(text, 0) + 1
    texts = list(itertools.product((0, 1), repeat=length))
    want = np.array([runs * probability(text) for text in texts])
    got = np.array([counts.get(text, 0) for text in texts])
    assert ((got - want) ** 2 / want).sum() < critical
    if length == 2:
        assert {text: round(probability(text), 2) for text in texts} == TARGET
        independent = np.array([runs * FIRST[a] * MARGINAL[b] for a, b in texts])
        assert ((got - independent) ** 2 / independent).sum() > 30, "independent drafting would be another distribution"


def test_the_second_draft_is_accepted_with_the_probability_of_the_toy():
    verdict_of, runs, accepted = None, 4000, 0
    for seed in range(runs):
        source = np.random.default_rng(seed)
        y0, y1 = int(source.random() >= FIRST[0]), int(source.random() >= MARGINAL[0])
        world = SimpleNamespace(settings=SimpleNamespace(temperature=1.0, leniency=0.0), noise=KeyedNoise(seed), next_step=1)
        drafted = torch.tensor([FIRST, MARGINAL], dtype=torch.float64)
        true = torch.tensor([FIRST, SECOND[y0]], dtype=torch.float64)
        verdict_of = judged(drafted, true, [y0, y1], [0, 1], world)
        assert verdict_of[0].accepted
        accepted += verdict_of[1].accepted
    assert accepted / runs == pytest.approx(0.664, abs=0.025)


def test_the_first_draft_is_always_accepted():
    for seed in range(20):
        for step in steps_of(events_of(Chain(), 8, seed, drafts=4)):
            if "verdicts" in step.notes:
                _, _, drafted, true, apart = step.notes["verdicts"][0]
                assert drafted == pytest.approx(true, abs=1e-6) and apart < 1e-6
                assert step.notes["accepted"] >= 1


@pytest.mark.parametrize("drafts", (1, 2, 3, 5, 16))
@pytest.mark.parametrize("order", ("left_to_right", "entropy"))
@pytest.mark.parametrize("temperature", (0.0, 1.0))
def test_calls_never_exceed_the_tokens_written(drafts, order, temperature):
    events = events_of(FakeModel(), 15, 3, drafts=drafts, order=order, temperature=temperature)
    assert events[-1].totals.written == 15 and events[-1].totals.passes <= 15
    if drafts == 1:
        assert events[-1].totals.passes == 15


class Independent(FakeModel):
    """Predictions that ignore the context."""

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
        return self._at[: input_ids.shape[1]].expand(len(input_ids), -1, -1).clone()


@pytest.mark.parametrize(("length", "drafts"), ((16, 4), (15, 4), (12, 3)))
def test_independent_places_accept_every_draft(length, drafts):
    events = events_of(Independent(), length, drafts=drafts)
    assert all(not step.rejects for step in steps_of(events))
    assert events[-1].totals.passes == 2 * -(-length // drafts) - (length % drafts == 1)


def test_the_batched_check_equals_separate_passes(mha):
    events = tuple(run(mha, RunRequest("assd", prompt_ids=(5, 9), length=8, seed=2, settings={"drafts": 4})))
    for number, step in enumerate(steps_of(events)):
        if "verdicts" not in step.notes:
            continue
        canvas = list(replay(events, number))
        for place, token, _, true, _ in step.notes["verdicts"]:
            logits = mha.logits(torch.tensor([canvas]))[0, place].double()
            logits[mha.mask_id] = -torch.inf
            assert float(logits.softmax(0)[token]) == pytest.approx(true, abs=1e-5)
            canvas[place] = token


def test_drafts_and_rejects_are_events():
    steps = steps_of(events_of(FakeModel(3.0), 16, drafts=5))
    drafted = [step for step in steps if step.drafts]
    assert drafted and all(not step.writes for step in drafted)
    assert any(step.rejects for step in steps)
    for before, after in zip(steps, steps[1:]):
        if before.drafts:
            assert {position for position, _, _ in after.writes} | set(after.rejects) == {position for position, _, _ in before.drafts}


def test_greedy_equals_one_greedy_token_per_pass():
    ours = events_of(FakeModel(), 16, drafts=5, temperature=0.0)
    theirs = tuple(run(FakeModel(), RunRequest("left_to_right", prompt_ids=(), length=16)))
    assert replay(ours, len(steps_of(ours))) == replay(theirs, 16)


def test_tokens_that_were_fixed_do_not_count_as_passes_saved():
    events = tuple(run(FakeModel(), RunRequest("assd", prompt="2+2=", length=12, fixed={0: 65, 5: 66, 11: 67})))
    checked = [step for step in steps_of(events) if "passes_one_by_one" in step.notes]
    assert checked and events[-1].totals.written == 9
    written = 0
    for step in steps_of(events):
        written += len(step.writes)
        assert step.notes.get("passes_one_by_one", written) == written
