"""The routes of explanations: what they answer, against the functions behind them, and what they refuse."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import math
import threading
from collections.abc import Iterator

import numpy
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backend import RunRequest, replay, run
from backend.canvas import steps_of
from backend.events import Event
from backend.explanations.attribution import attribute, attribution_matrix
from backend.explanations.base import BASELINES, OBJECTIVES, AttributionRequest, FlowRequest
from backend.explanations.catalogue import METHODS
from backend.explanations.choices import BASELINE_CHOICES, OBJECTIVE_CHOICES
from backend.explanations.flow_routes import flow_routes
from backend.explanations.latest import Superseded
from backend.explanations.moments import moment as moment_of
from backend.settings import Settings
from components import explain_wire
from components.explain_routes import Desk
from components.rates import Rates
from components.server import application, offer_explanations
from tests.app.fakes import RUN_ID, FakeEngine, FakeHandle
from tests.conftest import WAIT_S

PROMPT = "sum: 12+34="


class ModelEngine(FakeEngine):
    """Plays one recorded run, with the model that made it loaded."""

    def __init__(self, events: tuple[Event, ...], model: object, loaded: bool = True) -> None:
        super().__init__(FakeHandle(events))
        self.handle.model_name = "tiny-diffusion"
        self.model, self.loaded = model, loaded

    def ready(self, name: str) -> bool:
        return self.loaded and name == "tiny-diffusion"

    def load(self, name: str) -> object:
        return self.model


def explaining(engine: FakeEngine, **settings: object) -> TestClient:
    """Return a client of the routes of explanations and of the rates before them, as the application has them.

    For an engine, or limits, of one test: the page, which none of them looks at, takes most of the time that an application takes.
    """
    chosen, app = Settings(**settings), FastAPI()
    offer_explanations(app, chosen, engine)
    app.add_middleware(Rates, per_minute=chosen.starts_per_minute, starts=())
    return TestClient(app)


@pytest.fixture(scope="module")
def decoded(tiny) -> tuple[Event, ...]:
    return tuple(run(tiny, RunRequest("llada", prompt=PROMPT, length=6, settings={"steps": 3})))


@pytest.fixture(scope="module")
def client(decoded, tiny) -> Iterator[TestClient]:
    with TestClient(application(Settings(), ModelEngine(decoded, tiny))) as opened:
        yield opened


@pytest.fixture(scope="module")
def spot(decoded) -> tuple[int, int, int]:
    """Return a writing of the second step: step, position, token."""
    step = steps_of(decoded)[1]
    return step.index, *step.writes[0][:2]


def url(what: str, **query: object) -> str:
    return f"/runs/{RUN_ID}/{what}?" + "&".join(f"{name}={value}" for name, value in query.items())


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_attribution_is_that_of_the_canvas_on_which_the_token_was_chosen(client, decoded, tiny, spot) -> None:
    step, position, token = spot
    answer = client.get(url("attribution", position=position, step=step, method="occlusion"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    want = attribute(tiny, AttributionRequest(replay(decoded, step - 1), position, token, method="occlusion"))
    assert found["scores"] == pytest.approx(want.scores.tolist(), abs=1e-5)
    assert (found["step"], found["token"], found["text"]) == (step, token, tiny.token(token))
    assert sum(score for _, _, score in found["words"]) == pytest.approx(sum(found["scores"]), abs=1e-4)


def test_a_later_step_explains_the_same_writing(client, decoded, spot) -> None:
    step, position, _ = spot
    last = len(steps_of(decoded))
    first, later = (client.get(url("attribution", position=position, step=at, method="occlusion")).json() for at in (step, last))
    assert first == later and later["step"] == step


def test_the_sum_of_an_attribution_is_a_difference_of_log_probabilities_and_is_said(client, spot, tiny) -> None:
    step, position, token = spot
    found = client.get(url("attribution", position=position, step=step)).json()
    assert sum(found["scores"]) == pytest.approx(found["value"] - found["baseline_value"] + found["delta"], abs=1e-4)
    assert math.exp(found["value"]) == pytest.approx(found["probability"], rel=1e-3)
    assert "add up to" in found["sentence"] and "given nothing" in found["sentence"] and repr(tiny.token(token)) in found["sentence"]


def test_a_large_delta_comes_with_its_remedy(client, spot) -> None:
    step, position, _ = spot
    found = client.get(url("attribution", position=position, step=step, n_steps=1)).json()
    assert found["relative_delta"] > 0.05 and found["remedy"] == {"n_steps": 2} and "n_steps" in found["warnings"][0]


def test_the_remedy_of_a_large_delta_is_never_more_points_than_may_be_asked_for(decoded, tiny, spot) -> None:
    told = moment_of(decoded, spot[1], spot[0])
    found = attribute(tiny, AttributionRequest(told.ids, told.position, told.token, n_steps=1))
    for points, remedy in ((128, {"n_steps": 256}), (129, None), (256, None)):
        asked = dataclasses.replace(found, request=dataclasses.replace(found.request, n_steps=points))
        assert explain_wire.attribution(tiny, told, asked, 0.1)["remedy"] == remedy


def test_a_contrast_is_against_the_token_that_is_named(client, decoded, tiny, spot) -> None:
    step, position, token = spot
    against = token + 1
    found = client.get(url("attribution", position=position, step=step, method="occlusion", objective="contrast", against=against)).json()
    want = attribute(tiny, AttributionRequest(replay(decoded, step - 1), position, token, "occlusion", "contrast", against))
    assert found["scores"] == pytest.approx(want.scores.tolist(), abs=1e-5) and found["against"]["token"] == against
    assert found["unit"] == "logits"


def test_a_matrix_comes_in_parts_and_then_at_once_from_what_is_kept(client, decoded, tiny) -> None:
    first = client.get(url("attribution_matrix", method="occlusion"))
    *progress, whole = lines(first.text)
    assert all(0 <= part["done"] <= part["total"] for part in progress)
    want = attribution_matrix(tiny, decoded, method="occlusion")
    scores = numpy.frombuffer(base64.b64decode(whole["scores"]), "<f4").reshape(len(whole["rows"]), whole["columns"])
    assert numpy.allclose(scores, want.numpy(), atol=1e-5)
    assert [row[:3] for row in whole["rows"]] == [[step.index, *write[:2]] for step in steps_of(decoded) for write in step.writes]
    assert lines(client.get(url("attribution_matrix", method="occlusion")).text) == [whole]


def test_routes_are_the_graph_of_the_backend(client, decoded, tiny, spot) -> None:
    step, position, _ = spot
    found = client.get(url("flow", position=position, step=step, threshold=0.03)).json()
    want = flow_routes(tiny, FlowRequest(replay(decoded, step - 1), position, threshold=0.03, per_head=True))
    nodes = [tuple(node) for node in found["nodes"]]
    assert set(nodes) == set(want.nodes) and nodes[found["target"]] == want.graph["target"]
    edges = {(nodes[source], nodes[into]): (weight, heads) for source, into, weight, heads, _ in found["edges"]}
    assert set(edges) == set(want.edges)
    for pair, (weight, heads) in edges.items():
        assert weight == pytest.approx(want.edges[pair]["weight"], rel=1e-5)
        assert [head for head, _ in heads] == [head for head, share in want.edges[pair].get("heads", ())[:8] if share >= 1e-4]
    assert found["coverage"] == pytest.approx(want.graph["coverage"], rel=1e-5)


def test_routes_say_what_stood_in_each_column(client, decoded, tiny, spot) -> None:
    step, position, _ = spot
    columns = {item["position"]: item for item in client.get(url("flow", position=position, step=step)).json()["columns"]}
    length = decoded[0].prompt_length
    assert columns[position]["state"] == "target"
    for at, item in columns.items():
        if at == position:
            continue
        earlier = [one.index for one in steps_of(decoded)[: step - 1] for spot, _, _ in one.writes if spot == at]
        want = ("prompt", None) if at < length else ("written", earlier[0]) if earlier else ("masked", None)
        assert (item["state"], item["step"]) == want


def test_the_lens_of_the_last_node_is_what_the_model_predicts(client, decoded, tiny, spot) -> None:
    import torch

    step, position, _ = spot
    found = client.get(url("lens", position=position, step=step, kind="out", layer=tiny.n_layers - 1, at=position)).json()
    probs = tiny.logits(torch.tensor([replay(decoded, step - 1)]))[0, position].softmax(-1)
    best = probs.topk(8)
    assert [item["token"] for item in found["tokens"]] == best.indices.tolist()
    assert [item["probability"] for item in found["tokens"]] == pytest.approx(best.values.tolist(), rel=1e-4, abs=1e-7)
    for kind, layer in (("token", 0), ("mid", 1), ("mlp", 1)):
        answer = client.get(url("lens", position=position, step=step, kind=kind, layer=layer, at=0))
        assert answer.status_code == 200 and len(answer.json()["tokens"]) == 8


def test_what_can_be_asked_is_what_the_catalogue_declares(client) -> None:
    offer = client.get(f"/runs/{RUN_ID}/explanations").json()
    assert [item["name"] for item in offer["methods"]] == [item.name for item in METHODS]
    assert not any(item["lacking"] for item in offer["methods"]) and not offer["routes"]["lacking"]
    assert {item.name for item in OBJECTIVE_CHOICES} == set(OBJECTIVES) and {item.name for item in BASELINE_CHOICES} == set(BASELINES)


BAD = (
    ("attribution", {"position": 999, "step": 1}, "position", ("999", "11 to 16")),
    ("attribution", {"position": -1, "step": 1}, "position", ("-1", "11 to 16")),
    ("attribution", {"position": 3, "step": 1}, "position", ("3 belongs to the prompt", "11 to 16")),
    ("attribution", {"position": "x", "step": 1}, "position", ("'x'", "whole number")),
    ("attribution", {"position": "NaN", "step": 1}, "position", ("'NaN'", "whole number")),
    ("attribution", {"step": 1}, "position", ("missing",)),
    ("attribution", {"position": 12, "step": 0}, "step", ("0", "1 to 3")),
    ("attribution", {"position": 12, "step": 99}, "step", ("99", "1 to 3")),
    ("attribution", {"method": "magic"}, "method", ("'magic'", "integrated_gradients", "occlusion")),
    ("attribution", {"objective": "joy"}, "objective", ("'joy'", "log_prob")),
    ("attribution", {"objective": "contrast"}, "against", ("two tokens",)),
    ("attribution", {"objective": "contrast", "against": 10**6}, "against", ("1000000", "outside the vocabulary")),
    ("attribution", {"baseline": "noise"}, "baseline", ("'noise'", "mask")),
    ("attribution", {"n_steps": 0}, "n_steps", ("0", "1 to 256")),
    ("attribution", {"n_steps": 257}, "n_steps", ("257", "1 to 256")),
    ("attribution", {"colour": "red"}, "colour", ("no such field", "position")),
    ("attribution_matrix", {"method": "magic"}, "method", ("'magic'", "occlusion")),
    ("attribution_matrix", {"n_steps": "NaN"}, "n_steps", ("'NaN'", "1 to 256")),
    ("flow", {"threshold": "nan"}, "threshold", ("'nan'", "0 up to")),
    ("flow", {"threshold": 1}, "threshold", ("'1'", "0 up to")),
    ("flow", {"threshold": "-0.1"}, "threshold", ("-0.1", "0 up to")),
    ("lens", {"kind": "soul", "layer": 0, "at": 0}, "kind", ("'soul'", "token, mid, mlp, out")),
    ("lens", {"kind": "out", "layer": 6, "at": 0}, "layer", ("6", "0 to 5")),
    ("lens", {"kind": "out", "layer": 0, "at": 17}, "at", ("17", "0 to 16")),
)


@pytest.mark.parametrize(("what", "query", "field", "words"), BAD, ids=[f"{what}-{query}" for what, query, _, _ in BAD])
def test_bad_input_names_its_field_and_the_limit(client, spot, what, query, field, words) -> None:
    if not {"position", "step"} & set(query) and what != "attribution_matrix":
        query = {"step": spot[0], "position": spot[1]} | query
    answer = client.get(url(what, **query))
    told = answer.json()
    assert answer.status_code == 422
    message, = [item["message"] for item in told["problems"] if item["field"] == field]
    assert all(word in message for word in words), message
    assert field in told["message"] and "Traceback" not in answer.text


def test_all_wrong_fields_are_named_at_once(client) -> None:
    told = client.get(url("attribution", position="x", step="y", n_steps="z")).json()
    assert {item["field"] for item in told["problems"]} == {"position", "step", "n_steps"}


def test_a_token_that_is_not_written_yet_says_when_it_is(client, decoded) -> None:
    last = steps_of(decoded)[-1]
    told = client.get(url("attribution", position=last.writes[0][0], step=1)).json()
    assert "not written yet after step 1" in told["message"] and f"step {last.index}" in told["message"]


@pytest.mark.parametrize("what", ["attribution", "attribution_matrix", "flow", "lens", "explanations"])
def test_a_run_that_is_not_kept_is_not_found_in_words(client, what) -> None:
    answer = client.get(f"/runs/nobodys/{what}?position=1&step=1")
    assert answer.status_code == 404 and "not kept" in answer.json()["message"] and answer.json()["remedy"]


def test_a_model_that_is_not_loaded_is_named_with_the_way_out(decoded, tiny, spot) -> None:
    with explaining(ModelEngine(decoded, tiny, loaded=False)) as opened:
        answer = opened.get(url("flow", position=spot[1], step=spot[0]))
    assert answer.status_code == 409 and "tiny-diffusion" in answer.json()["message"] and "Model" in answer.json()["remedy"]


def changed(model: object, **what: object) -> object:
    """Return a copy of a model that differs in ``what``."""
    other = copy.copy(model)
    for name, value in what.items():
        setattr(other, name, value)
    return other


def test_other_weights_than_those_of_the_run_are_refused(decoded, tiny, spot) -> None:
    with explaining(ModelEngine(decoded, changed(tiny, weights_hash="f" * 16))) as opened:
        answer = opened.get(url("attribution", position=spot[1], step=spot[0]))
    assert answer.status_code == 409 and "other weights" in answer.json()["message"] and answer.json()["remedy"]


def test_a_model_without_gradients_or_layers_says_why_not(decoded, tiny, spot) -> None:
    poor = changed(tiny, capabilities=frozenset({"bidirectional"}))
    with explaining(ModelEngine(decoded, poor)) as opened:
        offer = opened.get(url("explanations")).json()
        lacking = {item["name"]: item["lacking"] for item in offer["methods"]}
        assert "gradients" in lacking["integrated_gradients"] and "attention" in lacking["attention_rollout"]
        assert lacking["occlusion"] == "" and "layers" in offer["routes"]["lacking"]
        for what, words in (("attribution", "gradients"), ("attribution_matrix", "gradients"), ("flow", "layers")):
            query = {} if what == "attribution_matrix" else {"position": spot[1], "step": spot[0]}
            answer = opened.get(url(what, **query))
            assert answer.status_code == 409 and words in answer.json()["message"] and answer.json()["remedy"]


def test_a_failure_inside_says_so_without_a_traceback(decoded, tiny, spot) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("secret")

    with explaining(ModelEngine(decoded, changed(tiny, embed=broken))) as opened:
        answer = opened.get(url("attribution", position=spot[1], step=spot[0]))
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["remedy"]


def test_a_newer_request_of_the_same_view_stops_the_older(decoded, tiny, spot) -> None:
    inside, go_on, calls = threading.Event(), threading.Event(), []

    def slow(*given: object, **details: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            inside.set()
            assert go_on.wait(WAIT_S)
        return tiny.forward(*given, **details)

    with explaining(ModelEngine(decoded, changed(tiny, forward=slow))) as opened:
        answers: dict[str, object] = {}
        query = {"position": spot[1], "step": spot[0], "visitor": "one", "method": "gradient_x_input"}
        older = threading.Thread(target=lambda: answers.update(older=opened.get(url("attribution", **query))))
        older.start()
        assert inside.wait(WAIT_S)
        newer = threading.Thread(target=lambda: answers.update(newer=opened.get(url("attribution", **query | {"objective": "logit"}))))
        newer.start()
        # The newer one waits for its turn; only then may the older one's pass return.
        while sum(thread.name == "unmask-explain" for thread in threading.enumerate()) < 2:
            newer.join(0.01)
        go_on.set()
        older.join(WAIT_S)
        newer.join(WAIT_S)
    assert answers["older"].status_code == 409 and "newer" in answers["older"].json()["message"]
    assert answers["newer"].status_code == 200


def test_a_request_whose_planning_took_longer_gives_way_to_a_newer_one_of_its_place() -> None:
    desk = Desk(FakeEngine())
    older, elsewhere, newer = desk.arrived("attribution of v"), desk.arrived("flow of v"), desk.arrived("attribution of v")
    desk.still_newest("attribution of v", newer)
    desk.still_newest("flow of v", elsewhere)
    with pytest.raises(Superseded):
        desk.still_newest("attribution of v", older)


@pytest.mark.parametrize(("decoder", "settings"), [("llada", {"steps": 3}), ("block_diffusion", {"block_length": 2})])
def test_the_reader_is_told_where_the_whole_canvas_says_something_else_than_the_pass_did(tiny, decoder, settings) -> None:
    events = tuple(run(tiny, RunRequest(decoder, prompt=PROMPT, length=6, settings=settings)))
    told = 0
    for step in steps_of(events):
        for position, token, probability in step.writes:
            found = moment_of(events, position, step.index)
            answer = explain_wire.attribution(tiny, found, attribute(tiny, AttributionRequest(found.ids, position, token, n_steps=4)), 0.0)
            again = math.exp(float(tiny.logits(torch.tensor([found.ids]))[0, position].log_softmax(-1)[token]))
            warned = any("wrote this token at probability" in text for text in answer["warnings"])
            assert warned == (abs(again - probability) > 0.01)
            told += warned
    assert (told > 0) == (decoder == "block_diffusion")


def test_an_address_begins_so_many_explanations_and_what_is_kept_or_gets_more_points_is_none(decoded, tiny, spot) -> None:
    step, position, _ = spot
    other = steps_of(decoded)[2].writes[0][0]
    with TestClient(application(Settings(starts_per_minute=3), ModelEngine(decoded, tiny))) as opened:

        def status(what: str, at: int = position, **query: object) -> int:
            return opened.get(url(what, position=at, step=step, **query)).status_code

        assert [status("attribution", n_steps=points) for points in (4, 8, 16, 32, 32)] == [200] * 5
        assert opened.get(url("attribution_matrix", method="gradient_x_input")).status_code == 200
        assert status("attribution", at=999) == 422  # nothing begins
        assert status("attribution", n_steps=6) == 200
        refused = opened.get(url("attribution", position=other, step=3))
        assert refused.status_code == 429 and refused.json()["message"] == "Too many requests from this address."
        assert refused.json()["remedy"] == f"Try again in {refused.headers['retry-after']} s."
        assert opened.get(url("attribution_matrix")).status_code == status("flow") == status("attribution", n_steps=7) == 429
        assert status("attribution", n_steps=8) == status("attribution", n_steps=12) == 200
        assert opened.get(url("attribution_matrix", method="gradient_x_input")).status_code == 200


@pytest.mark.parametrize("what", ["attribution?method=occlusion", "attribution?method=integrated_gradients", "faithfulness?method=occlusion",
                                  "attribution_matrix?method=occlusion", "regret?", "flow?", "lens?kind=mid&layer=1&at=1"])
def test_an_explanation_that_is_refused_or_wrong_costs_no_pass(decoded, tiny, spot, what) -> None:
    passes = []

    def counted(name: str) -> object:
        def ask(*given: object, **details: object) -> object:
            passes.append(name)
            return getattr(tiny, name)(*given, **details)

        return ask

    path, _, query = what.partition("?")
    at = "" if path in ("regret", "attribution_matrix") else f"&step={spot[0]}&position={spot[1]}"
    seen = changed(tiny, forward=counted("forward"), embed=counted("embed"))
    with explaining(ModelEngine(decoded, seen), starts_per_minute=1) as opened:
        if path != "regret":
            assert opened.get(f"{url(path)}{query}{at}&method=magic&kind=magic").status_code == 422 and not passes
        assert opened.get(url("flow", position=spot[1], step=spot[0], threshold=0.5)).status_code == 200
        passes.clear()
        assert opened.get(f"{url(path)}{query}{at}").status_code == 429
    assert not passes


def test_a_kept_half_pays_for_one_continuation_and_no_more(decoded, tiny, spot) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ValueError("there is no answer to keep, as after a reader who left")

    asked = {"position": spot[1], "step": spot[0]}
    seen = changed(tiny)
    with explaining(ModelEngine(decoded, seen), starts_per_minute=1) as opened:
        assert opened.get(url("attribution", n_steps=4, **asked)).status_code == 200
        seen.embed = failing
        assert [opened.get(url("attribution", n_steps=8, **asked)).status_code for _ in range(3)] == [500, 429, 429]
        assert opened.get(url("attribution", n_steps=4, **asked)).status_code == 200
