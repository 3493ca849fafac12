"""LLaDA folders (LLaDA-8B Base and Instruct, LLaDA-1.5) renamed onto stock Llama modules.

Source: the published configuration and tensor names; every trap met on the way is refused by name
rather than guessed (activation, block type, biases of attention and norm, scaled logits).
"""

from __future__ import annotations

import re

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backend.models.family import Family, Raw, Tensors, refuse_other
from backend.models.stack import Stack

EXPECTED = {
    "activation_type": ("silu",),
    "block_type": ("llama",),
    "layer_norm_type": ("rms",),
    "alibi": (False,),
    "attention_layer_norm": (False,),
    "input_emb_norm": (False,),
    "scale_logits": (False,),
    "rope": (True,),
}
"""Configuration values that the Llama modules compute; another value is another network."""

_TOP = {
    "model.transformer.wte.weight": "model.embed_tokens.weight",
    "model.transformer.ln_f.weight": "model.norm.weight",
    "model.transformer.ff_out.weight": "lm_head.weight",
}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
_BLOCK_NAME = re.compile(r"model\.transformer\.blocks\.(\d+)\.(\w+)\.(weight|bias)")


def build(raw: Raw) -> Stack:
    """Return the network of a LLaDA folder.

    Raises ``ModelError`` naming the key whose value means another network.
    """
    refuse_other(raw, EXPECTED, "Use a LLaDA checkpoint of the published 8B architecture.")
    heads = raw["n_heads"]
    config = LlamaConfig(
        vocab_size=raw.get("embedding_size") or raw["vocab_size"],
        hidden_size=raw["d_model"],
        num_hidden_layers=raw["n_layers"],
        num_attention_heads=heads,
        num_key_value_heads=raw.get("n_kv_heads") or heads,
        intermediate_size=raw.get("mlp_hidden_size") or raw["mlp_ratio"] * raw["d_model"],
        max_position_embeddings=raw["max_sequence_length"],
        rms_norm_eps=raw.get("rms_norm_eps", 1e-5),
        rope_parameters={"rope_type": "default", "rope_theta": raw.get("rope_theta", 10000.0)},
        tie_word_embeddings=bool(raw.get("weight_tying", False)),
        attention_bias=bool(raw.get("include_qkv_bias") or raw.get("include_bias")),
        mlp_bias=bool(raw.get("include_bias")),
        hidden_act="silu",
    )
    with torch.device("meta"):
        return Stack(LlamaForCausalLM(config), "masked_diffusion")


def rename(tensors: Tensors, raw: Raw) -> Tensors:
    """Return the tensors under Llama's names; unknown names stay and fail the strict match."""
    return {stock_name(name): tensor for name, tensor in tensors.items()}


def stock_name(name: str) -> str:
    """Return Llama's name of a LLaDA tensor, or the name unchanged."""
    if name in _TOP:
        return _TOP[name]
    match = _BLOCK_NAME.fullmatch(name)
    if match is None or match[2] not in _BLOCK:
        return name
    return f"model.layers.{match[1]}.{_BLOCK[match[2]]}.{match[3]}"


FAMILY = Family("llada", "LLaDA", build, ("llada",), ("LLaDAModelLM",), rename)
