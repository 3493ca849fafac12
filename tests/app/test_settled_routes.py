"""The routes about how settled a run was and whether an explanation beats chance, against slow computations of the test."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from fastapi.testclient import TestClient

from backend import RunRequest, replay, run
from backend.canvas import start_of, steps_of
from backend.events import Event
from backend.settings import Settings
from components.server import application
from tests.app.fakes import NASTY, RUN_ID, FakeEngine
from tests.app.test_explain_routes import ModelEngine, explaining, url

PROMPT = "sum: 12+34="


@pytest.fixture(scope="module")
def decoded(tiny) -> tuple[Event, ...]:
    return tuple(run(tiny, RunRequest("llada", prompt=PROMPT, length=6, settings={"steps": 3})))


@pytest.fixture(scope="module")
def client(decoded, tiny) -> Iterator[TestClient]:
    with TestClient(application(Settings(), ModelEngine(decoded, tiny))) as opened:
        yield opened


@pytest.fixture(scope="module")
def faithful(client, decoded) -> dict:
    step = steps_of(decoded)[1]
    answer = client.get(url("faithfulness", position=step.writes[0][0], step=2, method="occlusion"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(decoded: tuple[Event, ...], position: int) -> dict[int, dict[int, float]]:
    """Return step -> the recorded candidates of a position."""
    found = {}
    for step in steps_of(decoded):
        for place, ids, probs in zip(step.candidates.positions, step.candidates.ids, step.candidates.probabilities, strict=True):
            if place == position:
                found[step.index] = dict(zip(ids, probs, strict=True))
    return found


def slow_kl(final: dict[int, float], then: dict[int, float]) -> float:
    both = [token for token in final if token in then]
    p, q = [final[token] for token in both], [then[token] for token in both]
    p, q = [*p, 1 - sum(p)], [*q, 1 - sum(q)]
    return sum(a * math.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 1e-12)


def test_a_trajectory_says_what_the_events_say(client, decoded) -> None:
    answer = client.get(url("trajectory")).json()
    assert answer["steps"] == 3 and len(answer["courses"]) == 6
    for course in answer["courses"]:
        lists = listed(decoded, course["position"])
        favourites = {step: max(found, key=found.get) for step, found in lists.items()}
        assert course["steps"] == list(favourites) and course["favourites"] == list(favourites.values())
        last = max(favourites)
        assert course["settled"] == min(step for step in favourites if all(
            favourites[later] == favourites[last] for later in favourites if later >= step))
        assert course["kl"] == pytest.approx([max(0.0, slow_kl(lists[last], lists[step])) for step in lists], abs=1e-5)
        written, token = next((step.index, token) for step in steps_of(decoded)
                              for place, token, _ in step.writes if place == course["position"])
        assert (course["written"], course["token"], course["waited"]) == (written, token, written - course["settled"])


def test_a_trajectory_needs_no_model_and_hostile_text_stays_text() -> None:
    with explaining(FakeEngine()) as client:
        answer = client.get(url("trajectory"))
    assert answer.headers["content-type"] == "application/json" and answer.json()["texts"]["6"] == NASTY
    assert [course["written"] for course in answer.json()["courses"]] == [2, 1, 2]


def test_regret_is_what_the_finished_canvas_says_without_the_token(client, decoded, tiny) -> None:
    answer = client.get(url("regret")).json()
    final = replay(decoded, 3)
    assert [item["position"] for item in answer["regrets"]] == list(range(start_of(decoded).prompt_length, len(final)))
    for item in answer["regrets"]:
        canvas = torch.tensor([final])
        canvas[0, item["position"]] = tiny.mask_id
        now = float(tiny.logits(canvas)[0, item["position"]].softmax(dim=-1)[final[item["position"]]])
        assert item["now"] == pytest.approx(now, rel=1e-3) and item["text"] == tiny.token(final[item["position"]])
        assert item["nats"] == pytest.approx(math.log(item["then"]) - math.log(now), abs=1e-3)
    fewer = sum(item["now"] < item["then"] for item in answer["regrets"])
    assert f"{fewer} of 6 written tokens" in answer["sentence"]


def test_the_curves_are_probabilities_on_partly_masked_canvases(client, decoded, tiny, faithful) -> None:
    step = steps_of(decoded)[1]
    position, token, _ = step.writes[0]
    ids = torch.tensor(replay(decoded, 1))
    scores = torch.tensor(client.get(url("attribution", position=position, step=2, method="occlusion")).json()["scores"])
    visible = [at for at in range(len(ids)) if ids[at] != tiny.mask_id]
    order = sorted(visible, key=lambda at: (-float(scores[at]), at))
    for name, top_is_masked in (("deletion", True), ("insertion", False)):
        wanted = []
        for count in faithful["counts"]:
            hidden = order[:count] if top_is_masked else order[count:]
            canvas = ids.clone()
            canvas[hidden] = tiny.mask_id
            wanted.append(float(tiny.logits(canvas[None])[0, position].softmax(dim=-1)[token]))
        assert faithful[name]["values"] == pytest.approx(wanted, abs=1e-4)


def test_the_measures_are_means_over_the_curves_and_the_verdict_follows(faithful) -> None:
    whole = faithful["whole"]
    for measure, name in (("comprehensiveness", "deletion"), ("sufficiency", "insertion")):
        curve, told = faithful[name], faithful[measure]
        assert told["value"] == pytest.approx(whole - sum(curve["values"]) / len(curve["values"]), abs=1e-4)
        assert told["mean"] == pytest.approx(whole - sum(curve["mean"]) / len(curve["mean"]), abs=1e-4)
        assert told["low"] <= told["mean"] <= told["high"]
        assert all(low <= mean <= high for low, mean, high in zip(curve["low"], curve["mean"], curve["high"], strict=True))
    above = faithful["comprehensiveness"]["value"] > faithful["comprehensiveness"]["high"]
    below = faithful["sufficiency"]["value"] < faithful["sufficiency"]["low"]
    assert faithful["better"] is (above and below) and faithful["verdict"]


@pytest.mark.parametrize(("query", "field"), [
    ({"step": 2}, "position"), ({"position": 0, "step": 2}, "position"), ({"position": 99, "step": 2}, "position"),
    ({"position": 11, "step": 9}, "step"), ({"position": "x", "step": 2}, "position"),
    ({"position": 11, "step": 3, "method": "tea_leaves"}, "method"), ({"position": 11, "step": 3, "n_steps": 0}, "n_steps"),
    ({"position": 11, "step": 3, "objective": "contrast"}, "against"), ({"position": 11, "step": 3, "rankings": 5}, "rankings"),
    ({"position": 11, "step": 3, "baseline": "nought"}, "baseline"),
])
def test_a_wrong_question_is_refused_with_its_field_named(client, query, field) -> None:
    answer = client.get(url("faithfulness", **query))
    assert answer.status_code == 422, answer.text
    assert field in {problem["field"] for problem in answer.json()["problems"]}


@pytest.mark.parametrize("what", ["trajectory", "regret", "faithfulness?position=2&step=2"])
def test_a_run_that_is_not_kept_is_not_found(client, what) -> None:
    answer = client.get(f"/runs/nobodys/{what}")
    assert answer.status_code == 404 and answer.json()["message"] and "Traceback" not in answer.text


def test_a_field_that_regret_does_not_have_is_refused(client) -> None:
    assert client.get(url("regret", step=1)).status_code == 422


def test_without_its_model_a_run_has_a_trajectory_and_no_regret(decoded, tiny) -> None:
    with explaining(ModelEngine(decoded, tiny, loaded=False)) as client:
        assert client.get(url("trajectory")).status_code == 200
        refused = client.get(url("regret"))
    assert refused.status_code == 409 and "menu Model" in refused.json()["remedy"]


def test_the_chart_library_comes_from_our_own_host(client) -> None:
    answer = client.get("/assets/charts/plotly.js")
    assert answer.status_code == 200 and "javascript" in answer.headers["content-type"] and b"plotly.js v" in answer.content[:200]
