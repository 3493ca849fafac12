"""Below ``Model``: rows and caches of the layer stack, experts, and number types.

Run: ``python -m pytest tests/unit/test_models_network.py``
"""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from backend import load_model
from backend.models.mixture import GroupedSigmoid, Mixture, Softmax
from backend.models.stack import rotated

LENGTH, BLOCK = 16, 4
STACKS = ("llada_mha", "llada_gqa", "dream_gqa", "a2d_qwen3", "llada2_moe")


def ids_of(length: int = LENGTH) -> torch.Tensor:
    """Return token ids of two canvases."""
    return torch.randint(0, 110, (2, length), generator=torch.Generator().manual_seed(9))


def block_causal(length: int = LENGTH) -> torch.Tensor:
    """Return the mask in which a row sees its own block and those before it."""
    block = torch.arange(length) // BLOCK
    return (block[:, None] >= block[None]).expand(2, -1, -1)


# -- rows and caches ----------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("name", STACKS)
def test_a_refreshed_row_of_an_unchanged_canvas_is_what_it_was(golden_models, name):
    model = golden_models[name]
    full = model.forward(ids_of(), keep_cache=True)
    rows = torch.tensor([2, 3, 9])
    project = torch.zeros(2, LENGTH, dtype=torch.bool)
    project[:, 3] = True
    again = model.forward(ids_of(), compute=rows, project=project, cache=full.cache, keep_cache=True)
    torch.testing.assert_close(again.logits, full.logits[:, 3], atol=1e-4, rtol=0)
    for old, new in zip(full.cache.keys, again.cache.keys, strict=True):
        torch.testing.assert_close(new, old, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", STACKS)
def test_block_by_block_with_a_growing_cache_equals_one_pass_under_the_block_causal_mask(golden_models, name):
    model = golden_models[name]
    whole = model.forward(ids_of(), attention_mask=block_causal()).logits
    cache = None
    for start in range(0, LENGTH, BLOCK):
        rows = torch.arange(start, start + BLOCK)
        first = start + int(model.shifted and start > 0)  # a shifted block's first row stands in the block before
        project = (torch.arange(LENGTH) >= first) & (torch.arange(LENGTH) < start + BLOCK)
        out = model.forward(ids_of(), compute=rows, project=project.expand(2, -1), cache=cache, keep_cache=True)
        cache = out.cache
        assert cache.length == start + BLOCK
        torch.testing.assert_close(out.logits.view(2, -1, model.vocab_size), whole[:, project], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_stale_cache_is_what_later_rows_see(golden_models):
    model = golden_models["llada_mha"]
    changed = ids_of()
    changed[:, 0] = 5
    old = model.forward(ids_of(), keep_cache=True).cache
    rows = torch.tensor([8])
    project = torch.arange(LENGTH).expand(2, -1) == 8
    stale = model.forward(changed, compute=rows, project=project, cache=old).logits
    torch.testing.assert_close(stale, model.logits(ids_of())[:, 8], atol=1e-4, rtol=0)
    assert not torch.allclose(stale, model.logits(changed)[:, 8], atol=1e-2)


@torch.no_grad()
def test_attention_of_chosen_rows_has_the_columns_that_exist(golden_models):
    model = golden_models["llada_gqa"]
    out = model.forward(ids_of(), compute=torch.arange(4), project=torch.arange(LENGTH).expand(2, -1) == 1,
                        keep_cache=True, attentions=True)
    assert {weights.shape for weights in out.attentions} == {(2, model.n_heads, 4, 4)}
    rest = model.forward(ids_of(), compute=torch.tensor([3, 4, 5]), project=torch.arange(LENGTH).expand(2, -1) == 4,
                         cache=out.cache, attentions=True, keep_cache=True)
    assert {weights.shape for weights in rest.attentions} == {(2, model.n_heads, 3, 6)}
    assert rest.cache.length == 6


# -- experts ------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_mixture_equals_every_token_sent_to_its_experts_one_by_one():
    torch.manual_seed(4)
    mixture = Mixture(16, 6, 8, shared_inner=8, biased=True, route=GroupedSigmoid(2, 3, 2, 2.5))
    for parameter in (*mixture.parameters(), mixture.gate.expert_bias):
        torch.nn.init.normal_(parameter, std=0.5)
    hidden = torch.randn(2, 5, 16)
    got = mixture(hidden)
    for row in range(2):
        for at in range(5):
            x = hidden[row, at]
            scores = torch.sigmoid(mixture.gate.weight @ x)
            biased = scores + mixture.gate.expert_bias
            groups = [sum(sorted(biased[2 * g : 2 * g + 2].tolist())[-2:]) for g in range(3)]
            kept = sorted(range(3), key=lambda g: -groups[g])[:2]
            allowed = sorted((e for g in kept for e in (2 * g, 2 * g + 1)), key=lambda e: -float(biased[e]))[:2]
            total = sum(float(scores[e]) for e in allowed)
            want = sum(2.5 * float(scores[e]) / total * mixture.experts[e](x) for e in allowed)
            torch.testing.assert_close(got[row, at], want + mixture.shared_experts(x), atol=1e-5, rtol=1e-4)


def test_the_softmax_router_leaves_probabilities_as_they_are():
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0]])
    chosen, weights = Softmax(2)(logits, None)
    assert chosen.tolist() == [[0, 2]]
    torch.testing.assert_close(weights, logits.softmax(-1)[:, [0, 2]])


