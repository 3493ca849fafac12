"""Out of memory at the first, a middle and the last step, and in an explanation: a message, the memory back, the next one right.

All fifty of each: ``python -m pytest -m nightly tests/load/test_memory.py -s``
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from fastapi.testclient import TestClient

from backend import RunRequest, run, same_run
from backend.engine import LocalEngine
from backend.settings import Settings
from components.server import application
from tests.conftest import FakeModel

NAME, LENGTH = "tiny-diffusion", 8
REQUEST = RunRequest("llada", prompt="2+2=", length=LENGTH)
AT = {"first": 1, "middle": LENGTH // 2, "last": LENGTH}


class Full(FakeModel):
    """A fake model that runs out of memory at the passes that a test names."""

    fails_at: int | None = None

    def forward(self, *inputs, **details):
        if self.fails_at is not None and self.passes + 1 == self.fails_at:
            self.fails_at = None
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
        return super().forward(*inputs, **details)


@pytest.fixture
def model() -> Full:
    return Full()


@pytest.fixture
def engine(model: Full, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEngine]:
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: model)
    opened = LocalEngine(Settings())
    yield opened
    opened.close()


def events_of(engine: LocalEngine) -> tuple:
    return tuple(event for batch in engine.submit(NAME, REQUEST).batches(0.0) for event in batch)


def run_out(engine: LocalEngine, model: Full, at: int) -> None:
    """Run out of memory at a pass, then run once more."""
    model.passes, model.fails_at = 0, at
    *steps, end = events_of(engine)
    assert (end.reason, len(steps)) == ("error", at)  # the start, and a step for every pass before
    assert "ran out of memory" in end.message and "shorter answer" in end.message
    assert "CUDA" not in end.message and "GiB" not in end.message
    assert end.totals.passes == at - 1
    assert same_run(events_of(engine), tuple(run(FakeModel(), REQUEST)))


@pytest.mark.parametrize("at", AT)
def test_running_out_of_memory_ends_the_run_with_the_remedy_and_the_next_one_is_right(engine: LocalEngine, model: Full, at: str) -> None:
    run_out(engine, model, AT[at])


def test_a_pass_that_does_not_fit_for_all_is_tried_for_each(engine: LocalEngine, model: Full) -> None:
    class Crowded(Full):
        def forward(self, input_ids=None, **details):
            if len(input_ids) > 1:
                raise torch.OutOfMemoryError("too many at once")
            return super().forward(input_ids, **details)

    crowded = Crowded()
    from backend import run_many

    request = replace(REQUEST, length=4)  # every pass that does not fit is followed by a search of all memory
    found: dict[int, list] = {0: [], 1: [], 2: []}
    for number, event in run_many(crowded, [request] * 3):
        found[number].append(event)
    alone = tuple(run(FakeModel(), request))
    assert all(same_run(events, alone) for events in found.values())


@pytest.mark.nightly
@pytest.mark.parametrize("at", AT)
def test_fifty_times_out_of_memory(engine: LocalEngine, model: Full, at: str) -> None:
    for _ in range(50):
        run_out(engine, model, AT[at])


class FullExplaining:
    """The embedded model with no room for an explanation while ``full``; ``asked`` counts the passes it refused."""

    def __init__(self, model: object) -> None:
        self._model, self.full, self.asked = copy.copy(model), False, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def forward(self, *inputs, **details):
        if self.full:
            self.asked += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
        return self._model.forward(*inputs, **details)


EXPLAINED = ("attribution?method=integrated_gradients", "attribution?method=occlusion", "attribution?method=attention_rollout", "flow?threshold=0.05")


@pytest.fixture(scope="module")
def explaining(tiny: object) -> Iterator[tuple[TestClient, FullExplaining, str]]:
    model, engine = FullExplaining(tiny), LocalEngine(Settings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.models.loading.load_model", lambda name, **_: model)
        engine.load(NAME)
    handle = engine.submit(NAME, RunRequest("llada", prompt="sum: 12+34=", length=5))
    assert [event for batch in handle.batches(0.0) for event in batch][-1].reason == "done"
    with TestClient(application(Settings(), engine)) as client:
        yield client, model, handle.id
    engine.close()


def explain_without_room(explaining: tuple[TestClient, FullExplaining, str], number: int) -> None:
    """Explain one token without room, then the same with room."""
    client, model, run_id = explaining
    step = number % 5 + 1
    events = client.get(f"/runs/{run_id}").json()["events"]
    position = next(event for event in events if event["kind"] == "step" and event["index"] == step)["writes"][0][0]
    path = f"/runs/{run_id}/{EXPLAINED[number % len(EXPLAINED)]}&step={step}&position={position}&visitor=v{number}"
    if number >= 20:  # no kept answer: another question than any before
        path += f"&n_steps={number}" if "integrated" in path else ""
        path = path.replace("0.05", f"0.{number}")
    model.full, model.asked = True, 0
    refused = client.get(path)
    model.full = False
    if model.asked == 0:  # an answer of before is given again without a pass
        assert refused.status_code == 200
        return
    told = refused.json()
    assert refused.status_code == 503 and "emory" in told["message"] and told["remedy"], told
    assert "CUDA" not in refused.text and "GiB" not in refused.text
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("number", range(len(EXPLAINED)), ids=[item.partition("?")[0] + str(at) for at, item in enumerate(EXPLAINED)])
def test_an_explanation_without_room_says_so_and_the_next_one_is_there(explaining: tuple[TestClient, FullExplaining, str], number: int) -> None:
    explain_without_room(explaining, number)
    assert explaining[1].asked > 0


@pytest.mark.nightly
def test_fifty_explanations_without_room(explaining: tuple[TestClient, FullExplaining, str]) -> None:
    refused = 0
    for number in range(100):
        explain_without_room(explaining, number)
        refused += explaining[1].asked > 0
        if refused == 50:
            break
    again = RunRequest("llada", prompt="sum: 12+34=", length=5)
    assert tuple(run(explaining[1], again))[-1].reason == "done"
    print(f"{refused} explanations without room were refused with a remedy; the same with room were answered")
    assert refused == 50
