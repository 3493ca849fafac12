"""The request of a link: what becomes a field, what falls back, and what is said about it."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace

import gradio as gr
import pytest

from backend.decoders.catalogue import DECODERS
from backend.models.catalogue import MODELS
from components import links
from components.controls import Control, draw
from components.handlers import Desk
from tests.app.fakes import RUN_ID, FakeEngine, FakeHandle, recorded

GOOD = {"model": "tiny-diffusion", "decoder": "fast_dllm", "prompt": "sum: 1+2=", "length": "8", "seed": "3",
        "settings": {"threshold": "0.8", "cache": "dual", "block_length": "4"}}


@cache
def drawn() -> tuple[Control, ...]:
    with gr.Blocks():
        return tuple(control for decoder in DECODERS for control in draw(decoder))


def desk(engine: FakeEngine) -> tuple[Desk, tuple[Control, ...]]:
    return Desk(engine, drawn(), ()), drawn()


def opened(sent: object, run: object = None, engine: FakeEngine | None = None) -> tuple[list, dict, tuple]:
    at, controls = desk(engine or FakeEngine())
    *shown, answer = at.open_link(SimpleNamespace(_data={"n": 7, "request": sent, "run": run}))
    return shown, json.loads(answer), controls


def test_a_links_request_is_shown_in_the_fields_and_runs() -> None:
    shown, answer, controls = opened(GOOD)
    assert shown[:5] == ["sum: 1+2=", "tiny-diffusion", "fast_dllm", "8", "3"]
    assert answer == {"n": 7, "runs": True, "kept": False, "second": None, "second_kept": False, "notices": []}
    of_decoder = {control.name: value for control, value in zip(controls, shown[7:], strict=True) if control.decoder == "fast_dllm"}
    assert of_decoder == {"threshold": "0.8", "factor": "", "block_length": "4", "temperature": 0.0, "cache": "dual",
                          "audit": False, "steps": ""}
    assert all(value == gr.skip() for control, value in zip(controls, shown[7:], strict=True) if control.decoder != "fast_dllm")


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_what_the_fields_show_is_read_back_as_the_same_settings(decoder: object) -> None:
    """The way out and back: default settings, shown and handed in again, differ in nothing."""
    at, controls = desk(FakeEngine())
    asked = links.read({"decoder": decoder.name, "prompt": "x"}, MODELS)
    _, _, _, length, seed, template, second, *values = links.shown(asked, controls)
    typed = [control.widget.preprocess(control.widget.value if value == gr.skip() else value)
             for control, value in zip(controls, values, strict=True)]
    assert at._request("x", "tiny-diffusion", decoder.name, float(length), float(seed), template, typed) == asked.request


def test_settings_of_every_kind_are_read() -> None:
    asked = links.read({"decoder": "ccd", "settings": {"adaptive": "false", "eps": "0.25", "history": "3", "mode": "release", "steps": ""}}, MODELS)
    assert asked.settings == {"adaptive": False, "eps": 0.25, "history": 3, "mode": "release"} and asked.notices == ()


@pytest.mark.parametrize(("change", "words", "runs"), [
    ({"model": "owner/evil"}, "is not offered here", False),
    ({"decoder": "<script>alert(1)</script>"}, "There is no decoder “<script>alert(1)</script>”", False),
    ({"length": "-1"}, "answer length “-1”", True),
    ({"length": "9" * 40}, "not a whole number", True),
    ({"seed": "1.5"}, "seed “1.5”", True),
    ({"settings": {"no_such": "1"}}, "no setting “no_such”", True),
    ({"settings": {"threshold": "7"}}, "Threshold: 7 is out of range", True),
    ({"settings": {"threshold": "nan"}}, "is not a number", True),
    ({"settings": {"threshold": "x" * 5000}}, "is not a number", True),
    ({"settings": {"cache": "${window.ran=1}"}}, "is not a choice", True),
    ({"prompt": "x" * 20_000}, "the limit is 16000", True),
])
def test_what_cannot_be_used_falls_back_with_a_notice(change: dict, words: str, runs: bool) -> None:
    shown, answer, _ = opened(GOOD | change)
    assert words in " ".join(answer["notices"]) and answer["runs"] is runs
    assert all(len(notice) < 600 for notice in answer["notices"])
    assert shown[3].isdigit() and shown[4].isdigit()


@pytest.mark.parametrize("sent", [None, 3, "x", [], {"settings": 3}, {"length": 5}, {"prompt": ["x"]}, {"settings": {"steps": {"a": 1}}}])
def test_a_request_of_any_shape_is_no_failure(sent: object) -> None:
    shown, answer, controls = opened(sent)
    assert len(shown) == 7 + len(controls) and answer["n"] == 7


def test_token_ids_are_shown_as_they_are_typed() -> None:
    shown, _, _ = opened({"decoder": "llada", "ids": "1, 2, 3"})
    assert shown[0] == "ids: 1, 2, 3"


def test_a_kept_run_is_shown_only_for_its_own_request_and_model() -> None:
    asked = links.read(GOOD, MODELS)
    handle = FakeHandle(recorded())
    handle.model_name, handle.request = "tiny-diffusion", asked.request
    engine = FakeEngine(handle)
    assert opened(GOOD, RUN_ID, engine)[1]["kept"] is True
    assert opened(GOOD | {"seed": "4"}, RUN_ID, engine)[1]["kept"] is False
    assert opened(GOOD, "nobody's", engine)[1]["kept"] is False
    handle.ended = False
    assert opened(GOOD, RUN_ID, engine)[1]["kept"] is False


def test_a_link_to_a_run_alone_shows_it_while_it_is_kept() -> None:
    handle = FakeHandle(recorded())
    handle.model_name, handle.request = "tiny-diffusion", links.read(GOOD, MODELS).request
    shown, answer, _ = opened({}, RUN_ID, FakeEngine(handle))
    assert (answer["kept"], answer["runs"], shown[2]) == (True, True, "fast_dllm")
    _, answer, _ = opened({}, "nobody's", FakeEngine(handle))
    assert answer["runs"] is False and "not kept here any more" in answer["notices"][0]


def test_a_comparisons_link_says_what_lane_b_is_and_whether_its_run_is_kept() -> None:
    beside = {"model": "tiny-diffusion", "decoder": "ccd", "settings": {"history": "3"}}
    handle = FakeHandle(recorded())
    handle.model_name, handle.request = "tiny-diffusion", links.read({**GOOD, **beside}, MODELS).request
    sent = {"request": GOOD, "run": "nobody's", "second": beside, "vs": RUN_ID}
    found = links.opened(sent, FakeEngine(handle))
    assert (found.second.decoder.name, found.second.settings, found.second.seed) == ("ccd", {"history": 3}, 3)
    assert (found.kept, found.second_kept, found.asked.notices) == (False, True, ())
    other = links.opened({**sent, "second": beside | {"settings": {"history": "4"}}}, FakeEngine(handle))
    assert other.second is not None and not other.second_kept


@pytest.mark.parametrize(("second", "words"), [
    ({"decoder": "no such", "settings": {}}, "Lane B: There is no decoder “no such”"),
    ({"decoder": "ccd", "settings": {"history": "-7"}}, "Lane B: "),
    ("nonsense", "lane A is shown alone"),
])
def test_what_cannot_be_used_of_lane_b_is_said_and_lane_a_runs(second: object, words: str) -> None:
    found = links.opened({"request": GOOD, "second": second, "vs": "f" * 32}, FakeEngine())
    assert found.asked.runs and words in " ".join(found.asked.notices)
