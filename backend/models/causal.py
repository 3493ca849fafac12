"""Causal language models of transformers, for the left-to-right side of a comparison.

Each is one line: the configuration and the class by name, and the norm before the head. Llama and Qwen
are not here: they run layer by layer (``llama``, ``qwen``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from backend.models.family import Family, Raw, Tensors, stock_values
from backend.models.stock import Parts, Stock
from backend.shapes import Float


@dataclass(frozen=True)
class _Kind:
    """A stock class and its configuration by name; ``norm`` is the norm before the head."""

    model_type: str
    title: str
    architecture: str
    config: str
    norm: str = "norm"
    names: tuple[tuple[str, str], ...] = ()
    """Patterns of names in the files, and what the modules call them."""
    ignored: tuple[str, ...] = ()


_KINDS = (
    _Kind("gpt2", "GPT-2", "GPT2LMHeadModel", "GPT2Config", "ln_f",
          names=((r"^(?!transformer\.|lm_head\.)", "transformer."),),
          ignored=(r"(^|\.)h\.\d+\.attn\.(masked_)?bias$",)),
    _Kind("gpt_neox", "GPT-NeoX and Pythia", "GPTNeoXForCausalLM", "GPTNeoXConfig", "final_layer_norm",
          names=((r"^embed_out\.", "lm_head."),),
          ignored=(r"attention\.(masked_)?bias$",)),
    _Kind("gemma", "Gemma", "GemmaForCausalLM", "GemmaConfig"),
    _Kind("gemma2", "Gemma 2", "Gemma2ForCausalLM", "Gemma2Config"),
    _Kind("gemma3_text", "Gemma 3", "Gemma3ForCausalLM", "Gemma3TextConfig"),
    _Kind("mistral", "Mistral", "MistralForCausalLM", "MistralConfig"),
    _Kind("phi3", "Phi-3", "Phi3ForCausalLM", "Phi3Config"),
    _Kind("olmo2", "OLMo 2", "Olmo2ForCausalLM", "Olmo2Config"),
    _Kind("smollm3", "SmolLM3", "SmolLM3ForCausalLM", "SmolLM3Config"),
)


def _head(module: Any, rows: Float["... D"]) -> Float["... V"]:
    """Return logits, capped softly where the family does (Gemma 2 and 3)."""
    logits = module.get_output_embeddings()(rows)
    cap = getattr(module.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _family(kind: _Kind) -> Family:
    def build(raw: Raw) -> Stock:
        config = getattr(transformers, kind.config)(**stock_values(raw))
        with torch.device("meta"):
            module = getattr(transformers, kind.architecture)(config)
        return Stock(module, "causal", Parts(_head, kind.norm))

    def rename(tensors: Tensors, raw: Raw) -> Tensors:
        return {_renamed(kind.names, found): tensor for found, tensor in tensors.items()}

    ignored = (*Family.ignored, *kind.ignored)
    return Family(kind.model_type, kind.title, build, (kind.model_type,), (kind.architecture,), rename, ignored)


def _renamed(names: tuple[tuple[str, str], ...], name: str) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


FAMILIES = tuple(map(_family, _KINDS))
