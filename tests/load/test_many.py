"""Twenty clients at once: each gets what it would get alone, and nothing of anybody else's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest

from backend import RunRequest, run, same_run
from backend.engine import LocalEngine
from backend.errors import BusyError
from backend.store import parse_run
from tests.conftest import FakeModel
from tests.load.client import Visitor
from tests.load.conftest import Served, SlowModel

CLIENTS = 20


def watched(served: Served, seed: int) -> tuple[list[dict], bytes]:
    """Run one request to its end as a client does; return its messages and its saved run."""
    visitor = Visitor(served.address)
    visitor.call("submit", prompt="2+2=", length="12", seed=str(seed)).finish()
    messages = [json.loads(text) for text in visitor.call("stream").texts()]
    return messages, visitor.get(f"/runs/{messages[0]['runs'][0]}/run.unmask")[1]


def test_twenty_clients_at_once_each_get_their_own_run(serve: Callable[..., Served]) -> None:
    served, results = serve(SlowModel()), {}
    served.model.pass_s = 0.005

    def watch(seed: int) -> None:
        results[seed] = watched(served, seed)

    threads = [threading.Thread(target=watch, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(CLIENTS))
    runs = set()
    for seed, (messages, saved) in results.items():
        events = parse_run(saved)
        alone = tuple(run(FakeModel(), RunRequest("llada", prompt="2+2=", length=12, seed=seed)))
        assert same_run(events, alone) and events[-1].reason == "done"
        assert all(message["runs"] == messages[0]["runs"] for message in messages)
        runs.update(messages[0]["runs"])
        kinds = [event["kind"] for message in messages for event in message["events"] if event["kind"] != "queue"]
        assert kinds == ["start", *["step"] * 12, "end"]
        steps = [event["index"] for message in messages for event in message["events"] if event["kind"] == "step"]
        assert steps == list(range(1, 13))
    assert len(runs) == CLIENTS


def test_of_sixty_starts_those_beyond_the_queue_are_refused_at_once(engine_on: Callable[..., LocalEngine]) -> None:
    model = SlowModel()
    model.pass_s = 0.02
    engine = engine_on(model)
    engine.load("tiny-diffusion")
    taken, refused, longest = [], 0, 0.0
    for _ in range(60):
        begun = time.perf_counter()
        try:
            taken.append(engine.submit("tiny-diffusion", RunRequest("llada", prompt="2+2=", length=64)))
        except BusyError as error:
            refused += 1
            longest = max(longest, time.perf_counter() - begun)
            assert "the limit is 32" in str(error) and "Try again" in str(error)
    print(f"{len(taken)} taken, {refused} refused, the slowest refusal after {longest:.4f} s")
    assert 32 <= len(taken) <= 37 and refused == 60 - len(taken) and longest < 1.0
    for handle in taken:
        handle.cancel()


@pytest.mark.nightly
def test_twenty_clients_of_the_embedded_model(serve: Callable[..., Served], tiny: object) -> None:
    served, results = serve(tiny), {}
    threads = [threading.Thread(target=lambda seed=seed: results.update({seed: watched(served, seed)})) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, (_, saved) in results.items():
        assert same_run(parse_run(saved), tuple(run(tiny, RunRequest("llada", prompt="2+2=", length=12, seed=seed))))
    assert len(results) == CLIENTS


SECOND = json.dumps({"model": "tiny-diffusion", "decoder": "fast_dllm", "settings": {"threshold": 0.9}})


def compared(served: Served, seed: int) -> tuple[list[dict], list[bytes]]:
    """Run one comparison to its end as a client does; return its messages and both saved runs."""
    visitor = Visitor(served.address)
    visitor.arrive()
    visitor.call("submit", prompt="sum: 12+34=", length="5", seed=str(seed), second=SECOND).finish()
    messages = [json.loads(text) for text in visitor.call("stream").texts()]
    saved = [visitor.get(f"/runs/{run_id}/run.unmask")[1] for run_id in messages[0]["runs"]]
    visitor.close()
    return messages, saved


def compare_at_once(served: Served, model: object, clients: int) -> None:
    """Let so many clients compare at once; each gets both runs as it would alone, and no message of another's."""
    results: dict[int, tuple[list[dict], list[bytes]]] = {}
    threads = [threading.Thread(target=lambda seed=seed: results.update({seed: compared(served, seed)})) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(clients))
    seen: set[str] = set()
    for seed, (messages, saved) in results.items():
        requests = [RunRequest("llada", prompt="sum: 12+34=", length=5, seed=seed),
                    RunRequest("fast_dllm", prompt="sum: 12+34=", length=5, seed=seed, settings={"threshold": 0.9})]
        for data, request in zip(saved, requests, strict=True):
            assert same_run(parse_run(data), tuple(run(model, request)))
        assert all(message["runs"] == messages[0]["runs"] for message in messages)
        assert not seen & set(messages[0]["runs"])
        seen |= set(messages[0]["runs"])
        for lane, data in enumerate(saved):
            kinds = [event["kind"] for message in messages for event in message["events"] if event.get("lane", 0) == lane and event["kind"] != "queue"]
            assert kinds == ["start", *["step"] * (len(parse_run(data)) - 2), "end"]
    print(f"{clients} comparisons at once: {2 * clients} runs, each the same_run as alone, every event once and none of another's")


def test_clients_that_compare_at_once_each_get_their_own_runs(serve: Callable[..., Served], tiny: object) -> None:
    compare_at_once(serve(tiny), tiny, 4)


@pytest.mark.nightly
def test_twenty_clients_compare_on_the_embedded_model_at_once(serve: Callable[..., Served], tiny: object) -> None:
    compare_at_once(serve(tiny), tiny, CLIENTS)
