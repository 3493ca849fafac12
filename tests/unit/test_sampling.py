"""Draws: never the mask, whatever a filter leaves."""

from __future__ import annotations

import pytest
import torch

from backend.decoders.base import Layout, View
from backend.noise import KeyedNoise
from backend.sampling import drawn_from, filtered

MASK, BEST = 3, 1


def view(log_probs: torch.Tensor) -> View:
    rows = len(log_probs)
    return View(1, Layout(0, rows, tuple(range(rows))), tuple(range(rows)), (BEST,) * rows, (0.0,) * rows, (0.0,) * rows,
                log_probs, KeyedNoise(0), MASK)


@pytest.mark.parametrize("kept", [{"top_p": 0.5}, {"top_k": 1}])
def test_where_a_filter_leaves_only_the_mask_the_best_other_token_is_taken(kept):
    probs = torch.tensor([[0.01, 0.1, 0.04, 0.85], [0.97, 0.01, 0.01, 0.01]])
    assert drawn_from(view(probs.log()), filtered(probs.log(), 1.0, **kept)) == (BEST, 0)
