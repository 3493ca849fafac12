"""What a decoder says about itself is true, and what is wrong in it is refused at the border."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import pytest

from backend import RequestError, RunRequest, run, same_run
from backend.canvas import steps_of
from backend.decoders import catalogue
from backend.decoders.base import BaseDecoder, Choice, Score, option
from backend.decoders.catalogue import DECODERS, find_decoder, register_decoder
from backend.measures.catalogue import MEASURES
from tests.conftest import fake_for
from tests.contract.cases import CASES, LENGTH, NAMES

COMMON = {measure.name for measure in MEASURES}
LEADING = "One forward pass"


def decoded(name: str, settings: dict, seed: int = 0) -> list:
    """Return the run of a decoder on a fresh fake model."""
    return list(run(fake_for(name), RunRequest(name, prompt="abc", length=LENGTH, settings=settings, seed=seed, top_k=2)))


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_every_declaration_of_the_catalogue_would_be_accepted(decoder: object) -> None:
    assert list(catalogue._problems(decoder)) == []


def test_the_names_kept_for_scores_of_every_run_are_those_of_the_measures() -> None:
    assert catalogue._RECORDED == COMMON


@pytest.mark.parametrize(("name", "given"), [*CASES, pytest.param("fast_dllm", '{"cache": "dual", "audit": true}', id="audited")])
def test_a_run_is_what_its_decoder_declares(name: str, given: str) -> None:
    """Its own scores are those declared, within their scale; where nothing is drawn, the seed changes nothing."""
    settings, decoder = json.loads(given), find_decoder(name)
    events = decoded(name, settings, 1)
    declared = {score.name: score for score in decoder.scores if score.recorded(events[0].settings)}
    assert {key for step in steps_of(events) for key in step.scores} - COMMON == set(declared)
    for step in steps_of(events):
        for key in declared.keys() & step.scores.keys():
            known = [value for value in step.scores[key] if value is not None]
            low, high = (-math.inf, math.inf) if "ends at" in declared[key].help else (declared[key].low, declared[key].top)
            assert all(math.isfinite(value) and low - 1e-6 <= value <= high + 1e-6 for value in known)
    if not decoder.draws(decoder.Settings(**settings)):
        again = decoded(name, settings, 2)
        assert same_run(events[1:], again[1:]) and events[0].canvas == again[0].canvas


@pytest.mark.parametrize("name", ["random_order", "sample", "llada"])
def test_a_decoder_that_draws_gives_other_runs_for_other_seeds(name: str) -> None:
    settings = {"remasking": "random"} if name == "llada" else {}
    assert not same_run(decoded(name, settings, 1)[1:], decoded(name, settings, 2)[1:])


@pytest.mark.parametrize("name", [name for name in NAMES if find_decoder(name).cost.startswith(f"{LEADING} over the whole canvas")])
def test_one_pass_over_the_whole_canvas_is_what_a_step_costs(name: str) -> None:
    events = decoded(name, {})
    totals = events[-1].totals
    assert totals.passes == totals.steps and totals.rows == totals.passes * len(events[0].canvas)


@dataclass(frozen=True)
class Fitting:
    """Settings that are declared as they should be."""

    count: int = option(1, "int", "Tokens a pass.", low=1, high=8)


@dataclass(frozen=True)
class Unfit:
    """Settings with a default out of range and a field that is not declared."""

    count: int = option(9, "int", "Tokens a pass.", low=1, high=8)
    other: dict = field(default_factory=dict)


class Own(BaseDecoder):
    """A decoder from outside."""

    name, title, source, Settings = "own", "Own", "Ours", Fitting

    def choose(self, view, settings, state) -> Choice:
        """Write nothing."""
        return Choice()


def test_a_registered_decoder_is_found_and_one_of_the_same_name_is_refused() -> None:
    decoder = register_decoder(Own())
    try:
        assert find_decoder("own") is decoder and DECODERS[-1] is decoder
        with pytest.raises(RequestError, match="is taken"):
            register_decoder(Own())
    finally:
        DECODERS.remove(decoder)
    assert find_decoder("own") is None


@pytest.mark.parametrize(("wrong", "said"), [
    ({"name": "Not a name"}, "not a name"), ({"name": "llada"}, "is taken"), ({"title": " "}, "title: is empty"),
    ({"source": ""}, "source: is empty"), ({"cost": ""}, "cost: is empty"), ({"mark": "proven"}, "sourced, reconstructed or own"),
    ({"needs": frozenset({"wings"})}, "wings is unknown"), ({"choose": None}, "choose: is missing"),
    ({"Settings": dict}, "frozen dataclass"), ({"Settings": Unfit}, "settings.other: is not declared"),
    ({"Settings": Unfit}, "the default 9 is out of range"),
    ({"scores": (Score("drift", "Drift", "Ours.", "nats", "more"),)}, "'drift' is not free"),
    ({"scores": (Score("own_score", "Own", "Ours.", "nats", "more", 1.0, 1.0),)}, "low below top"),
])
def test_a_wrong_declaration_is_refused_with_what_to_do(wrong: dict, said: str) -> None:
    decoder = type("Wrong", (Own,), {**wrong, "__module__": __name__})()
    with pytest.raises(RequestError) as refused:
        register_decoder(decoder)
    assert said in str(refused.value) and decoder not in DECODERS


def test_everything_that_is_wrong_is_said_at_once() -> None:
    decoder = type("Wrong", (Own,), {"name": "", "title": "", "mark": "", "__module__": __name__})()
    with pytest.raises(RequestError) as refused:
        register_decoder(decoder)
    assert {problem.field for problem in refused.value.problems} == {"name", "title", "mark"}
