"""The engine on Ray without Ray: lines that break, runs that go on elsewhere, pauses, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

import app
from backend import RunRequest, load_model, run, same_run
from backend.canvas import steps_of
from backend.engine import LocalEngine
from backend.errors import AppError, BusyError, ModelError, Problem, RequestError
from backend.events import Branch, End, Event, Fork, from_json, request_from_json, request_to_json, to_lines
from backend.explanations.base import Progress
from backend.explanations.jobs import Bureau
from backend.explanations.latest import Superseded
from backend.holding import GO_ON, ONE_STEP, PAUSE, Breakpoint
from backend.models.loading import load_face
from backend.rays import cluster
from backend.rays.calls import Calls
from backend.rays.cluster import Cluster, ReplicaLine
from backend.rays.courier import Courier
from backend.rays.engine import RayEngine
from backend.rays.resume import RESUMES, Differs, Lost, ended_here, resumed
from backend.rays.wire import refusal, refused
from backend.requests import prepare
from backend.settings import Settings
from benchmarks.browser import free_port
from tests.conftest import WAIT_S, FakeModel
from tests.load.conftest import until

REQUEST = RunRequest("llada", prompt="2+2=", length=6, seed=5, settings={"temperature": 1.0})
NAME = "tiny-diffusion"


class Broken:
    """A line that tells a run's events as they travel, and breaks after ``after`` of them."""

    def __init__(self, request: RunRequest, after: int | None = None, gate: threading.Semaphore | None = None) -> None:
        self._request, self._after, self._gate = request, after, gate
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Event]:
        for at, line in enumerate(to_lines(run(FakeModel(), self._request))):
            if self._gate is not None:
                assert self._gate.acquire(timeout=WAIT_S)
            if self.closed.is_set() or at == self._after:
                raise Lost("the test says so")
            yield from_json(line)

    def close(self) -> None:
        self.closed.set()
        if self._gate is not None:
            self._gate.release()


def alone(request: RunRequest = REQUEST) -> tuple[Event, ...]:
    return tuple(run(FakeModel(), request))


@pytest.mark.parametrize("after", range(8))
def test_a_run_that_loses_its_replica_at_any_event_goes_on_elsewhere_as_the_same_run(after: int) -> None:
    lines = iter([Broken(REQUEST, after), Broken(REQUEST)])
    assert same_run(tuple(resumed(lambda: next(lines))), alone())


def test_a_run_may_lose_a_replica_after_another_and_no_event_comes_twice() -> None:
    lines = iter([Broken(REQUEST, 5), Broken(REQUEST, 2), Broken(REQUEST, 6), Broken(REQUEST)])
    events = tuple(resumed(lambda: next(lines)))
    assert same_run(events, alone()) and [step.index for step in steps_of(events)] == [1, 2, 3, 4, 5, 6]


def test_a_run_that_takes_every_replica_down_ends_with_a_sentence() -> None:
    asked: list[Broken] = []

    def ask() -> Broken:
        asked.append(Broken(REQUEST, 3))
        return asked[-1]

    told: list[Event] = []
    with pytest.raises(AppError, match=f"lost its replica {RESUMES + 1} times"):
        told.extend(resumed(ask))
    assert len(asked) == RESUMES + 1 and same_run(told, alone()[:3])


def test_a_replica_that_makes_another_run_of_it_is_found_out_before_anything_of_it_is_told() -> None:
    other = replace(REQUEST, seed=6)
    lines, told = iter([Broken(REQUEST, 4), Broken(other)]), []
    with pytest.raises(Differs, match="made event 1 otherwise"):
        for event in resumed(lambda: next(lines)):
            told.append(event)
    assert same_run(told, alone()[:4])


def test_a_difference_in_the_last_event_that_was_told_is_found() -> None:
    first, events = alone(), list(alone())
    step = events[3]
    events[3] = replace(step, writes=tuple((at, token, probability / 2) for at, token, probability in step.writes))
    lines = iter([Broken(REQUEST, 4), events])
    with pytest.raises(Differs, match="made event 4 otherwise"):
        list(resumed(lambda: next(lines)))
    assert not same_run((first[3],), (events[3],))


def test_an_end_that_a_replica_makes_by_itself_is_not_the_runs() -> None:
    begun = alone()[:3]
    stopped = [*begun, End("cancelled", "", alone()[-1].totals, "this replica goes away")]
    lines = iter([stopped, Broken(REQUEST)])
    assert same_run(tuple(resumed(lambda: next(lines))), alone())


