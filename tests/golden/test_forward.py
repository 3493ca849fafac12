"""The forward pass against the published code of each family, on tiny checkpoints (see data/README.md)."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import GOLDEN

CHECKPOINTS = ("llada_mha", "llada_gqa", "dream_gqa", "a2d_qwen3", "llada2_moe")
FORWARD = {name: load_file(GOLDEN / f"{name}_forward.safetensors") for name in CHECKPOINTS}
CASES = tuple(sorted(
    {(name, key.split("/")[0]) for name in CHECKPOINTS for key in FORWARD[name]}
    - {(name, "gradient") for name in CHECKPOINTS}))
WITH_STATES = tuple((name, case) for name, case in CASES if f"{case}/attn_probs.0" in FORWARD[name])
NOISE = {"llada2_moe": 8e-5}
"""Measured distance of the reference's float32 logits from float64; 2e-5 suffices for the others."""
WITH_GRADIENT = tuple(name for name in CHECKPOINTS if "gradient/input_ids" in FORWARD[name])


def inputs_of(checkpoint: str, case: str) -> dict[str, torch.Tensor]:
    """Return the arguments of ``Model.logits`` for a golden case."""
    stored = FORWARD[checkpoint]
    given = {name: stored[f"{case}/{name}"] for name in ("input_ids", "inputs_embeds", "attention_mask")
             if f"{case}/{name}" in stored}
    allowed = pairwise(checkpoint, case)
    if allowed is not None:
        rows = next(iter(given.values())).shape[0]
        padding = given.get("attention_mask")
        padding = padding if padding is not None and padding.dim() == 2 else None
        allowed = allowed.expand(rows, -1, -1)
        given["attention_mask"] = allowed if padding is None else allowed & padding.bool()[:, None, :]
    return given


def pairwise(checkpoint: str, case: str) -> torch.Tensor | None:
    """Return which column a row may see, however the reference writes it: [B or 1, L, L], or None."""
    stored = FORWARD[checkpoint]
    if f"{case}/attention_bias" in stored:
        return stored[f"{case}/attention_bias"].bool()[:, 0]
    if f"{case}/attention_mask_4d" in stored:
        return stored[f"{case}/attention_mask_4d"][:, 0] == 0  # 0 or minus infinity, added to the scores
    mask = stored.get(f"{case}/attention_mask")
    return mask[:, 0].bool() if mask is not None and mask.dim() == 4 else None


def real_rows(checkpoint: str, case: str) -> torch.Tensor:
    """Return which rows are defined: those that are not padding."""
    stored = FORWARD[checkpoint]
    mask = stored.get(f"{case}/attention_mask")
    if mask is not None and mask.dim() == 2:
        return mask.bool()
    allowed = pairwise(checkpoint, case)
    some = stored.get(f"{case}/input_ids", stored.get(f"{case}/inputs_embeds"))
    if allowed is None:
        return torch.ones(some.shape[:2], dtype=torch.bool)
    return allowed.any(dim=1).expand(some.shape[0], -1)  # a column that somebody sees is no padding


def wanted_logits(checkpoint: str, case: str) -> torch.Tensor:
    """Return the reference's predictions for each position: shifted where its rows predict the next."""
    stored = FORWARD[checkpoint]
    return stored.get(f"{case}/logits_shifted", stored.get(f"{case}/logits"))


@pytest.mark.parametrize(("checkpoint", "case"), CASES)
def test_logits_are_those_of_the_published_code(golden_models, checkpoint, case):
    got = golden_models[checkpoint].logits(**inputs_of(checkpoint, case))
    rows = real_rows(checkpoint, case)
    want = wanted_logits(checkpoint, case)
    assert got.dtype == torch.float32 and got.shape == want.shape
    torch.testing.assert_close(got[rows], want[rows], atol=3e-4, rtol=0)


@pytest.mark.parametrize(("checkpoint", "case"), WITH_STATES)
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
@pytest.mark.parametrize("case", ("len17", "len17_leftpad"))
def test_the_written_out_and_the_fused_attention_agree(golden_models, checkpoint, case):
    given, rows = inputs_of(checkpoint, case), real_rows(checkpoint, case)
    plain = golden_models[checkpoint].forward(**given).logits[rows]
    looked_at = golden_models[checkpoint].forward(**given, attentions=True).logits[rows]
    torch.testing.assert_close(looked_at, plain, atol=NOISE.get(checkpoint, 2e-5), rtol=0)


@pytest.mark.parametrize("checkpoint", WITH_GRADIENT)
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
