"""Qwen2 and Qwen3, left to right, and their conversions to diffusion.

A2D (dLLM, ``pipelines/a2d``) looks both ways and predicts a token at its own place; block diffusion
checkpoints are the same network under a block-causal pairwise mask. Dream (Ye et al., 2025) is Qwen2
looking both ways whose rows still predict the next token, as in the model it was trained from.
"""

from __future__ import annotations

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from backend.models.family import Family, Raw, refuse_other, stock_values
from backend.models.stack import Stack

BOTH_WAYS = {"use_sliding_window": (False, None)}
"""Values of configurations that look both ways: nobody says what a window means there."""


def build_qwen2(raw: Raw) -> Stack:
    """Return Qwen2, left to right."""
    return _qwen2(raw, "causal")


def build_qwen3(raw: Raw) -> Stack:
    """Return Qwen3, left to right."""
    return _qwen3(raw, "causal")


def build_a2d_qwen2(raw: Raw) -> Stack:
    """Return a Qwen2 that was converted to diffusion."""
    _refuse_window(raw)
    return _qwen2(raw, "masked_diffusion")


def build_a2d_qwen3(raw: Raw) -> Stack:
    """Return a Qwen3 that was converted to diffusion."""
    _refuse_window(raw)
    return _qwen3(raw, "masked_diffusion")


def build_dream(raw: Raw) -> Stack:
    """Return Dream: both ways, and a prediction is read from the row before its position."""
    _refuse_window(raw)
    return _qwen2(raw, "masked_diffusion", shifted=True, padding_is_blind=True)


def _qwen2(raw: Raw, kind: str, **reading: bool) -> Stack:
    with torch.device("meta"):
        return Stack(Qwen2ForCausalLM(Qwen2Config(**stock_values(raw))), kind, **reading)


def _qwen3(raw: Raw, kind: str) -> Stack:
    with torch.device("meta"):
        return Stack(Qwen3ForCausalLM(Qwen3Config(**stock_values(raw))), kind)


def _refuse_window(raw: Raw) -> None:
    refuse_other(raw, BOTH_WAYS, "Use a checkpoint without a sliding window.")


QWEN2 = Family("qwen2", "Qwen2 and Qwen2.5", build_qwen2, ("qwen2",), ("Qwen2ForCausalLM",))
QWEN3 = Family("qwen3", "Qwen3", build_qwen3, ("qwen3",), ("Qwen3ForCausalLM",))
A2D_QWEN2 = Family(
    "a2d-qwen2", "Qwen2.5 converted to diffusion (dLLM)", build_a2d_qwen2, ("a2d-qwen2",), ("A2DQwen2LMHeadModel",))
A2D_QWEN3 = Family(
    "a2d-qwen3", "Qwen3 converted to diffusion (dLLM)", build_a2d_qwen3, ("a2d-qwen3",), ("A2DQwen3LMHeadModel",))
DREAM = Family("dream", "Dream", build_dream, ("dream",), ("DreamModel",))
