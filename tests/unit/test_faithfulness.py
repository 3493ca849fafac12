"""Faithfulness on a model whose answer depends on known positions, so that every number is known."""

from __future__ import annotations

import pytest
import torch

from backend.explanations.base import AttributionRequest, finished
from backend.explanations.faithfulness import faithfulness, judging
from backend.models.base import ModelOutput

LENGTH, MASK, TOKEN = 12, 0, 5


class Keyed:
    """p(token) = 0.9 where positions 2 and 7 are visible, 0.5 with one of them, 0.1 with none; V = 8."""

    name, mask_id, pad_id, vocab_size, max_length, shifted = "keyed", MASK, None, 8, LENGTH, False
    capabilities = frozenset({"bidirectional"})

    def embed(self, ids):
        return torch.nn.functional.one_hot(ids, 8).float()

    def forward(self, input_ids=None, *, inputs_embeds=None, project=None, **_):
        visible = inputs_embeds[..., MASK] == 0
        keys = visible[:, 2].float() + visible[:, 7].float()
        p = 0.1 + 0.4 * keys
        logits = torch.log((1 - p) / 7)[:, None].repeat(1, 8)
        logits[:, TOKEN] = torch.log(p)
        return ModelOutput(logits[:, None].expand(-1, LENGTH, -1)[project])


IDS = (*range(1, 8), *range(1, 5), MASK)


def scores(*top: int) -> torch.Tensor:
    found = torch.linspace(0.1, 0, LENGTH)
    found[list(top)] = torch.tensor([5.0, 4.0])[: len(top)]
    return found


def test_curves_and_measures_are_those_of_the_known_model():
    got = faithfulness(Keyed(), IDS, 11, TOKEN, scores(2, 7), points=4)
    assert got.counts == (2, 4, 7, 9) and got.whole == pytest.approx(0.9)
    assert got.deletion == pytest.approx((0.1,) * 4) and got.insertion == pytest.approx((0.9,) * 4)
    assert got.comprehensiveness.value == pytest.approx(0.8) and got.sufficiency.value == pytest.approx(0.0, abs=1e-6)
    # A random k of 11 keeps each key with probability k / 11: the expectation over the four counts is known.
    expected = sum(0.8 * count / 11 for count in got.counts) / 4
    assert got.comprehensiveness.mean == pytest.approx(expected, abs=0.1)
    assert got.better and "beats chance" in got.verdict


def test_a_ranking_that_misses_the_keys_is_said_to_be_no_better_than_chance():
    upside_down = -scores(2, 7)
    got = faithfulness(Keyed(), IDS, 11, TOKEN, upside_down)
    assert not got.better and "no better than chance" in got.verdict
    assert got.comprehensiveness.value < got.comprehensiveness.mean


def test_random_rankings_are_the_same_for_the_same_seed_and_chunks_change_nothing():
    one, two, other = (faithfulness(Keyed(), IDS, 11, TOKEN, scores(2), seed=seed, rows=rows)
                       for seed, rows in ((1, 4096), (1, 5 * LENGTH), (2, 4096)))
    torch.testing.assert_close(one.random_deletion, two.random_deletion)
    assert not torch.equal(one.random_deletion, other.random_deletion)


@pytest.mark.parametrize("visible", [1, 2])
def test_a_canvas_with_almost_nothing_visible_says_that_it_cannot_tell(visible):
    ids = (*range(1, 1 + visible), *[MASK] * (LENGTH - visible))
    assert "too few" in faithfulness(Keyed(), ids, 11, TOKEN, scores(0)).verdict


def test_an_empty_canvas_is_judged_without_failing():
    got = faithfulness(Keyed(), (MASK,) * LENGTH, 11, TOKEN, scores(0))
    assert "Only 0 positions" in got.verdict and not got.better


def test_a_random_ranking_beats_chance_no_more_often_than_the_interval_says():
    source = torch.Generator().manual_seed(3)
    wins = sum(faithfulness(Keyed(), IDS, 11, TOKEN, torch.rand(LENGTH, generator=source), seed=seed).better
               for seed in range(24))
    assert wins <= 4


def test_an_attribution_and_its_test_are_one_piece_of_work():
    request = AttributionRequest(IDS, 11, TOKEN, method="occlusion")
    progress = []
    found, judged = finished(judging(Keyed(), request), progress.append)
    assert sorted(found.scores.topk(2).indices.tolist()) == [2, 7] and judged.better and progress
    again = faithfulness(Keyed(), IDS, 11, TOKEN, found.scores)
    assert judged.deletion == again.deletion and judged.comprehensiveness == again.comprehensiveness
