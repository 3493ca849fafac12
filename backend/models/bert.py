"""BERT, RoBERTa and ModernBERT: masked language models used as masked diffusion models.

They were trained to predict hidden tokens from both sides, at one rate of hiding; run over a canvas
that is hidden in part they are diffusion models in all but name (dLLM's BERT-chat is trained so).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from transformers import (
    BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM, RobertaConfig, RobertaForMaskedLM,
)

from backend.models.base import LayerParts
from backend.models.family import Family, Raw, Tensors, refuse_other, stock_values
from backend.models.stock import Parts, Stock
from backend.shapes import Float, Int

_UNUSED = (r"\.pooler\.", r"cls\.seq_relationship\.", r"embeddings\.position_ids$")
"""What pretraining files hold besides the masked language model."""


def build_bert(raw: Raw) -> Stock:
    """Return a BERT with its masked language modelling head."""
    refuse_other(raw, {"is_decoder": (False,)}, "Use a BERT that looks both ways.")
    with torch.device("meta"):
        module = BertForMaskedLM(BertConfig(**stock_values(raw)))
    return Stock(module, "masked_diffusion", Parts(lambda model, rows: model.cls(rows), dissect=dissect))


def build_roberta(raw: Raw) -> Stock:
    """Return a RoBERTa; its first positions are reserved, so its window is shorter than its table."""
    refuse_other(raw, {"is_decoder": (False,)}, "Use a RoBERTa that looks both ways.")
    config = RobertaConfig(**stock_values(raw))
    with torch.device("meta"):
        module = RobertaForMaskedLM(config)
    window = config.max_position_embeddings - config.pad_token_id - 1
    parts = Parts(lambda model, rows: model.lm_head(rows), dissect=dissect)
    return Stock(module, "masked_diffusion", parts, max_length=window)


def build_modernbert(raw: Raw) -> Stock:
    """Return a ModernBERT with its masked language modelling head."""
    with torch.device("meta"):
        module = ModernBertForMaskedLM(ModernBertConfig(**stock_values(raw)))
    return Stock(module, "masked_diffusion", Parts(_modernbert_head, "final_norm"))


def _modernbert_head(module: Any, rows: torch.Tensor) -> torch.Tensor:
    return module.decoder(module.head(rows))


def dissect(module: Any, layer: int, hidden: Float["L D"], rows: Int["R"]) -> LayerParts:
    """Return the sums of a layer at ``rows``: a norm follows each sum, so what is carried on is normed."""
    block = module.base_model.encoder.layer[layer]
    inner, dense = block.attention.self, block.attention.output.dense
    shape = (inner.num_attention_heads, inner.attention_head_size)
    query, key, value = (
        part(hidden).unflatten(1, shape).transpose(0, 1) for part in (inner.query, inner.key, inner.value)
    )  # [H, L, E]
    weights = (query[:, rows] @ key.transpose(1, 2) / inner.attention_head_size**0.5).softmax(dim=-1)
    mid = hidden[rows] + dense((weights @ value).transpose(0, 1).flatten(1))
    carried = block.attention.output.LayerNorm(mid)
    mlp = block.output.dense(block.intermediate(carried))
    return LayerParts(hidden[rows], weights, value, dense.weight.T.unflatten(0, shape), mid, carried, mlp)


def rename(tensors: Tensors, raw: Raw) -> Tensors:
    """Return the tensors under today's names: files of 2018 call a norm's parts gamma and beta."""
    return {re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", name)): tensor for name, tensor in tensors.items()}


_IGNORED = (*Family.ignored, *_UNUSED)
BERT = Family("bert", "BERT", build_bert, ("bert",), ("BertForMaskedLM", "BertForPreTraining"), rename, _IGNORED)
ROBERTA = Family(
    "roberta", "RoBERTa", build_roberta, ("roberta", "xlm-roberta"), ("RobertaForMaskedLM",), rename, _IGNORED)
MODERNBERT = Family(
    "modernbert", "ModernBERT", build_modernbert, ("modernbert",), ("ModernBertForMaskedLM",), ignored=_IGNORED)