def test_the_times_of_a_run_go_on_from_those_of_the_first_replica() -> None:
    def timed(seconds: float, count: int) -> Iterator[Event]:
        for event in alone()[:count]:
            if isinstance(event, End):
                yield replace(event, totals=replace(event.totals, elapsed_s=7 * seconds))
            else:
                yield replace(event, elapsed_s=event.index * seconds) if event.kind == "step" else event

    lines = iter([timed(10.0, 4), timed(1.0, 8)])
    events = tuple(resumed(lambda: next(lines)))
    assert [step.elapsed_s for step in steps_of(events)] == [10, 20, 30, 31, 32, 33]
    assert events[-1].totals.elapsed_s == 34


def test_the_times_go_on_where_the_last_event_that_was_told_has_none() -> None:
    start, *steps, end = alone()
    branch = Branch(1, 0, 2, -0.5, True)

    def timed(seconds: float, count: int) -> Iterator[Event]:
        events = [start, *(replace(step, elapsed_s=step.index * seconds) for step in steps[:2]), branch,
                  *(replace(step, elapsed_s=step.index * seconds) for step in steps[2:]), replace(end, totals=replace(end.totals, elapsed_s=7 * seconds))]
        yield from events[:count]

    lines = iter([timed(10.0, 4), timed(1.0, 9)])
    events = tuple(resumed(lambda: next(lines)))
    assert events[3] == branch and [step.elapsed_s for step in steps_of(events)] == [10, 20, 21, 22, 23, 24]
    assert events[-1].totals.elapsed_s == 25


@pytest.mark.parametrize("count", range(8))
def test_an_end_that_is_made_here_counts_what_was_told_as_the_runs_own_would(count: int) -> None:
    told = alone()[:count]
    end = ended_here(told, FakeModel().decode, "cancelled", "why")
    assert (end.reason, end.message, end.totals.steps) == ("cancelled", "why", len(steps_of(told)) if told else 0)
    if count >= 7:
        whole = alone()[-1]
        assert replace(end, reason="done", message="", totals=replace(end.totals, elapsed_s=0)) == replace(whole, totals=replace(whole.totals, elapsed_s=0))


# -- the visitors' side of the engine, with lines in place of a thread that decodes --------------------------------


