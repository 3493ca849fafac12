"""The likelihood estimate against values that were enumerated over every masked set."""

from __future__ import annotations

import json

import pytest

from backend import log_likelihood
from tests.conftest import GOLDEN

CASES = json.loads((GOLDEN / "likelihood.json").read_text())
SAMPLES = 2048


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_estimate_is_within_four_standard_errors_of_the_exact_value(golden_models, case):
    estimate, error = log_likelihood(
        golden_models[case["checkpoint"]], case["prompt"], case["answer"],
        samples=SAMPLES, seed=7, cfg_scale=case["cfg_scale"],
    )
    # An answer of one token has no randomness: what is left is float32 (tolerance of the data).
    assert abs(estimate - case["exact_uniform"]) <= max(4 * error, 3e-4)
    assert (error > 0) == (len(case["answer"]) > 1)


def test_the_standard_error_shrinks_with_the_root_of_the_samples(golden_models):
    case = CASES[0]
    model = golden_models[case["checkpoint"]]
    few = log_likelihood(model, case["prompt"], case["answer"], samples=256, seed=1)[1]
    many = log_likelihood(model, case["prompt"], case["answer"], samples=4096, seed=2)[1]
    assert 3 < few / many < 5.4


def test_the_same_seed_gives_the_same_estimate(golden_models):
    case = CASES[3]
    model = golden_models[case["checkpoint"]]
    first = log_likelihood(model, case["prompt"], case["answer"], samples=64, seed=3)
    assert first == log_likelihood(model, case["prompt"], case["answer"], samples=64, seed=3)
    assert first != log_likelihood(model, case["prompt"], case["answer"], samples=64, seed=4)
