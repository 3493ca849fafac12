"""Llama, left to right or, where the folder says so, looking both ways.

A folder with ``"is_causal": false`` (the embedded models) or of the dLLM project's A2D conversion is
a masked diffusion model on the same modules. Source of A2D: dLLM, ``pipelines/a2d``.
"""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backend.models.family import Family, Raw, stock_values
from backend.models.stack import Stack


def build(raw: Raw) -> Stack:
    """Return the network of a Llama folder: causal unless config.json says otherwise."""
    return _stack(raw, "causal" if raw.get("is_causal", True) else "masked_diffusion")


def build_both_ways(raw: Raw) -> Stack:
    """Return the network of a Llama that was converted to diffusion."""
    return _stack(raw, "masked_diffusion")


def _stack(raw: Raw, kind: str) -> Stack:
    config = LlamaConfig(**stock_values(raw))
    with torch.device("meta"):
        return Stack(LlamaForCausalLM(config), kind)


FAMILY = Family("llama", "Llama", build, model_types=("llama",), architectures=("LlamaForCausalLM",))
A2D = Family(
    "a2d-llama", "Llama converted to diffusion (dLLM)", build_both_ways,
    model_types=("a2d-llama",), architectures=("A2DLlamaLMHeadModel",),
)