MOE = {
    "architectures": ["LLaDAMoEModelLM"], "model_type": "llada", "vocab_size": 48, "hidden_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "rope_theta": 50000,
    "max_position_embeddings": 32, "moe_layer_freq": [0, 1], "dense_intermediate_size": 20, "expert_intermediate_size": 12,
    "shared_expert_intermediate_size": 10, "num_experts": 4, "num_experts_per_tok": 2, "qk_layernorm": True,
    "partial_rotary_factor": 1.0, "attention_bias": False, "tie_word_embeddings": False, "mask_token_id": 47,
}


def moe_weights() -> dict[str, torch.Tensor]:
    """Return random weights under the names that LLaDA-MoE's files use."""
    shapes = {"model.embed_tokens.weight": (48, 16), "model.norm.weight": (16,), "lm_head.weight": (48, 16)}
    for layer in range(2):
        stem = f"model.layers.{layer}."
        shapes |= {f"{stem}{name}.weight": shape for name, shape in {
            "input_layernorm": (16,), "post_attention_layernorm": (16,), "self_attn.q_proj": (16, 16),
            "self_attn.k_proj": (8, 16), "self_attn.v_proj": (8, 16), "self_attn.o_proj": (16, 16),
            "self_attn.q_norm": (8,), "self_attn.k_norm": (8,)}.items()}
        blocks = {"mlp.": 20} if layer == 0 else {f"mlp.experts.{e}.": 12 for e in range(4)} | {"shared_expert.": 10}
        for block, inner in blocks.items():
            shapes |= {f"{stem}{block}gate_proj.weight": (inner, 16), f"{stem}{block}up_proj.weight": (inner, 16),
                       f"{stem}{block}down_proj.weight": (16, inner)}
    shapes["model.layers.1.mlp.gate.weight"] = (4, 16)
    source = torch.Generator().manual_seed(8)
    return {name: torch.randn(shape, generator=source) * 0.4 for name, shape in shapes.items()}


