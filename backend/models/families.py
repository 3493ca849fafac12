"""The families that can be opened. A new one is one file and one line here."""

from __future__ import annotations

from backend.errors import ModelError
from backend.models import bert, causal, diffusion_gemma, llada, llada2, llada_moe, llama, qwen
from backend.models.family import Family, Raw

FAMILIES: tuple[Family, ...] = (
    llada.FAMILY,
    llada_moe.FAMILY,
    llada2.FAMILY,
    qwen.DREAM,
    qwen.A2D_QWEN3,
    qwen.A2D_QWEN2,
    llama.A2D,
    diffusion_gemma.FAMILY,
    bert.BERT,
    bert.ROBERTA,
    bert.MODERNBERT,
    llama.FAMILY,
    qwen.QWEN2,
    qwen.QWEN3,
    *causal.FAMILIES,
)


def recognised(raw: Raw) -> Family:
    """Return the family of a config.json: by architecture, else by model type.

    Raises ``ModelError`` that names what the file says and what can be opened.
    """
    declared = raw.get("architectures")
    architectures = declared if isinstance(declared, list) else []
    for family in FAMILIES:
        if any(name in family.architectures for name in architectures):
            return family
    kind = str(raw.get("model_type", "")).lower()
    for family in FAMILIES:
        if kind in family.model_types:
            return family
    if raw.get("auto_map"):
        raise ModelError(f"config.json names the model type {kind!r}, which only code from its folder can open; "
                         "such code is never run here.", "Use a model of a family that is read natively.")
    known = ", ".join(name for family in FAMILIES for name in family.model_types)
    raise ModelError(f"config.json names the model type {kind!r}; the types read here are {known}.",
                     "Use a model of one of these families.")
