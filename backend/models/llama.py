"""Llama weights with bidirectional (or causal) attention, run layer by layer over stock modules.

The modules are transformers' own ``LlamaForCausalLM``; only the order of calls is written here,
because the stock forward offers no choice of rows and its caches assume appended positions.
LLaDA's folders are renamed onto the same modules (see ``llada``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import (
    LlamaRotaryEmbedding, apply_rotary_pos_emb, repeat_kv,
)

from backend.errors import ModelError
from backend.models.base import Cache, ModelOutput
from backend.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Asked:
    """What one pass is to do besides logits, in tensors of the model's device."""

    positions: Int["R"] | None
    mask: Bool["B 1 R L"] | None
    cache: Cache | None
    keep_cache: bool
    hidden_states: bool
    attentions: bool


class LlamaNetwork:
    """A Llama stack whose rows, caches and by-products can be chosen per pass."""

    capabilities = frozenset({"bidirectional", "attention", "gradients", "flow_routes", "cache"})

    def __init__(self, stock: LlamaForCausalLM, causal: bool) -> None:
        self.stock = stock
        self.causal = causal
        config = stock.config
        self.vocab_size = config.vocab_size
        self.max_length = config.max_position_embeddings
        self.n_layers = config.num_hidden_layers
        self.n_heads = config.num_attention_heads

    @classmethod
    def empty(cls, config: LlamaConfig, causal: bool) -> LlamaNetwork:
        """Return a network without weights (they are assigned by the loader)."""
        with torch.device("meta"):
            stock = LlamaForCausalLM(config)
        # The rotary tables are no weights: no file holds them, so they are made for real.
        stock.model.rotary_emb = LlamaRotaryEmbedding(config)
        return cls(stock.eval().requires_grad_(False), causal)

    def forward(self, embeds: Float["B R D"], length: int, asked: Asked) -> tuple[Float["B R D"], ModelOutput]:
        """Return the rows after the final norm, and the by-products asked for (logits empty)."""
        stack = self.stock.model
        positions = asked.positions
        if positions is None:
            positions = torch.arange(length, device=embeds.device)
        rotary = stack.rotary_emb(embeds, positions[None])
        mask = self._causal_mask(asked.mask, positions, length) if self.causal else asked.mask
        hidden, states, weights, keys, values = embeds, [], [], [], []
        for number, layer in enumerate(stack.layers):
            states.append(hidden)
            key, value, query = self._heads(layer, hidden, rotary)
            if asked.cache is not None and asked.positions is not None:
                key = asked.cache.keys[number].index_copy(2, positions, key)
                value = asked.cache.values[number].index_copy(2, positions, value)
            keys.append(key)
            values.append(value)
            mixed, weight = _attend(layer, query, key, value, mask, asked.attentions)
            weights.append(weight)
            hidden = hidden + layer.self_attn.o_proj(mixed)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        states.append(hidden)
        output = ModelOutput(
            logits=hidden.new_empty(0),
            cache=Cache(tuple(keys), tuple(values)) if asked.keep_cache else None,
            hidden_states=tuple(states) if asked.hidden_states else (),
            attentions=tuple(weights) if asked.attentions else (),
        )
        return stack.norm(hidden), output

    def embed(self, ids: Int["B R"]) -> Float["B R D"]:
        """Return the input embeddings of ``ids``."""
        return self.stock.model.embed_tokens(ids)

    def project(self, rows: Float["... D"]) -> Float["... V"]:
        """Return the logits of rows that have passed the final norm."""
        return self.stock.lm_head(rows)

    def _heads(self, layer: Any, hidden: Float["B R D"], rotary: Any) -> tuple[Any, Any, Any]:
        attention = layer.self_attn
        normed = layer.input_layernorm(hidden)
        shape = (*normed.shape[:2], -1, attention.head_dim)
        query, key, value = (
            projection(normed).view(shape).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )  # [B, H, R, D_head]
        query, key = apply_rotary_pos_emb(query, key, *rotary)
        return key, value, query

    def _causal_mask(
        self, mask: Bool["B 1 R L"] | None, positions: Int["R"], length: int
    ) -> Bool["B 1 R L"]:
        earlier = torch.arange(length, device=positions.device)[None] <= positions[:, None]
        return earlier[None, None] if mask is None else mask & earlier


def _attend(
    layer: Any, query: Any, key: Any, value: Any, mask: Any, want_weights: bool
) -> tuple[Float["B R D"], Float["B H R L"] | None]:
    groups = layer.self_attn.num_key_value_groups
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if not want_weights:
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(2), None
    scores = query @ key.transpose(2, 3) * layer.self_attn.scaling
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.float().softmax(dim=-1).to(query.dtype)
    return (weights @ value).transpose(1, 2).flatten(2), weights


def config_of(raw: dict[str, Any]) -> LlamaConfig:
    """Return the stock configuration of a Llama folder's config.json."""
    dropped = {"auto_map", "architectures", "torch_dtype", "dtype", "transformers_version"}
    return LlamaConfig(**{name: value for name, value in raw.items() if name not in dropped})


def is_causal(raw: dict[str, Any]) -> bool:
    """Tell whether the folder declares left-to-right attention (Llama's default)."""
    return bool(raw.get("is_causal", True))


def rename(tensors: dict[str, torch.Tensor], raw: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors under stock names; Llama's are stock already."""
    if raw.get("tie_word_embeddings") and "lm_head.weight" not in tensors:
        if "model.embed_tokens.weight" not in tensors:
            raise ModelError("The tensor model.embed_tokens.weight is missing, and the output head is tied to it.",
                             "Export the folder again with all tensors.")
        tensors = tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}
    return tensors