def naive_moe(w: dict[str, torch.Tensor], ids: list[int]) -> torch.Tensor:
    """Return logits [L, V] of LLaDA-MoE, position by position and head by head, in float64."""
    w = {name: tensor.double() for name, tensor in w.items()}

    def norm(x, name):
        return w[name] * x / torch.sqrt((x * x).mean() + 1e-5)

    def turn(x, position):
        angles = [position * 50000 ** (-2 * i / 8) for i in range(4)]
        first = [float(x[i]) * math.cos(angles[i]) - float(x[i + 4]) * math.sin(angles[i]) for i in range(4)]
        second = [float(x[i + 4]) * math.cos(angles[i]) + float(x[i]) * math.sin(angles[i]) for i in range(4)]
        return torch.tensor(first + second, dtype=torch.float64)

    def feed(x, stem):
        gate = w[f"{stem}gate_proj.weight"] @ x
        return w[f"{stem}down_proj.weight"] @ (gate * torch.sigmoid(gate) * (w[f"{stem}up_proj.weight"] @ x))

    rows = [w["model.embed_tokens.weight"][token] for token in ids]
    for layer in range(2):
        stem = f"model.layers.{layer}."
        normed = [norm(row, f"{stem}input_layernorm.weight") for row in rows]
        keys = [turn(norm(w[f"{stem}self_attn.k_proj.weight"] @ x, f"{stem}self_attn.k_norm.weight"), at)
                for at, x in enumerate(normed)]
        values = [w[f"{stem}self_attn.v_proj.weight"] @ x for x in normed]
        after = []
        for at, x in enumerate(normed):
            query, heads = w[f"{stem}self_attn.q_proj.weight"] @ x, []
            for head in range(2):
                part = turn(norm(query[8 * head : 8 * head + 8], f"{stem}self_attn.q_norm.weight"), at)
                weights = torch.softmax(torch.stack([part @ key for key in keys]) / math.sqrt(8), 0)
                heads.append(sum(p * v for p, v in zip(weights, values, strict=True)))
            after.append(rows[at] + w[f"{stem}self_attn.o_proj.weight"] @ torch.cat(heads))
        rows = []
        for x in after:
            y = norm(x, f"{stem}post_attention_layernorm.weight")
            if layer == 0:
                rows.append(x + feed(y, f"{stem}mlp."))
                continue
            probs = torch.softmax(w[f"{stem}mlp.gate.weight"] @ y, 0)
            best = probs.argsort(descending=True)[:2].tolist()
            mixed = sum(probs[e] * feed(y, f"{stem}mlp.experts.{e}.") for e in best)
            rows.append(x + mixed + feed(y, f"{stem}shared_expert."))
    return torch.stack([w["lm_head.weight"] @ norm(row, "model.norm.weight") for row in rows])


@torch.no_grad()
def test_llada_moe_equals_a_forward_pass_written_out_by_hand(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MOE))
    save_file(moe_weights(), tmp_path / "model.safetensors")
    model = load_model(tmp_path)
    assert (model.family, model.kind, model.mask_id) == ("llada-moe", "masked_diffusion", 47)
    ids = [3, 17, 47, 47, 9, 30, 47]
    want = naive_moe(moe_weights(), ids)
    torch.testing.assert_close(model.logits(torch.tensor([ids]))[0].double(), want, atol=1e-4, rtol=0)


# -- number types -------------------------------------------------------------------------------


def test_rotation_runs_in_float32_and_returns_the_type_of_the_heads():
    heads = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(1))
    angles = torch.arange(3.0)[:, None] * 1000 * torch.arange(1.0, 5.0)
    tables = tuple(torch.cat([part, part], dim=-1)[None] for part in (angles.cos(), angles.sin()))
    half = rotated(heads.bfloat16(), tables)
    exact = rotated(heads.bfloat16().float(), tables)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=0.02, rtol=0.01)


@pytest.mark.nightly
@torch.no_grad()
def test_a_compiled_model_gives_the_same_logits(tmp_path):
    plain, compiled = (load_model("tiny-diffusion", compile=flag) for flag in (False, True))
    for length in (12, 20):
        ids = ids_of(length) % 90
        torch.testing.assert_close(compiled.logits(ids), plain.logits(ids), atol=2e-4, rtol=0)