Begin = Callable[..., LocalEngine]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return a function that opens an engine whose runs have the lines that ``ask`` gives."""
    opened: list[LocalEngine] = []

    def start(ask: Callable[[str, RunRequest], object], **settings: object) -> LocalEngine:
        monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: FakeModel())
        opened.append(LocalEngine(Settings(**settings), hire=partial(Courier, ask=ask)))
        return opened[-1]

    yield start
    for engine in opened:
        assert engine.close(WAIT_S)


def finished(handle) -> tuple[Event, ...]:
    return tuple(event for batch in handle.batches(0.0) for event in batch)


def stands(handle, step: int) -> None:
    """Wait until the run stands after that step."""
    with handle._changed:
        assert handle._changed.wait_for(lambda: handle.standing and handle.standing.paused and handle.standing.step == step, WAIT_S)


def test_runs_through_lines_that_break_are_those_of_the_local_engine(begin: Begin) -> None:
    breaks = {seed: iter((seed % 8, None) if seed % 3 else (5, seed % 8, None)) for seed in range(12)}
    engine = begin(lambda name, request: Broken(request, next(breaks[request.seed])))
    requests = [replace(REQUEST, seed=seed) for seed in range(12)]
    handles = [engine.submit(NAME, request, visitor=str(seed % 3)) for seed, request in enumerate(requests)]
    for handle, request in zip(handles, requests, strict=True):
        assert same_run(finished(handle), alone(request))
    assert engine.counts().ended == {"done": 12} and engine.counts().running == 0


def test_a_cancel_closes_the_line_and_ends_the_run_with_what_was_told(begin: Begin) -> None:
    gate, lines = threading.Semaphore(3), []

    def ask(name: str, request: RunRequest) -> Broken:
        lines.append(Broken(request, gate=gate))
        return lines[-1]

    engine = begin(ask)
    handle = engine.submit(NAME, REQUEST)
    with handle._changed:
        assert handle._changed.wait_for(lambda: len(handle._events) == 3, WAIT_S)
    handle.cancel()
    events = finished(handle)
    assert lines[0].closed.is_set() and len(lines) == 1
    assert (events[-1].reason, events[-1].totals.steps, events[-1].totals.passes) == ("cancelled", 2, 2)


def test_a_paused_run_keeps_what_its_replica_made_meanwhile_and_tells_it_step_by_step(begin: Begin) -> None:
    engine = begin(lambda name, request: Broken(request), max_running=1)
    handle = engine.submit(NAME, REQUEST, breaks=(Breakpoint("step", 2),))
    stands(handle, 2)
    beside = finished(engine.submit(NAME, replace(REQUEST, seed=9)))  # it gave up its place
    assert beside[-1].reason == "done" and len(handle.recorded) == 3
    handle.wish(ONE_STEP)
    stands(handle, 3)
    assert len(handle.recorded) == 4
    handle.wish(GO_ON)
    assert same_run(finished(handle), alone())


def test_a_pause_that_is_asked_for_holds_back_what_comes_after_it(begin: Begin) -> None:
    gate = threading.Semaphore(2)
    engine = begin(lambda name, request: Broken(request, gate=gate))
    handle = engine.submit(NAME, REQUEST)
    with handle._changed:
        assert handle._changed.wait_for(lambda: len(handle._events) == 2, WAIT_S)
    handle.wish(PAUSE)
    stands(handle, 1)
    gate.release(100)
    handle.cancel()
    events = finished(handle)
    assert len(steps_of(events)) == 1 and events[-1].reason == "cancelled"


def test_a_refusal_of_the_replica_ends_the_run_with_its_sentence(begin: Begin) -> None:
    class Refusing(Broken):
        def __iter__(self) -> Iterator[Event]:
            raise BusyError("No replica took the run.", "Try again in a minute.")

    end = finished(begin(lambda name, request: Refusing(request)).submit(NAME, REQUEST))[-1]
    assert (end.reason, end.message) == ("error", "No replica took the run. Try again in a minute.")


def test_a_replica_that_makes_another_run_of_it_does_not_go_on_with_that(begin: Begin) -> None:
    lines = [Broken(REQUEST, 4), Broken(replace(REQUEST, seed=6))]
    coming = iter(lines)
    end = finished(begin(lambda name, request: next(coming)).submit(NAME, REQUEST))[-1]
    assert end.reason == "error" and "made event 1 otherwise" in end.message
    assert lines[1].closed.wait(WAIT_S)


def test_a_fault_on_the_way_ends_the_run_and_the_next_one_is_right(begin: Begin) -> None:
    def ask(name: str, request: RunRequest) -> Broken:
        if request.seed == 1:
            raise RuntimeError("no such thing")
        return Broken(request)

    engine = begin(ask)
    end = finished(engine.submit(NAME, replace(REQUEST, seed=1)))[-1]
    assert end.reason == "error" and "no such thing" not in end.message
    assert same_run(finished(engine.submit(NAME, REQUEST)), alone())


def test_closing_ends_the_runs_with_the_reason(begin: Begin) -> None:
    engine = begin(lambda name, request: Broken(request, gate=threading.Semaphore(1)))
    handle = engine.submit(NAME, REQUEST)
    with handle._changed:
        assert handle._changed.wait_for(lambda: handle._events, WAIT_S)
    assert engine.close(WAIT_S, "The server was told to end.")
    assert (handle.recorded[-1].reason, handle.recorded[-1].message) == ("cancelled", "The server was told to end.")


# -- calls that are shut before Ray is -------------------------------------------------------------------------------


class Answers:
    """The answers of a replica that says one thing, then nothing until it is cancelled."""

    def __init__(self) -> None:
        self.cancelled, self.cancels = threading.Event(), 0

    def __iter__(self) -> Iterator[str]:
        yield "begun"
        assert self.cancelled.wait(WAIT_S)

    def cancel(self) -> None:
        self.cancels += 1
        self.cancelled.set()


def test_shutting_cancels_every_call_and_waits_for_whoever_reads_it() -> None:
    calls, answers, read = Calls(), [Answers(), Answers()], []
    readers = [threading.Thread(target=lambda call=calls.begin(lambda one=one: one): read.extend(call)) for one in answers]
    for reader in readers:
        reader.start()
    assert calls.shut(WAIT_S) and read == ["begun", "begun"] and [one.cancels for one in answers] == [1, 1]
    for reader in readers:
        reader.join(WAIT_S)


def test_after_shutting_nothing_is_begun_or_cancelled() -> None:
    calls, answers = Calls(), Answers()
    call = calls.begin(lambda: answers)
    reading = iter(call)
    assert next(reading) == "begun"
    assert not calls.shut(0.0)  # it is still being read
    reading.close()
    assert calls.shut(0.0)
    before = answers.cancels
    call.cancel()
    assert answers.cancels == before
    with pytest.raises(Lost):
        calls.begin(lambda: pytest.fail("A call was begun."))


def test_a_reader_that_leaves_a_call_ends_it_at_its_replica() -> None:
    calls, answers = Calls(), Answers()
    reading = iter(calls.begin(lambda: answers))
    next(reading)
    reading.close()
    assert answers.cancels == 1 and calls.shut(0.0)


class Told(Answers):
    """The answers of a replica that tells a whole run in two pieces, then ends, or is ``lost`` after its end."""

    def __init__(self, lost: bool = False) -> None:
        super().__init__()
        self._lost = lost

    def __iter__(self) -> Iterator[list[str]]:
        lines = [*to_lines(alone())]
        yield lines[:3]
        yield lines[3:]
        if self._lost:
            raise CancelledError


@pytest.mark.parametrize("lost", [False, True])
def test_a_run_that_ends_well_is_read_to_its_end_and_nothing_is_cancelled(lost: bool) -> None:
    if lost:
        pytest.importorskip("ray")  # its errors are looked at
    calls, answers = Calls(), Told(lost)
    line = ReplicaLine(lambda: calls.begin(lambda: answers), lambda: pytest.fail("It was refused."))
    assert same_run(tuple(resumed(lambda: line)), alone())
    line.close()
    assert answers.cancels == 0 and calls.shut(0.0)


def test_a_call_whose_thread_does_not_start_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls, answers = Calls(), Answers()
    call = calls.begin(lambda: answers)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        next(call.in_time(WAIT_S))
    assert answers.cancels == 1 and calls.shut(0.0)


# -- explanations that are computed elsewhere ------------------------------------------------------------------------


class Silent(Answers):
    """What a call answers ``first``; then it waits for a replica until it is cancelled."""

    def __init__(self, *first: dict[str, object]) -> None:
        super().__init__()
        self._first, self.read = first, threading.Event()

    def __iter__(self) -> Iterator[dict[str, object]]:
        self.read.set()
        yield from self._first
        assert self.cancelled.wait(WAIT_S)


def cluster_of(*answers: Silent) -> Cluster:
    """Return a cluster whose calls for explanations have these answers, one after the other."""
    found, coming = Cluster.__new__(Cluster), iter(answers)
    found._calls = Calls()
    handle = SimpleNamespace(explain=SimpleNamespace(remote=lambda *asked: next(coming)))
    found._explaining = SimpleNamespace(options=lambda **options: handle)
    return found


def test_closing_an_explanation_ends_its_call_once() -> None:
    answers = Silent({"done": 1, "total": 4})
    far = cluster_of(answers)
    explaining = far.explaining(NAME, len, "run", alone())
    assert next(explaining) == Progress(1, 4)
    explaining.close()
    assert answers.cancels == 1 and far._calls.shut(WAIT_S)


def test_an_explanation_that_waits_for_a_replica_is_ended_once_its_reader_leaves() -> None:
    answers = Silent()
    job = Bureau(in_turn=False).begin("here", cluster_of(answers).explaining(NAME, len, "run", alone()))
    job.leave()
    assert job.over.wait(WAIT_S) and isinstance(job.error, Superseded) and answers.cancels == 1


def test_explanations_that_wait_for_a_replica_make_way_for_the_newest_of_their_place() -> None:
    answers = [Silent(), Silent(), Silent()]
    bureau, far = Bureau(in_turn=False), cluster_of(*answers)
    jobs = []
    for one in answers:
        jobs.append(bureau.begin("here", far.explaining(NAME, len, "run", alone())))
        assert one.read.wait(WAIT_S)
    assert all(job.over.wait(WAIT_S) for job in jobs[:2]) and [one.cancels for one in answers] == [1, 1, 0]
    jobs[2].leave()
    assert jobs[2].over.wait(WAIT_S)


# -- starting on a cluster where others have been ---------------------------------------------------------------------


class Serving:
    """What is asked of Serve while it starts: applications, their states and those of their ``replicas``; the ``deleted`` are gone."""

    def __init__(self, replicas: tuple[str, ...] = (), said: str | dict[str, str] = "No node has 4 GPUs.", **states: str) -> None:
        self._states, self._replicas, self.deleted = states, dict.fromkeys(replicas, 1), []
        self._said = dict.fromkeys(states, said) if isinstance(said, str) else said

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(applications={
            name: SimpleNamespace(status=state, deployments={"one": SimpleNamespace(message=self._said[name], replica_states=self._replicas)})
            for name, state in self._states.items() if name not in self.deleted})

    def delete(self, name: str, _blocking: bool) -> None:
        self.deleted.append(name)


def test_what_could_not_be_deployed_is_taken_down_and_what_others_deployed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Serving(ours="DEPLOY_FAILED", theirs="RUNNING")
    with pytest.raises(AppError, match="what it needs: No node has 4 GPUs."):
        cluster._wait_for(failed, ["ours", "theirs"], ["ours"])
    assert failed.deleted == ["ours"]
    monkeypatch.setattr(cluster, "START_S", 0.0)
    late = Serving(ours="DEPLOYING", theirs="DEPLOYING")
    with pytest.raises(AppError):
        cluster._wait_for(late, ["ours", "theirs"], ["ours"])
    assert late.deleted == ["ours"]
    cluster._wait_for(Serving(ours="RUNNING", theirs="RUNNING"), ["ours", "theirs"], ["ours"])


SCHEDULED = "Deployment 'one' has 1 replicas that have taken more than 30s to be scheduled. This may be due to ..."  # as Serve says it
INITIALIZE = "Deployment 'one' has 1 replicas that have taken more than 30s to initialize.\nThis may be caused by a slow __init__ ..."


@pytest.mark.parametrize("state", ["DEPLOYING", "RUNNING"])
def test_what_is_only_slow_to_load_goes_on_and_is_there_for_the_next_start(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setattr(cluster, "START_S", 0.0)
    slow = Serving(said=INITIALIZE, a="DEPLOYING", b=state)
    with pytest.raises(AppError, match="still load their model after 0 s; they go on with it. Start again"):
        cluster._wait_for(slow, ["a", "b"], ["a", "b"])
    assert slow.deleted == []


def test_what_is_slow_to_load_is_waited_for_where_its_ray_would_end_with_this_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "START_S", 0.0)
    monkeypatch.setattr(cluster, "LOOK_S", 0.0)
    slow, looks = Serving(said=INITIALIZE, a="DEPLOYING"), iter(range(4))
    monkeypatch.setattr(slow, "status", lambda look=slow.status: Serving(a="RUNNING").status() if next(looks) == 3 else look())
    cluster._wait_for(slow, ["a"], ["a"], own=True)
    assert slow.deleted == [] and next(looks, None) is None


@pytest.mark.parametrize(("said", "states"), [
    ({"a": INITIALIZE, "b": SCHEDULED}, {"a": "DEPLOYING", "b": "DEPLOYING"}),
    ({"a": INITIALIZE, "b": ""}, {"a": "DEPLOYING", "b": "DEPLOYING"}),
    ({"a": INITIALIZE, "b": INITIALIZE}, {"a": "DEPLOYING", "b": "DEPLOY_FAILED"}),
])
def test_where_one_of_them_finds_no_place_none_of_them_stays(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], states: dict[str, str]
) -> None:
    monkeypatch.setattr(cluster, "START_S", 0.0)
    placeless = Serving(said=said, **states)
    with pytest.raises(AppError, match="Ray gave no replica what it needs"):
        cluster._wait_for(placeless, ["a", "b"], ["a", "b"])
    assert placeless.deleted == ["a", "b"]


@pytest.mark.parametrize(("replicas", "ready"), [
    (("RUNNING",), True), (("RUNNING", "STOPPING"), True), (("RUNNING", "STARTING"), False), (("STOPPING",), False), ((), False),
])
def test_replicas_of_a_start_before_that_are_still_going_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, replicas: tuple[str, ...], ready: bool
) -> None:
    monkeypatch.setattr(cluster, "START_S", 0.0)
    with contextlib.nullcontext() if ready else pytest.raises(AppError):
        cluster._wait_for(Serving(replicas, ours="DEPLOYING"), ["ours"], ["ours"])


def test_applications_that_came_to_nothing_are_not_waited_for_but_deployed_anew() -> None:
    found = cluster._coming(Serving(a="RUNNING", b="DEPLOYING", c="DEPLOY_FAILED", d="DELETING", e="UNHEALTHY"))
    assert {*found} == {"a", "b", "e"}


def test_an_application_that_is_taken_down_meanwhile_is_not_waited_for() -> None:
    with pytest.raises(AppError, match="Ray gave no replica"):
        cluster._wait_for(Serving(ours="RUNNING"), ["ours", "theirs"], [])


class AuthenticationError(Exception):
    """Stands for the error of this name, which is a ``RayError``."""


@pytest.mark.parametrize(("address", "error", "said"), [
    ("head:6379", ConnectionError(), "No Ray answers at head:6379 (ConnectionError)."),
    ("head:6379", AuthenticationError(), "No Ray answers at head:6379 (AuthenticationError)."),
    ("", AuthenticationError(), "Ray could not be started here (AuthenticationError)."),
    ("", RuntimeError(), "Ray could not be started here (RuntimeError)."),
    ("", TimeoutError(), "Ray could not be started here (TimeoutError)."),
])
def test_a_ray_that_does_not_come_is_told_in_one_sentence_with_the_remedy(address: str, error: Exception, said: str) -> None:
    def init(**asked: object) -> None:
        raise error

    ray = SimpleNamespace(init=init, exceptions=SimpleNamespace(RayError=AuthenticationError))
    with pytest.raises(AppError, match=re.escape(said)) as met:
        cluster._started(ray, Settings(engine="ray", ray_address=address))
    assert ("RAY_AUTH_TOKEN" if address else "--engine") in met.value.remedy


# -- replicas --------------------------------------------------------------------------------------------------------


def test_a_model_that_a_decoding_replica_lets_go_leaves_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from backend.rays.replica import Decoding

    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: FakeModel())
    replica = Decoding(Settings())
    try:
        held = asyncio.run(replica.hold(NAME))
        assert same_run(finished(replica._engine.submit(NAME, REQUEST)), alone())
        model, held.model = weakref.ref(held.model), None
        held.__del__()  # as Serve does
        until(lambda: gc.collect() >= 0 and model() is None)
        assert same_run(finished(replica._engine.submit(NAME, REQUEST)), alone())
    finally:
        replica._engine.close()


# -- what travels, and what is there without Ray --------------------------------------------------------------------


def test_a_request_travels_whole() -> None:
    request = RunRequest("klass", prompt_ids=(1, 2), length=9, settings={"steps": 3}, seed=2**62, fixed={3: 7},
                         forks=(Fork(2, (("write", 5, 9),), "llada", {"steps": 2}, "parent"),))
    assert request_from_json(request_to_json(request)) == request


@pytest.mark.parametrize("error", [
    ModelError("There is no model.", "Choose another."), BusyError("Full."),
    RequestError([Problem("length", "It is too long."), Problem("seed", "It is no number.")]),
])
def test_a_refusal_says_the_same_on_the_other_side(error: AppError) -> None:
    there = refusal(refused(error))
    assert (str(there), there.code, getattr(there, "problems", ())) == (str(error), error.code, getattr(error, "problems", ()))


def test_a_face_checks_requests_as_its_model_does_and_has_no_weights() -> None:
    model, face = load_model(NAME), load_face(NAME, "hash")
    request = RunRequest("llada", length=12)
    assert prepare(face, request) == prepare(model, request)
    assert face.weights_hash == "hash" and {item.device.type for item in face.parameters()} == {"meta"}
    for name in ("name", "family", "kind", "mask_id", "eos_id", "stop_ids", "vocab_size", "max_length", "n_layers", "n_heads", "capabilities"):
        assert getattr(face, name) == getattr(model, name)


def test_without_ray_the_engine_is_refused_in_one_sentence_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "ray" else real(name, *more))
    with pytest.raises(AppError, match="pip install -r deploy/requirements-ray.txt"):
        RayEngine(Settings())
    assert app.main(["--engine", "ray", "--port", str(free_port())]) == 2
    said = capsys.readouterr().err
    assert "Ray, which is not installed" in said and "pip install -r deploy/requirements-ray.txt" in said and "Traceback" not in said

