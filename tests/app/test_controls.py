"""Inputs drawn from declarations: every decoder gets them, and defaults stay defaults."""

from __future__ import annotations

from dataclasses import fields

import gradio as gr
import pytest

from backend.decoders.base import Layout, Option, resolved
from backend.decoders.catalogue import DECODERS
from components.controls import Control, Number, Range, described, draw, field_id, settings_of


@pytest.fixture(scope="module")
def controls() -> tuple[Control, ...]:
    with gr.Blocks():
        return tuple(control for decoder in DECODERS for control in draw(decoder))


def shown(control: Control) -> object:
    """Return what Python gets when the visitor touches nothing."""
    return control.widget.preprocess(control.widget.value)


def test_every_setting_of_every_decoder_has_one_input(controls: tuple[Control, ...]) -> None:
    declared = [(decoder.name, item.name) for decoder in DECODERS for item in fields(decoder.Settings)]
    assert [(control.decoder, control.name) for control in controls] == declared
    assert len({control.widget.elem_id for control in controls}) == len(controls)


def test_every_input_explains_itself(controls: tuple[Control, ...]) -> None:
    assert all(control.widget.label and control.widget.info for control in controls)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_untouched_inputs_ask_for_nothing(decoder: object, controls: tuple[Control, ...]) -> None:
    values = [shown(control) for control in controls]
    assert settings_of(controls, decoder.name, values) == {}


def test_only_the_chosen_decoders_changes_are_asked_for(controls: tuple[Control, ...]) -> None:
    values = [7.0 if control.name == "steps" else shown(control) for control in controls]
    assert settings_of(controls, "llada", values) == {"steps": 7}
    assert settings_of(controls, "left_to_right", values) == {}


def test_an_emptied_field_that_needs_a_value_is_named_by_the_request_check(
    controls: tuple[Control, ...],
) -> None:
    values = [None if control.name == "temperature" else shown(control) for control in controls]
    asked = settings_of(controls, "llada", values)
    _, problems = resolved(DECODERS[0], asked, Layout(0, 8, tuple(range(8))))
    assert [problem.field for problem in problems] == ["settings.temperature"]


@pytest.mark.parametrize(("typed", "value"), [("", None), ("  ", None), ("3", 3.0), ("0.25", 0.25), ("abc", "abc")])
def test_a_number_field_may_be_empty_and_passes_on_what_is_no_number(typed: str, value: object) -> None:
    assert Number.preprocess(Number(render=False), typed) == value


def test_a_slider_leaves_judging_its_value_to_the_request_check() -> None:
    assert Range(0, 1, render=False).preprocess(5) == 5


def test_the_help_of_a_setting_ends_with_its_range() -> None:
    assert described(Option("int", "Passes.", low=1, high="length")) == "Passes. 1 to the length."
    assert described(Option("float", "Heat.", low=0.0, high=5.0)) == "Heat. 0 to 5."
    assert field_id("llada", "steps") == "field-settings-llada-steps"
