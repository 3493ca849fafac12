"""Runs on Ray: the same as here, whatever happens to the replicas. Needs ``deploy/requirements-ray.txt``.

    python -m pytest -n 0 -m nightly tests/load/test_ray.py -s

Every test starts a Ray of its own on this machine and shuts it down; they print the figures of docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ |= {  # as the engine sets them, which comes too late where Ray is imported here
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "GRPC_ENABLE_FORK_SUPPORT": "0",
}
ray = pytest.importorskip("ray")

from backend import RunRequest, load_model, run, same_run  # noqa: E402
from backend.decoders.catalogue import DECODERS, find_decoder, register_modules  # noqa: E402
from backend.engine import LocalEngine, RunHandle  # noqa: E402
from backend.errors import BusyError  # noqa: E402
from backend.events import Event, Step  # noqa: E402
from backend.fitting import lacking  # noqa: E402
from backend.holding import GO_ON, Breakpoint  # noqa: E402
from backend.rays import cluster  # noqa: E402
from backend.rays.engine import RayEngine  # noqa: E402
from backend.settings import Settings  # noqa: E402
from components.explain_query import Query  # noqa: E402
from components.explain_routes import Desk, plan_attribution, plan_flow  # noqa: E402
from tests.load.conftest import until  # noqa: E402

pytestmark = pytest.mark.nightly

NAME = "tiny-diffusion"
PASSES = "UNMASK_TEST_PASSES"
"""Names the file in which every pass of the slow decoder leaves a line."""

START_S = 180.0
"""How long a replica may take to be there, on a machine with other work."""


@pytest.fixture(scope="module", autouse=True)
def slow_decoder() -> Iterator[None]:
    register_modules("tests.load.slow")
    yield
    DECODERS.remove(find_decoder("slow"))


Begin = Callable[..., RayEngine]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return a function that opens an engine on a Ray of its own."""
    with contextlib.ExitStack() as closing:

        def start(**settings: object) -> RayEngine:
            given = {"replica_cpus": 0, "decoders": "tests.load.slow"} | settings
            engine = RayEngine(Settings(engine="ray", **given))
            closing.callback(ray.shutdown)
            closing.callback(engine.close, 10.0)
            return engine

        yield start


def replicas(kind: str = "Decoding") -> list[str]:
    """Return the names of the replicas that live."""
    from ray.util import list_named_actors

    return sorted(item["name"] for item in list_named_actors(all_namespaces=True) if f"#{kind}#" in item["name"])


def kill(name: str) -> None:
    """End a replica's process at once."""
    ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)


def there(count: int) -> None:
    until(lambda: len(replicas()) == count and answering(count), START_S)


def answering(count: int) -> bool:
    """Tell whether so many decoding replicas take requests."""
    from ray import serve

    states = serve.status().applications["unmask-decoding"].deployments["Decoding"].replica_states
    return {str(getattr(state, "value", state)): number for state, number in states.items()} == {"RUNNING": count}


def finished(handle: RunHandle) -> tuple[Event, ...]:
    events = tuple(event for batch in handle.batches(0.0) for event in batch)
    assert events == handle.recorded
    return events


def all_finished(handles: list[RunHandle]) -> list[tuple[Event, ...]]:
    """Read all runs at once, as their visitors would."""
    found: dict[str, tuple[Event, ...]] = {}
    threads = [threading.Thread(target=lambda item=item: found.update({item.id: finished(item)})) for item in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[handle.id] for handle in handles]


def slow(seed: int, length: int = 24, seconds: float = 0.1) -> RunRequest:
    return RunRequest("slow", prompt="sum: 12+34=", length=length, seed=seed, settings={"seconds": seconds})


def quick(request: RunRequest) -> tuple[Event, ...]:
    """Return the events of a slow request without the waiting; its settings name the time, which decides nothing."""
    model = load_model(NAME)
    found = tuple(run(model, RunRequest(request.decoder, request.prompt, length=request.length, seed=request.seed, settings={"seconds": 0.0})))
    return found


def told_alike(events: tuple[Event, ...], wanted: tuple[Event, ...]) -> bool:
    """Tell whether two slow runs decided the same; their starts differ in the seconds that were asked for."""
    return same_run(events[1:], wanted[1:]) and events[0].canvas == wanted[0].canvas


