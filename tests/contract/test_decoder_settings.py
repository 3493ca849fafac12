"""What a decoder declares: names, help, and ranges that are kept at the border."""

from __future__ import annotations

import pytest

from backend import RequestError, RunRequest, run
from backend.decoders.catalogue import MARKS, find_decoder
from tests.conftest import fake_for
from tests.contract.cases import LENGTH, NAMES, options_of, request_of


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_says_what_it_is_and_where_it_comes_from(name):
    decoder = find_decoder(name)
    assert decoder.title and decoder.source and decoder.summary.endswith(".")
    assert decoder.mark in MARKS and (decoder.mark == "own") == ("ours" in decoder.source.lower() and "arxiv" not in decoder.source.lower())
    assert decoder.needs


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_help_a_range_and_a_default_within_it(name):
    decoder = find_decoder(name)
    for key, option in options_of(name).items():
        assert option.help.endswith(".") and option.title, key
        assert option.kind in ("int", "float", "choice", "bool", "text"), key
        if option.kind == "choice":
            assert option.choices, key
        elif option.kind not in ("bool", "text"):
            assert option.low is not None and option.high is not None, key
    assert decoder.Settings()


def numbers() -> list:
    """Return every numeric option as (decoder, setting)."""
    return [(name, key) for name in NAMES for key, option in options_of(name).items()
            if option.kind in ("int", "float")]


def attempt(name: str, key: str, value: object):
    """Run one step with a setting and return the problems, none when it is accepted."""
    settings = {key: value}
    if key == "steps" and "block_length" in options_of(name):
        settings["block_length"] = LENGTH
    try:
        next(run(fake_for(name), request_of(name, settings)))
    except RequestError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(("name", "key"), numbers())
def test_a_setting_takes_its_limits_and_nothing_beyond(name, key):
    option = options_of(name)[key]
    high = LENGTH if option.high == "length" else option.high
    beyond = 1 if option.kind == "int" else 0.001
    assert attempt(name, key, option.low) == ()
    assert attempt(name, key, high) == ()
    for value in (option.low - beyond, high + beyond):
        (problem,) = attempt(name, key, value)
        assert problem.field == f"settings.{key}"
        assert repr(value) in problem.message
        assert f"{option.low} to {high}" in problem.message


@pytest.mark.parametrize(("name", "key"), numbers())
@pytest.mark.parametrize("value", ("three", True, float("nan"), float("inf"), [1], {}))
def test_a_setting_of_the_wrong_type_is_refused(name, key, value):
    (problem,) = attempt(name, key, value)
    assert problem.field == f"settings.{key}" and repr(value) in problem.message


@pytest.mark.parametrize("name", NAMES)
def test_half_a_step_is_not_a_whole_number(name):
    for key, option in options_of(name).items():
        if option.kind == "int":
            (problem,) = attempt(name, key, 1.5)
            assert "whole number" in problem.message


@pytest.mark.parametrize("name", NAMES)
def test_a_choice_that_does_not_exist_lists_the_ones_that_do(name):
    for key, option in options_of(name).items():
        if option.kind == "choice":
            (problem,) = attempt(name, key, "sideways")
            assert all(choice in problem.message for choice in option.choices)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_lists_the_names_that_exist(name):
    (problem,) = attempt(name, "warmth", 1)
    assert problem.field == "settings.warmth"
    assert all(key in problem.message for key in options_of(name))


def test_an_unknown_decoder_lists_the_names_that_exist(fake):
    with pytest.raises(RequestError) as caught:
        run(fake, RunRequest("crystal_ball", prompt="?"))
    assert all(name in str(caught.value) for name in NAMES)


def test_names_in_the_catalogue_are_unique():
    assert len(set(NAMES)) == len(NAMES)
