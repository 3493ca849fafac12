"""LLaDA-MoE (7B-A1B): a bidirectional mixture-of-experts model, on Qwen3 modules.

Source: the published configuration and ``modeling_lladamoe.py``; tensor names are those of the
modules except the expert bias and the shared expert, which stand elsewhere in the file.
"""

from __future__ import annotations

import re

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from backend.models.family import Family, Raw, Tensors, refuse_other
from backend.models.mixture import Mixture, Softmax, feed_forward, partial_rotary
from backend.models.stack import Stack

EXPECTED = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "qk_layernorm": (True,),
    "clip_qkv": (None,),
    "rope_scaling": (None,),
    "moe_router_score_function": ("softmax", None),
}

_SHARED = re.compile(r"^(model\.layers\.\d+)\.shared_expert\.")
_BIAS = re.compile(r"^(model\.layers\.\d+\.mlp)\.expert_bias$")


def build(raw: Raw) -> Stack:
    """Return the network of a LLaDA-MoE folder.

    Raises ``ModelError`` naming the key whose value means another network.
    """
    refuse_other(raw, EXPECTED, "Use a LLaDA-MoE checkpoint of the published architecture.")
    width, head_dim = raw["hidden_size"], raw["hidden_size"] // raw["num_attention_heads"]
    config = Qwen3Config(
        vocab_size=raw["vocab_size"],
        hidden_size=width,
        head_dim=head_dim,
        num_hidden_layers=raw["num_hidden_layers"],
        num_attention_heads=raw["num_attention_heads"],
        num_key_value_heads=raw.get("num_key_value_heads") or raw["num_attention_heads"],
        max_position_embeddings=raw["max_position_embeddings"],
        rms_norm_eps=raw["rms_norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": raw["rope_theta"]},
        tie_word_embeddings=raw.get("tie_word_embeddings", False),
        attention_bias=False,
    )
    with torch.device("meta"):
        module = Qwen3ForCausalLM(config)
        module.model.rotary_emb = partial_rotary(config, int(head_dim * raw.get("partial_rotary_factor", 1.0)))
        for layer, sparse in zip(module.model.layers, raw["moe_layer_freq"], strict=True):
            layer.mlp = _experts(raw) if sparse else feed_forward(width, raw["dense_intermediate_size"])
    return Stack(module, "masked_diffusion")


def _experts(raw: Raw) -> Mixture:
    return Mixture(
        raw["hidden_size"], raw["num_experts"], raw["expert_intermediate_size"],
        shared_inner=raw.get("shared_expert_intermediate_size") or 0,
        biased=bool(raw.get("moe_router_enable_expert_bias")),
        route=Softmax(raw["num_experts_per_tok"]),
    )


def rename(tensors: Tensors, raw: Raw) -> Tensors:
    """Return the tensors under the modules' names."""
    return {_BIAS.sub(r"\1.gate.expert_bias", _SHARED.sub(r"\1.mlp.shared_experts.", name)): tensor
            for name, tensor in tensors.items()}


FAMILY = Family(
    "llada-moe", "LLaDA-MoE", build, model_types=("lladamoe", "llada_moe"),
    architectures=("LLaDAMoEModelLM", "LLaDAMoEModel"), rename=rename,
    exact=(r"\.expert_bias$",),
)
