"""A mixture-of-experts feed-forward in plain PyTorch, for families that transformers does not have.

Every token goes to a few experts that a router chooses, and to shared experts where there are any.
Experts that no token chose are not run, so a pass over few rows touches few weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRotaryEmbedding

from backend.shapes import Float, Int

Route = tuple[Int["T K"], Float["T K"]]
"""The experts of each token and their weights, float32."""


@dataclass(frozen=True)
class GroupedSigmoid:
    """LLaDA2's router: the best experts of the best groups, weighted by their sigmoids.

    A group counts for the sum of its two best biased scores; the bias decides who is chosen and
    never how much. Source: LLaDA2, ``modeling_llada2_moe.py``.
    """

    top_k: int
    groups: int
    kept_groups: int
    factor: float

    def __call__(self, logits: Float["T E"], bias: Float["E"] | None) -> Route:
        scores = logits.sigmoid()
        biased = scores if bias is None else scores + bias
        per_group = biased.unflatten(1, (self.groups, -1))  # [T, groups, E / groups]
        best = per_group.topk(2, dim=-1).values.sum(-1).topk(self.kept_groups, dim=-1).indices
        kept = torch.zeros(per_group.shape[:2], dtype=torch.bool, device=logits.device).scatter(1, best, True)
        chosen = per_group.masked_fill(~kept[..., None], -torch.inf).flatten(1).topk(self.top_k, dim=-1).indices
        weights = scores.gather(1, chosen)
        if self.top_k > 1:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return chosen, weights * self.factor


@dataclass(frozen=True)
class Softmax:
    """LLaDA-MoE's router: the most probable experts, weighted by their probabilities as they are.

    The published code leaves the chosen probabilities unnormalised whatever ``norm_topk_prob`` says.
    Source: LLaDA-MoE, ``modeling_lladamoe.py``.
    """

    top_k: int

    def __call__(self, logits: Float["T E"], bias: Float["E"] | None) -> Route:
        scores = logits.softmax(-1)
        weights, chosen = (scores if bias is None else scores + bias).topk(self.top_k, dim=-1)
        return chosen, weights


class Gate(nn.Module):
    """The router's weights; its product runs in float32 whatever the weights' type."""

    def __init__(self, width: int, experts: int, biased: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, width))
        self.register_buffer("expert_bias", torch.empty(experts) if biased else None)

    def forward(self, rows: Float["T D"]) -> Float["T E"]:
        return functional.linear(rows.float(), self.weight.float())


class Mixture(nn.Module):
    """Routed experts, added up by weight, and shared experts on top."""

    def __init__(
        self, width: int, experts: int, inner: int, *, shared_inner: int = 0, biased: bool = False,
        route: Callable[[Float["T E"], Float["E"] | None], Route],
    ) -> None:
        super().__init__()
        self.gate = Gate(width, experts, biased)
        self.experts = nn.ModuleList(feed_forward(width, inner) for _ in range(experts))
        self.shared_experts = feed_forward(width, shared_inner) if shared_inner else None
        self._route = route

    def forward(self, hidden: Float["B R D"]) -> Float["B R D"]:
        """Return the feed-forward's output, not yet added to the residual stream."""
        rows = hidden.flatten(0, 1)  # [T, D]
        chosen, weights = self._route(self.gate(rows), self.gate.expert_bias)
        total = torch.zeros_like(rows, dtype=torch.float32)
        for number in chosen.unique().tolist():
            tokens, places = (chosen == number).nonzero(as_tuple=True)
            part = self.experts[number](rows[tokens]).float() * weights[tokens, places, None]
            total = total.index_add(0, tokens, part)
        mixed = total.to(rows.dtype).view_as(hidden)
        return mixed if self.shared_experts is None else mixed + self.shared_experts(hidden)


def feed_forward(width: int, inner: int) -> LlamaMLP:
    """Return a gated feed-forward with SiLU and without biases."""
    return LlamaMLP(LlamaConfig(hidden_size=width, intermediate_size=inner, num_attention_heads=1))


def partial_rotary(config: Any, channels: int) -> LlamaRotaryEmbedding:
    """Return rotary tables for the first ``channels`` channels of each head."""
    return LlamaRotaryEmbedding(LlamaConfig(
        hidden_size=channels, num_attention_heads=1, head_dim=channels,
        max_position_embeddings=config.max_position_embeddings,
        rope_parameters=config.rope_parameters,
    ))
