"""The coupling that makes a branch a counterfactual: one Gumbel draw per place, whatever the distribution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend import RunRequest, branch, replay, run
from backend.canvas import steps_of
from backend.decoders.base import Layout, View
from backend.noise import KeyedNoise
from backend.sampling import drawn_from
from tests.conftest import FakeModel

BEFORE, AFTER = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)


class Given:
    """Noise whose Gumbel values are these."""

    def __init__(self, values: tuple[float, ...]) -> None:
        self._uniform = np.exp(-np.exp(-np.array(values)))

    def uniform(self, stream: int, step: int, position: int, size: int) -> np.ndarray:
        return self._uniform


def drawn(probs: tuple[float, ...], noise) -> int:
    """Return the token drawn from ``probs`` by this noise."""
    log_probs = torch.tensor([probs]).log()
    view = View(1, Layout(0, 1, (0,)), (0,), (0,), (probs[0],), (0.0,), log_probs, noise, -1)
    return drawn_from(view, log_probs)[0]


def test_the_toy_stays_with_its_token_though_another_is_now_most_probable() -> None:
    noise = Given((0.3, 1.1, -0.2))
    assert [math.log(p) + g for p, g in zip(BEFORE, (0.3, 1.1, -0.2), strict=True)] == pytest.approx((-0.393, -0.104, -1.809), abs=1e-3)
    assert drawn(BEFORE, noise) == drawn(AFTER, noise) == 1


def test_a_token_changes_only_to_one_whose_odds_against_it_rose() -> None:
    ratio = [after / before for before, after in zip(BEFORE, AFTER, strict=True)]
    pairs = [(drawn(BEFORE, KeyedNoise(seed)), drawn(AFTER, KeyedNoise(seed))) for seed in range(400)]
    assert all(a == b or ratio[b] > ratio[a] for a, b in pairs) and any(a != b for a, b in pairs)


def test_counterfactual_tokens_are_distributed_as_the_new_distribution_says() -> None:
    count = 3000
    found = np.bincount([drawn(AFTER, KeyedNoise(seed)) for seed in range(count)], minlength=3)
    expected = np.array(AFTER) * count
    assert float(((found - expected) ** 2 / expected).sum()) < 13.82  # chi-square, 2 degrees of freedom, p = .001


def test_a_branch_is_closer_to_its_parent_with_its_noise_than_with_another() -> None:
    """The same token is put in the same place, once with the parent's draws and once with fresh ones."""
    shared = fresh = 0
    for seed in range(12):
        asked = RunRequest("llada", prompt="2+2=", length=24, settings={"temperature": 1.0}, seed=seed)
        events = tuple(run(FakeModel(0.8), asked))
        position, token, _ = steps_of(events)[0].writes[0]
        other = (token + 1) % 250
        changed = tuple(branch(FakeModel(0.8), events, 1, [("write", position, other)]))
        anew = tuple(run(FakeModel(0.8), replace(asked, fixed={position - 4: other}, seed=seed + 100)))
        text, same, another = (replay(items, len(steps_of(items))) for items in (events, changed, anew))
        shared += sum(a != b for a, b in zip(text, same, strict=True))
        fresh += sum(a != b for a, b in zip(text, another, strict=True))
    assert shared < 0.8 * fresh
