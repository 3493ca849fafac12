"""Whether a decoder with its settings can work on a model: asked before a run, and before one hands over to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backend.decoders.base import Decoder, Layout
from backend.decoders.catalogue import DECODERS
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.models.base import Model


def unfit(model: Model, decoder: Decoder, settings: Any, layout: Layout) -> list[Problem]:
    """Return what is wrong with resolved settings: the decoder's own rules, tokens it cannot write, what the model lacks."""
    return (decoder.check(settings, layout) or _unwritable(model, decoder.tokens(settings))
            or lacking(model, decoder, decoder.wants(settings) - decoder.needs))


def lacking(model: Model, decoder: Decoder, needs: frozenset[str]) -> list[Problem]:
    """Return what is wrong where a model does not offer what is needed, with the decoders that fit it."""
    absent = ", ".join(sorted(needs - model.capabilities))
    if not absent:
        return []
    if decoder.needs <= model.capabilities:
        return [Problem("decoder", f"With these settings {decoder.name} needs a model that offers {absent}; {model.name} does not. "
                                   "Choose other settings or another model.")]
    fitting = ", ".join(item.name for item in DECODERS if item.needs <= model.capabilities)
    remedy = f"Decoders that fit it: {fitting}." if fitting else "Choose another model."
    return [Problem("decoder", f"{decoder.name} needs a model that offers {absent}; {model.name} does not. {remedy}")]


def _unwritable(model: Model, named: Mapping[str, tuple[int, ...]]) -> list[Problem]:
    return [Problem(f"settings.{name}", f"Token {token} cannot be written; give an id from 0 to {model.vocab_size - 1}, not the mask.")
            for name, tokens in named.items() for token in tokens
            if not 0 <= token < model.vocab_size or token == model.mask_id]