def test_thirty_decoder_and_seed_pairs_are_the_same_run_as_in_the_local_engine(begin: Begin) -> None:
    models = [load_model(name) for name in (NAME, "tiny-causal")]
    pairs = []
    for decoder in DECODERS:
        model = next((item for item in models if not [*lacking(item, decoder, decoder.needs)]), None)
        if model is not None and decoder.name not in ("manual", "slow"):
            pairs += [(model.name, decoder.name, seed) for seed in (0, 2**40 + 1)]
    assert len(pairs) >= 30
    engine, local = begin(replicas_min=2, replicas_max=2, max_running=4, max_queued=64, visitor_runs=64), LocalEngine(Settings(max_queued=64, visitor_runs=64))
    try:
        asked = [(name, RunRequest(decoder, length=16, seed=seed)) for name, decoder, seed in pairs]
        far = [engine.submit(name, request) for name, request in asked]
        near = [local.submit(name, request) for name, request in asked]
        for pair, one, other in zip(pairs, all_finished(far), all_finished(near), strict=True):
            assert one[-1].reason == "done" and same_run(one, other), pair
    finally:
        local.close()
    print(f"\n{len(pairs)} pairs of decoder and seed ({len(pairs) // 2} decoders): each the same_run through both engines")


def test_twenty_streams_over_three_replicas_are_each_the_same_run_as_alone(begin: Begin) -> None:
    engine = begin(replicas_min=3, replicas_max=3, max_running=20, max_queued=0, replica_runs=8)
    there(3)
    requests = [RunRequest("llada", prompt=f"sum: {seed}+34=", length=48, seed=seed, settings={"temperature": 0.7}) for seed in range(20)]
    handles = [engine.submit(NAME, request, visitor=str(seed)) for seed, request in enumerate(requests)]
    model = load_model(NAME)
    for request, events in zip(requests, all_finished(handles), strict=True):
        assert same_run(events, tuple(run(model, request)))
    print("\n20 streams over 3 replicas: each the same_run as alone")


def test_a_replica_killed_in_mid_run_loses_no_run(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    engine = begin(replicas_min=3, replicas_max=3, max_running=6, replica_runs=4)
    kills = resumed = 0
    with caplog.at_level(logging.WARNING, "backend.rays.resume"):
        while kills < 20:
            there(3)
            requests = [slow(100 * kills + number) for number in range(6)]
            handles = [engine.submit(NAME, request, visitor=str(number)) for number, request in enumerate(requests)]
            until(lambda: all(len(handle.recorded) >= 2 + kills % 5 for handle in handles), START_S)
            before = len(caplog.records)
            kill(replicas()[kills % 3])
            runs = all_finished(handles)
            lost = sum("lost its replica" in record.getMessage() for record in caplog.records[before:])
            for request, events in zip(requests, runs, strict=True):
                assert events[-1].reason == "done", events[-1]
                assert told_alike(events, quick(request))
            kills, resumed = kills + (lost > 0), resumed + lost
            print(f"{kills} killed, {resumed} went on elsewhere", flush=True)
    print(f"\n{kills} replicas killed in mid-run: {resumed} runs went on elsewhere, each with a matching prefix and the same_run as alone")


def test_a_cancel_reaches_the_replica_before_its_next_pass_but_one(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = tmp_path / "passes"
    passes.touch()
    monkeypatch.setenv(PASSES, str(passes))  # the replicas inherit it
    engine = begin(replica_runs=1, max_running=1)
    later = []
    for seed in range(20):
        handle = engine.submit(NAME, slow(seed, 60, 0.2))
        until(lambda: len(handle.recorded) >= 3, START_S)
        begun = len(passes.read_text().splitlines())
        handle.cancel()
        end = finished(handle)[-1]
        assert end.reason == "cancelled"
        # The next run has the only place: once it decides, the one before is over.
        after = engine.submit(NAME, slow(seed, 1, 0.0))
        assert finished(after)[-1].reason == "done"
        later.append(len(passes.read_text().splitlines()) - begun - 1)
    print(f"\n20 cancels: {max(later)} further passes of the replica at most")
    assert max(later) <= 1


def test_overflow_reaches_the_visitor_as_advice_and_what_was_taken_goes_on(begin: Begin) -> None:
    engine = begin(replica_runs=1, max_queued=1, max_running=6)
    assert finished(engine.submit(NAME, slow(0, 4, 0.0)))[-1].reason == "done"  # so that a run's length is known
    handles = [engine.submit(NAME, slow(seed, 8), visitor=str(seed)) for seed in range(6)]
    until(lambda: engine._cluster.pressed, START_S)
    with pytest.raises(BusyError, match=r"as many runs as they may.*Try again in about \d+ s"):
        engine.submit(NAME, slow(99), visitor="late")
    for request, events in zip([slow(seed, 8) for seed in range(6)], all_finished(handles), strict=True):
        assert told_alike(events, quick(request))
    assert engine.counts().refused == 1
    print("\n6 runs on a replica that takes 1 and lets 1 wait: all done; the 7th refused with the seconds to wait")


def test_replicas_come_and_go_with_the_runs_and_none_is_lost(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "UP_S", 1.0)
    monkeypatch.setattr(cluster, "DOWN_S", 2.0)
    engine = begin(replicas_min=1, replicas_max=3, replica_runs=2, max_running=12, max_queued=64)
    there(1)
    asked: list[tuple[RunRequest, RunHandle]] = []

    def scaled(count: int, load: int) -> bool:
        """Keep so many runs under way; tell whether there are so many replicas."""
        while sum(not handle.ended for _, handle in asked) < load:
            request = slow(len(asked), 24)
            asked.append((request, engine.submit(NAME, request, visitor=str(len(asked)))))
        for _, handle in asked:
            handle.touch()
        return answering(count)

    up_s = until(lambda: scaled(3, 6), START_S)
    down_s = until(lambda: scaled(1, 1), START_S)  # a run is under way all the time that replicas leave
    for (request, _), events in zip(asked, all_finished([handle for _, handle in asked]), strict=True):
        assert events[-1].reason == "done" and told_alike(events, quick(request))
    print(f"\n1 -> 3 replicas after {up_s:.0f} s of six runs at a time, 1 again after {down_s:.0f} s of one; {len(asked)} runs, all the same_run")


def test_a_node_that_dies_takes_no_run_with_it() -> None:
    from ray._private.state import actors
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 << 20})
    engine = None
    try:
        second = nodes.add_node(num_cpus=2, object_store_memory=80 << 20)
        engine = RayEngine(Settings(engine="ray", ray_address=nodes.address, replicas_min=2, replicas_max=2, max_running=4,
                                    replica_runs=4, decoders="tests.load.slow"))
        there(2)
        homes = {item["Address"]["NodeID"] for item in actors().values() if item["State"] == "ALIVE" and "Replica:unmask-decoding" in item["ActorClassName"]}
        assert second.node_id in homes
        requests = [slow(seed) for seed in range(4)]
        handles = [engine.submit(NAME, request, visitor=str(seed)) for seed, request in enumerate(requests)]
        until(lambda: all(len(handle.recorded) >= 4 for handle in handles), START_S)
        nodes.add_node(num_cpus=2, object_store_memory=80 << 20)
        nodes.remove_node(second, allow_graceful=False)
        for request, events in zip(requests, all_finished(handles), strict=True):
            assert events[-1].reason == "done" and told_alike(events, quick(request))
        print(f"\ntwo nodes, replicas on {len(homes)} of them; one taken away in mid-run: 4 runs, all the same_run")
    finally:
        if engine is not None:
            engine.close(10.0)
        ray.shutdown()
        nodes.shutdown()


