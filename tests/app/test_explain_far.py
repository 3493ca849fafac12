"""Explanations of an engine whose models are elsewhere: the same answers, refusals and lines, computed beside the model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence

import pytest
from fastapi.testclient import TestClient

from backend import RunRequest, run
from backend.canvas import steps_of
from backend.events import Event
from backend.explanations.base import Progress
from backend.settings import Settings
from components.server import application
from tests.app.fakes import RUN_ID
from tests.app.test_explain_routes import ModelEngine, explaining

ASKED = ("attribution?position={at}&step=2&method=occlusion", "flow?position={at}&step=2", "lens?position={at}&step=2&kind=mid&layer=1&at={at}",
         "regret?", "faithfulness?position={at}&step=2&method=occlusion", "attribution_matrix?method=gradient_x_input")


class FarEngine(ModelEngine):
    """Has a face of the model only; the work goes to the model itself, as it would travel."""

    def __init__(self, events: tuple[Event, ...], model: object, face: object) -> None:
        super().__init__(events, face)
        self.there, self.sent, self.closed = model, 0, 0

    def explaining(self, model_name: str, work: object, run_id: str, events: Sequence[Event]) -> Iterator[Progress]:
        self.sent += 1
        try:
            return (yield from pickle.loads(pickle.dumps(work))(self.there, run_id, events))
        finally:
            self.closed += 1


@pytest.fixture(scope="module")
def decoded(tiny) -> tuple[Event, ...]:
    return tuple(run(tiny, RunRequest("llada", prompt="sum: 12+34=", length=6, settings={"steps": 3})))


@pytest.fixture(scope="module")
def engine(decoded, tiny) -> FarEngine:
    from backend.models.loading import load_face

    return FarEngine(decoded, tiny, load_face("tiny-diffusion", tiny.weights_hash))


@pytest.fixture(scope="module")
def far(engine) -> Iterator[TestClient]:
    with TestClient(application(Settings(), engine)) as opened:
        yield opened


@pytest.fixture(scope="module")
def near(decoded, tiny) -> Iterator[TestClient]:
    with explaining(ModelEngine(decoded, tiny)) as opened:
        yield opened


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.partition("?")[0])
def test_the_answer_is_the_one_that_is_computed_here(near, far, engine, decoded, asked: str) -> None:
    at, before = steps_of(decoded)[1].writes[0][0], engine.sent
    here, there = (client.get(f"/runs/{RUN_ID}/{asked.format(at=at)}") for client in (near, far))
    assert (there.status_code, engine.sent, engine.closed) == (200, before + 1, before + 1)
    assert answer(there.text) == answer(here.text)
    again = far.get(f"/runs/{RUN_ID}/{asked.format(at=at)}")  # kept: nothing is sent a second time
    assert answer(again.text) == answer(here.text) and engine.sent == before + 1


def answer(text: str) -> dict:
    """Return the last line of an answer; how long it took is nobody's."""
    return json.loads(text.strip().splitlines()[-1]) | {"took_s": 0}


@pytest.mark.parametrize("asked", ["attribution?position=999&step=2", "attribution?position=1", "flow?position=12&step=99", "attribution?position=12&step=2&method=magic"])
def test_a_refusal_has_the_same_status_and_words(near, far, asked: str) -> None:
    here, there = (client.get(f"/runs/{RUN_ID}/{asked}") for client in (near, far))
    assert here.status_code >= 400 and (there.status_code, there.json()) == (here.status_code, here.json())


def test_what_can_be_explained_is_told_without_the_weights(near, far) -> None:
    assert far.get(f"/runs/{RUN_ID}/explanations").json() == near.get(f"/runs/{RUN_ID}/explanations").json()


def test_more_points_of_an_answer_from_elsewhere_begin_nothing_either(decoded, tiny, engine) -> None:
    at = steps_of(decoded)[1].writes[0][0]
    with explaining(FarEngine(decoded, tiny, engine.model), starts_per_minute=1) as opened:
        ask = f"/runs/{RUN_ID}/attribution?position={at}&step=2&method=integrated_gradients&n_steps="
        assert [opened.get(f"{ask}{points}").status_code for points in (4, 8, 8, 4, 10)] == [200, 200, 200, 200, 429]


@pytest.mark.parametrize(("asked", "points"), [
    ("attribution_matrix?method=integrated_gradients&n_steps=", ("2", "4")),
    ("faithfulness?position={at}&step=2&method=integrated_gradients&n_steps=", ("2", "4")),
    ("attribution?position={at}&step=2&method=integrated_gradients&n_steps=", ("1", "02")),
], ids=["matrix", "faithfulness", "text"])
def test_what_costs_as_much_here_is_no_freer_elsewhere(decoded, tiny, engine, asked: str, points: tuple[str, str]) -> None:
    at = steps_of(decoded)[1].writes[0][0]
    with explaining(FarEngine(decoded, tiny, engine.model), starts_per_minute=1) as opened:
        ask = f"/runs/{RUN_ID}/{asked.format(at=at)}"
        assert [opened.get(f"{ask}{given}").status_code for given in points] == [200, 429]
