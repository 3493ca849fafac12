"""Inputs drawn from what a decoder declares; a new decoder needs no line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import gradio as gr

from backend.decoders.base import Decoder, Option


STOPS_MAX = 200
"""Stops beyond which a slider is too coarse to aim at."""


class Range(gr.Slider):
    """A slider that leaves judging its value to the request check, which names field and limit."""

    is_template = True  # drawn in the browser as the slider it is

    def preprocess(self, payload: float) -> float:
        """Return what the browser sent."""
        return payload


class Number(gr.Textbox):
    """A number that may be left empty, which the library's own number input cannot be."""

    is_template = True

    def preprocess(self, payload: Any) -> float | str | None:
        """Return the number, None where the field is empty, or the text that is no number."""
        text = "" if payload is None else str(payload).strip()
        try:
            return float(text) if text else None
        except ValueError:
            return text


class Menu(gr.Dropdown):
    """A menu whose value is judged by who uses it, with a sentence; the library's own answer is a failure."""

    is_template = True

    def preprocess(self, payload: Any) -> str:
        """Return what was chosen, on the menu or not; nothing where nothing was."""
        return "" if payload is None else str(payload)


@dataclass(frozen=True)
class Control:
    """One setting of one decoder and the input that stands for it."""

    decoder: str
    name: str
    default: Any
    widget: gr.components.Component


def draw(decoder: Decoder) -> tuple[Control, ...]:
    """Draw one input per setting of ``decoder`` into the open layout, and return them."""
    return tuple(
        Control(decoder.name, item.name, _default(item), _widget(decoder.name, item))
        for item in fields(decoder.Settings)
    )


def settings_of(controls: Sequence[Control], decoder: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return the settings of ``decoder`` that differ from its defaults."""
    return {
        control.name: whole(value)
        for control, value in zip(controls, values, strict=True)
        if control.decoder == decoder and whole(value) != control.default
    }


def field_id(decoder: str, name: str) -> str:
    """Return the element id of a setting's input."""
    return f"field-settings-{decoder}-{name}"


def described(option: Option) -> str:
    """Return the help of a setting with its range and what an empty field means."""
    parts = [option.help]
    high = "the length" if option.high == "length" else option.high
    if option.low is not None:
        parts.append(f"{option.low:g} or more." if high is None else f"{option.low:g} to {_plain(high)}.")
    return " ".join(parts)


def _widget(decoder: str, item: Any) -> gr.components.Component:
    option: Option = item.metadata["option"]
    default = _default(item)
    shared: Mapping[str, Any] = {
        "label": option.title or item.name,
        "elem_id": field_id(decoder, item.name),
        "interactive": True,
    }
    if option.kind == "bool":
        return gr.Checkbox(value=default, info=option.help, **shared)
    if option.kind == "text":
        return gr.Textbox(value=default, max_length=option.high, info=option.help, **shared)
    if option.kind == "choice":
        choices = [(choice.replace("_", " "), choice) for choice in option.choices]
        return Menu(choices, value=default, filterable=False, info=option.help, **shared)
    if _has_track(option, default):
        return Range(
            option.low, option.high, value=default, step=option.step or 1, buttons=[],
            info=option.help, **shared,
        )
    return Number(
        value="" if default is None else f"{default:g}", placeholder=_when_empty(option), lines=1,
        max_lines=1, info=described(option), buttons=[],
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False), **shared,
    )


def _has_track(option: Option, default: Any) -> bool:
    """Tell whether a slider suits: both limits are numbers, none is a value, few enough stops."""
    numeric = isinstance(option.low, int | float) and isinstance(option.high, int | float)
    if not numeric or default is None or option.nullable or option.auto is not None:
        return False
    return (option.high - option.low) / (option.step or 1) <= STOPS_MAX


def _when_empty(option: Option) -> str:
    if option.auto is not None:
        return f"auto: {option.auto}"
    return "off" if option.nullable else ""


def _default(item: Any) -> Any:
    return None if item.default is MISSING else item.default


def whole(value: Any) -> Any:
    """Return 7 for 7.0, as the browser knows one kind of number; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
