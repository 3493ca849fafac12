"""LLaDA2 (mini and flash): a block-causal mixture-of-experts model, on Qwen3 modules.

Qwen3's attention has LLaDA2's norm per head; the joint query-key-value matrix of the file is cut in
three, rotation covers a part of the channels, and layers after the first have experts. Source: the
published configuration and dLLM's ``pipelines/llada2``. The published code turns a missing mask into
a causal one; here a missing mask sees everything, and the decoder passes the block-causal one.
"""

from __future__ import annotations

import re

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from backend.models.family import Family, Raw, Tensors, refuse_other
from backend.models.mixture import GroupedSigmoid, Mixture, partial_rotary
from backend.models.stack import Stack

EXPECTED = {
    "hidden_act": ("silu",),
    "use_bias": (False,),
    "use_qkv_bias": (False,),
    "use_qk_norm": (True,),
    "norm_head": (False,),
    "norm_topk_prob": (True,),
    "use_sliding_window": (False, None),
    "rope_scaling": (None,),
    "score_function": ("sigmoid",),
}

_NAMES = (
    (re.compile(r"^model\.word_embeddings\."), "model.embed_tokens."),
    (re.compile(r"\.attention\.dense\."), ".self_attn.o_proj."),
    (re.compile(r"\.attention\.query_layernorm\."), ".self_attn.q_norm."),
    (re.compile(r"\.attention\.key_layernorm\."), ".self_attn.k_norm."),
)
_JOINT = ".attention.query_key_value.weight"


EXACT = (r"\.expert_bias$",)
"""The bias decides which experts run: rounded to half precision it would choose others."""


def build(raw: Raw) -> Stack:
    """Return the network of a LLaDA2 folder.

    Raises ``ModelError`` naming the key whose value means another network.
    """
    refuse_other(raw, EXPECTED, "Use a LLaDA2 checkpoint of the published architecture.")
    head_dim = raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"]
    config = Qwen3Config(
        vocab_size=raw["vocab_size"],
        hidden_size=raw["hidden_size"],
        head_dim=head_dim,
        num_hidden_layers=raw["num_hidden_layers"],
        num_attention_heads=raw["num_attention_heads"],
        num_key_value_heads=raw["num_key_value_heads"],
        intermediate_size=raw["intermediate_size"],
        max_position_embeddings=raw["max_position_embeddings"],
        rms_norm_eps=raw["rms_norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": raw["rope_theta"]},
        tie_word_embeddings=raw.get("tie_word_embeddings", False),
        attention_bias=False,
    )
    route = GroupedSigmoid(
        raw["num_experts_per_tok"], raw["n_group"], raw["topk_group"], raw["routed_scaling_factor"])
    inner = raw["moe_intermediate_size"]
    with torch.device("meta"):
        module = Qwen3ForCausalLM(config)
        module.model.rotary_emb = partial_rotary(config, int(head_dim * raw.get("partial_rotary_factor", 1.0)))
        for layer in module.model.layers[raw.get("first_k_dense_replace", 0) :]:
            layer.mlp = Mixture(
                raw["hidden_size"], raw["num_experts"], inner, biased=True, route=route,
                shared_inner=inner * (raw.get("num_shared_experts") or 0))
    return Stack(module, "masked_diffusion")


def rename(tensors: Tensors, raw: Raw) -> Tensors:
    """Return the tensors under the modules' names; the joint matrix becomes its three parts."""
    width = raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"]
    rows = [width * raw[key] for key in ("num_attention_heads", "num_key_value_heads", "num_key_value_heads")]
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if name.endswith(_JOINT) and tensor.shape[0] == sum(rows):
            stem = name.removesuffix(_JOINT)
            for part, rows_of_part in zip("qkv", tensor.split(rows), strict=True):
                renamed[f"{stem}.self_attn.{part}_proj.weight"] = rows_of_part
        else:
            renamed[_renamed(name)] = tensor
    return renamed


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = pattern.sub(replacement, name)
    return name


FAMILY = Family("llada2", "LLaDA2", build, ("llada2_moe",), ("LLaDA2MoeModelLM",), rename, exact=EXACT)
