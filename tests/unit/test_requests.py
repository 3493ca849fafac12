"""Requests: everything that is wrong is said at once, before any forward pass.

Run: ``python -m pytest tests/unit/test_requests.py``
"""

from __future__ import annotations

import pytest

from backend import RequestError, RunRequest, run
from backend.requests import prepare


def refused(fake, **given):
    """Return the problems of a request by field; the model must not have been asked."""
    with pytest.raises(RequestError) as raised:
        run(fake, RunRequest(**{"decoder": "llada", "prompt": "2+2=", "length": 4} | given))
    assert fake.passes == 0
    return {problem.field: problem.message for problem in raised.value.problems}


@pytest.mark.parametrize("length", [0, -1, 317, 10**30, True, 2.5, "4", None])
def test_a_wrong_length_does_not_hide_what_else_is_wrong(fake, length):
    problems = refused(fake, length=length, seed=-1, settings={"steps": -3, "remasking": "foo", "colour": 1})
    assert set(problems) == {"length", "seed", "settings.steps", "settings.remasking", "settings.colour"}
    assert "1 to 316 positions (window 320)" in problems["length"]
    assert problems["settings.steps"] == "-3 is out of range; give 1 to 316."


def test_a_length_that_fits_bounds_the_settings(fake):
    assert refused(fake, settings={"steps": 5}) == {"settings.steps": "5 is out of range; give 1 to 4."}


@pytest.mark.parametrize("given", [
    {"prompt": None, "prompt_ids": ("a",)}, {"prompt": None, "prompt_ids": (1.5,)}, {"prompt": None, "prompt_ids": 7},
    {"fixed": {0: "x"}}, {"fixed": 3}, {"settings": 3},
])
def test_a_request_of_the_wrong_types_is_refused_and_not_a_failure(fake, given):
    assert "whole numbers" in refused(fake, **given)["request"]


def test_a_prompt_that_is_no_text_is_refused(fake):
    assert refused(fake, prompt=5) == {"prompt": "5 is not a text; give a string, or ids as prompt_ids."}


def test_a_whole_number_beyond_every_float_is_out_of_range(fake):
    assert refused(fake, settings={"steps": 10**400})["settings.steps"].endswith("is out of range; give 1 to 4.")


def test_the_mask_cannot_be_a_token_that_stays(fake):
    assert "is the mask" in refused(fake, fixed={0: fake.mask_id})["fixed"]


@pytest.mark.parametrize(("moves", "token"), [("0=258", 258), ("0=5, 1=99999", 99999), ("0=256", 256)])
def test_a_move_to_a_token_that_cannot_be_written_is_refused_before_the_run(fake, moves, token):
    problems = refused(fake, decoder="manual", settings={"moves": moves})
    assert f"Token {token} cannot be written; give an id from 0 to 257" in problems["settings.moves"]


def test_a_canvas_that_grows_to_whole_blocks_is_held_against_the_servers_limit(fake):
    request = RunRequest("llada2", prompt="2+2=", length=20, settings={"block_length": 32})
    assert len(prepare(fake, request, canvas_max=32).canvas) == 32
    with pytest.raises(RequestError, match="20 positions become 28 in whole blocks, after 4 of the prompt, and the window is 24"):
        prepare(fake, request, canvas_max=24)
