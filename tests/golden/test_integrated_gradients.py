"""Attributions against Captum and against the same integral in float64 (see data/README.md)."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from backend import AttributionRequest, ModelInfo, RunRequest, Start, Step, attribute, attribution_matrix, load_model
from tests.conftest import GOLDEN

FOLDER = GOLDEN / "integrated_gradients"
GIVEN = json.loads((FOLDER / "attributions.json").read_text())
STORED = load_file(FOLDER / "attributions.safetensors")
OBJECTIVES = {"logprob": "log_prob", "logit": "logit", "logit_diff": "contrast", "logprob_diff": "contrast"}
ENTRIES = {entry["key"]: entry for entry in GIVEN["entries"]}
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def model():
    return load_model(FOLDER, mask_id=GIVEN["mask_id"], pad_id=GIVEN["pad_id"])


def canvas(step: int) -> tuple[int, ...]:
    return tuple(STORED["step_ids"][step].tolist())


def request_of(entry: dict, **changes) -> AttributionRequest:
    """The golden's shifted entries read the row before: the same as the position before, in place."""
    objective = OBJECTIVES[entry["objective"]]
    return AttributionRequest(**dict(
        ids=canvas(entry["step"]), position=entry["position"] - entry["shift"], token=entry["token"], objective=objective,
        against=entry["alt_token"] if objective == "contrast" else None, baseline=entry["baseline"], n_steps=64) | changes)


@pytest.mark.parametrize("key", ENTRIES)
def test_scores_and_norms_are_those_of_the_exact_integral(model, key):
    entry, exact = ENTRIES[key], STORED[f"{key}.exact"]
    got = attribute(model, request_of(entry))
    for found, want in ((got.scores, exact.sum(dim=1)), (got.norms, exact.norm(dim=1))):
        assert found.dtype == torch.float32 and found.shape == want.shape
        assert (found - want).abs().max() <= TOLERANCE * want.abs().max()
    assert got.value == pytest.approx(entry["f_input"], abs=1e-4)
    assert got.baseline_value == pytest.approx(entry["f_baseline"], abs=1e-4)


@pytest.mark.parametrize("key", [key for key, entry in ENTRIES.items() if entry["baseline"] != "zero"])
def test_our_path_equals_captums(model, key):
    ours, captums = (attribute(model, request_of(ENTRIES[key], n_steps=32, method=method))
                     for method in ("integrated_gradients", "captum_integrated_gradients"))
    for one, other in ((ours.scores, captums.scores), (ours.norms, captums.norms)):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("number", range(len(GIVEN["other"])))
@pytest.mark.parametrize("baseline", ["mask", "pad"])
def test_occlusion_is_the_loss_of_each_replacement(model, number, baseline):
    pick = GIVEN["other"][number]
    got = attribute(model, AttributionRequest(
        canvas(pick["step"]), pick["position"], pick["token"], method="occlusion", baseline=baseline))
    want = torch.tensor(pick["occlusion_single_token"][baseline])
    torch.testing.assert_close(got.scores, want, atol=2e-5, rtol=0)


@pytest.mark.parametrize("number", range(len(GIVEN["other"])))
def test_gradient_x_input_from_zero_is_the_plain_product(model, number):
    pick = GIVEN["other"][number]
    got = attribute(model, AttributionRequest(
        canvas(pick["step"]), pick["position"], pick["token"], method="gradient_x_input", baseline="zero"))
    want = torch.tensor(pick["input_x_gradient_token"])
    assert (got.scores - want).abs().max() <= TOLERANCE * want.abs().max()


def run_of(commits: list[dict], model) -> tuple:
    """The golden trajectory as the events of a run: two tokens per step."""
    info = ModelInfo("golden", "llama", model.kind, "", "float32", "cpu", model.vocab_size, model.mask_id, None)
    request = RunRequest("llada", prompt_ids=canvas(0)[: GIVEN["prompt_len"]], length=8)
    start = Start(request, info, canvas(0), GIVEN["prompt_len"], (), {})
    steps = [
        Step(number + 1, number + 1, 0, 0.0, writes=tuple(
            (commit["position"], commit["token"], 0.5) for commit in commits if commit["step"] == number))
        for number in range(1 + max(commit["step"] for commit in commits))
    ]
    return (start, *steps)


def test_the_matrix_of_a_run_is_captums_row_by_row(model):
    got = attribution_matrix(model, run_of(GIVEN["commits"], model), n_steps=64)
    want = STORED["trajectory.signed"]
    assert got.dtype == torch.float32 and got.shape == want.shape
    assert (got - want).abs().max() <= TOLERANCE * want.abs().max()
    for row, commit in zip(got, GIVEN["commits"], strict=True):
        masked = torch.tensor(canvas(commit["step"])) == model.mask_id
        assert (row[masked] == 0).all()
