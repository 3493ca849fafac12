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
    """A stock class: ``stem`` names it, ``norm`` is the norm before the head."""

    model_type: str
    title: str
    stem: str
    norm: str = "norm"
    config: str = ""
    names: tuple[tuple[str, str], ...] = ()
    """Patterns of names in the files, and what the modules call them."""
    ignored: tuple[str, ...] = ()


_KINDS = (
    _Kind("gpt2", "GPT-2", "GPT2LMHead", "ln_f", "GPT2", names=((r"^(?!transformer\.|lm_head\.)", "transformer."),),
          ignored=(r"(^|\.)h\.\d+\.attn\.(masked_)?bias$",)),
    _Kind("gpt_neox", "GPT-NeoX and Pythia", "GPTNeoXForCausalLM", "final_layer_norm", "GPTNeoX", names=((r"^embed_out\.", "lm_head."),),
          ignored=(r"attention\.(masked_)?bias$",)),
    _Kind("gemma", "Gemma", "GemmaForCausalLM", config="Gemma"),
    _Kind("gemma2", "Gemma 2", "Gemma2ForCausalLM", config="Gemma2"),
    _Kind("gemma3_text", "Gemma 3", "Gemma3ForCausalLM", config="Gemma3Text"),
    _Kind("mistral", "Mistral", "MistralForCausalLM", config="Mistral"),
    _Kind("phi3", "Phi-3", "Phi3ForCausalLM", config="Phi3"),
    _Kind("olmo2", "OLMo 2", "Olmo2ForCausalLM", config="Olmo2"),
    _Kind("smollm3", "SmolLM3", "SmolLM3ForCausalLM", config="SmolLM3"),
)


def _head(module: Any, rows: Float["... D"]) -> Float["... V"]:
    """Return logits, capped softly where the family does (Gemma 2 and 3)."""
    logits = module.get_output_embeddings()(rows)
    cap = getattr(module.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _family(kind: _Kind) -> Family:
    name = kind.stem if kind.stem.endswith("ForCausalLM") else f"{kind.stem}Model"

    def build(raw: Raw) -> Stock:
        config = getattr(transformers, f"{kind.config}Config")(**stock_values(raw))
        with torch.device("meta"):
            module = getattr(transformers, name)(config)
        return Stock(module, "causal", Parts(_head, kind.norm))

    def rename(tensors: Tensors, raw: Raw) -> Tensors:
        return {_renamed(kind.names, found): tensor for found, tensor in tensors.items()}

    ignored = (*Family.ignored, *kind.ignored)
    return Family(kind.model_type, kind.title, build, (kind.model_type,), (name,), rename, ignored)


def _renamed(names: tuple[tuple[str, str], ...], name: str) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


FAMILIES = tuple(map(_family, _KINDS))