def test_a_paused_run_goes_on_as_the_same_run(begin: Begin) -> None:
    engine = begin()
    request = RunRequest("llada", prompt="sum: 12+34=", length=8)
    handle = engine.submit(NAME, request, breaks=(Breakpoint("step", 3),))
    until(lambda: handle.standing and handle.standing.paused, START_S)
    handle.touch()
    assert sum(isinstance(event, Step) for event in handle.recorded) == 3
    handle.wish(GO_ON)
    assert same_run(finished(handle), tuple(run(load_model(NAME), request)))


def test_more_models_than_a_replica_keeps_take_turns(begin: Begin) -> None:
    engine = begin(loaded_max=1)
    for name in (NAME, "tiny-causal", NAME, "tiny-words"):
        engine._faces._loaded.clear()  # the front end's own limit counts the same
        request = RunRequest("greedy" if name == "tiny-causal" else "left_to_right", length=6)
        assert same_run(finished(engine.submit(name, request)), tuple(run(load_model(name), request)))


def test_explanations_of_a_replica_are_those_of_the_local_engine(begin: Begin) -> None:
    engine, local = begin(), LocalEngine(Settings())
    try:
        request = RunRequest("llada", prompt="sum: 12+34=", length=6)
        found = []
        for where in (local, engine):
            handle = where.submit(NAME, request)
            step = next(event for event in finished(handle) if isinstance(event, Step) and event.index == 3)
            desk, asked = Desk(where), {"step": "3", "position": str(step.writes[0][0])}
            for planner in (plan_attribution, plan_flow):
                plan, kept = desk.plan(handle.id, planner, Query(asked))
                assert kept is None
                job = desk.begin(planner.__name__, plan, lambda: None)
                assert job.over.wait(START_S)
                desk.answer(plan, job, 0.0)
                found.append(plan.shape(job.result, 0.0) | {"took_s": 0})
        assert found[0].keys() == found[2].keys() and found[0] == found[2] and found[1] == found[3]
    finally:
        local.close()
