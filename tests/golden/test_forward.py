"""The forward pass against the published LLaDA code on two tiny checkpoints (see data/README.md)."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import GOLDEN

CHECKPOINTS = ("llada_mha", "llada_gqa")
FORWARD = {name: load_file(GOLDEN / f"{name}_forward.safetensors") for name in CHECKPOINTS}
CASES = tuple(sorted({key.split("/")[0] for key in FORWARD["llada_mha"]} - {"gradient"}))
WITH_STATES = tuple(case for case in CASES if f"{case}/attn_probs.0" in FORWARD["llada_mha"])


def inputs_of(checkpoint: str, case: str) -> dict[str, torch.Tensor]:
    """Return the arguments of ``Model.logits`` for a golden case."""
    stored = FORWARD[checkpoint]
    given = {name: stored[f"{case}/{name}"] for name in ("input_ids", "inputs_embeds", "attention_mask")
             if f"{case}/{name}" in stored}
    if f"{case}/attention_bias" in stored:
        allowed = stored[f"{case}/attention_bias"].bool()[:, 0]  # [1, L, L]
        rows = next(iter(given.values())).shape[0]
        padding = given.get("attention_mask")
        allowed = allowed.expand(rows, -1, -1)
        given["attention_mask"] = allowed if padding is None else allowed & padding.bool()[:, None, :]
    return given


def real_rows(checkpoint: str, case: str) -> torch.Tensor:
    """Return which rows are defined: those that are not padding."""
    stored = FORWARD[checkpoint]
    if f"{case}/attention_mask" in stored:
        return stored[f"{case}/attention_mask"].bool()
    some = stored.get(f"{case}/input_ids", stored.get(f"{case}/inputs_embeds"))
    return torch.ones(some.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_published_code(golden_models, checkpoint, case):
    got = golden_models[checkpoint].logits(**inputs_of(checkpoint, case))
    rows = real_rows(checkpoint, case)
    want = FORWARD[checkpoint][f"{case}/logits"]
    assert got.dtype == torch.float32 and got.shape == want.shape
    torch.testing.assert_close(got[rows], want[rows], atol=3e-4, rtol=0)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("case", WITH_STATES)
def test_hidden_states_and_attention_are_those_of_the_published_code(golden_models, checkpoint, case):
    model = golden_models[checkpoint]
    output = model.forward(**inputs_of(checkpoint, case), hidden_states=True, attentions=True)
    rows = real_rows(checkpoint, case)
    stored = FORWARD[checkpoint]
    assert len(output.hidden_states) == model.n_layers + 1
    assert len(output.attentions) == model.n_layers
    for number, got in enumerate(output.hidden_states[:-1]):
        torch.testing.assert_close(got[rows], stored[f"{case}/hidden_states.{number}"][rows], atol=2e-4, rtol=0)
    last = stored[f"{case}/last_hidden_before_final_norm"]
    torch.testing.assert_close(output.hidden_states[-1][rows], last[rows], atol=2e-4, rtol=0)
    for number, got in enumerate(output.attentions):
        by_row = got.transpose(1, 2)[rows]  # [real rows, H, L]
        want = stored[f"{case}/attn_probs.{number}"].transpose(1, 2)[rows]
        torch.testing.assert_close(by_row, want, atol=5e-5, rtol=0)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_asking_for_attention_does_not_change_the_logits(golden_models, checkpoint):
    given = inputs_of(checkpoint, "len17_leftpad")
    rows = real_rows(checkpoint, "len17_leftpad")
    plain = golden_models[checkpoint].forward(**given).logits[rows]
    looked_at = golden_models[checkpoint].forward(**given, attentions=True).logits[rows]
    torch.testing.assert_close(looked_at, plain, atol=2e-5, rtol=0)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_gradients_reach_the_input_embeddings(golden_models, checkpoint):
    model, stored = golden_models[checkpoint], FORWARD[checkpoint]
    ids = stored["gradient/input_ids"]
    embeds = stored["len17/hidden_states.0"] if torch.equal(ids, stored["len17/input_ids"]) else None
    if embeds is None:
        embeds = model.forward(ids, hidden_states=True).hidden_states[0]
    embeds = embeds.clone().requires_grad_()
    row, position, token = stored["gradient/target"].tolist()
    value = model.logits(inputs_embeds=embeds).log_softmax(dim=-1)[row, position, token]
    value.backward()
    want = stored["gradient/grad_logprob_wrt_input_embeds"]
    torch.testing.assert_close(value.detach(), stored["gradient/logprob"][0], atol=3e-5, rtol=0)
    torch.testing.assert_close(embeds.grad, want, atol=3e-4 * float(want.abs().max()), rtol=0)
