"""Lane B of the request: what a second run is decoded with, drawn in the browser when it is wanted.

Its inputs come from the same declarations as those of lane A, but are built by ``assets/second_form.js``
from one description: a page that nobody compares on carries none of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import gradio as gr

from backend.decoders.base import Decoder
from backend.decoders.catalogue import DECODERS, find_decoder
from backend.errors import Problem, RequestError
from backend.models.catalogue import ModelCard
from components.controls import whole

_HAND_OVER = "(window.secondParts ??= []).push({ element, props });"


class Second(gr.HTML):
    """The inputs of lane B; its value is JSON text, empty while nothing is compared."""

    def __init__(self, value: str = "", **shared: Any) -> None:
        # The template never prints the value: it is what a visitor typed.
        fixed = dict(
            value=value, html_template='<div class="second"></div>', apply_default_css=False,
            js_on_load=_HAND_OVER, elem_id="second",
        )
        super().__init__(**{**shared, **fixed})

    def postprocess(self, value: str | None) -> str:
        """Return the value as it is."""
        return value or ""

    def api_info(self) -> dict[str, Any]:
        """Say that the value is text."""
        return {"type": "string"}


@dataclass(frozen=True)
class Chosen:
    """What lane B is decoded with."""

    model: str
    decoder: str
    settings: Mapping[str, Any]
    locked: bool = False
    """Whether settings that lane A has too, and that are set there, are those of lane A."""

    def beside(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of lane B where lane A is given ``given``."""
        decoder = find_decoder(self.decoder) if self.locked else None
        own = {item.name for item in fields(decoder.Settings)} if decoder else set()
        return {**self.settings, **{name: value for name, value in given.items() if name in own}}


def chosen_of(text: str | None) -> Chosen | None:
    """Return what the inputs of lane B say, or None while nothing is compared.

    Raises ``RequestError`` when the text is not what ``assets/second_form.js`` writes.
    """
    if not text:
        return None
    try:
        read = json.loads(text)
        settings = {str(name): whole(value) for name, value in dict(read["settings"]).items()}
        return Chosen(str(read["model"]), str(read["decoder"]), settings, read.get("locked") is True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RequestError([Problem("b.decoder", "The choices of lane B could not be read; switch the comparison off and on.")]) from error


def described(cards: Iterable[ModelCard]) -> dict[str, Any]:
    """Return what lane B may be decoded with: models, and decoders with the options of their settings."""
    return {
        "models": [{"name": card.name, "title": card.title} for card in cards],
        "decoders": [_decoder(decoder) for decoder in DECODERS],
    }


def _decoder(decoder: Decoder) -> dict[str, Any]:
    return {
        "name": decoder.name, "title": decoder.title, "mark": decoder.mark,
        "settings": [
            {"name": item.name, "default": None if item.default is MISSING else item.default, **asdict(item.metadata["option"])}
            for item in fields(decoder.Settings)
        ],
    }
