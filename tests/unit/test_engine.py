"""The engine: a bounded queue, cancel between passes, budgets, turns for everyone."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from backend.engine import LocalEngine, RunHandle
from backend.errors import BusyError, ModelError, RequestError
from backend.events import End, RunRequest, Start, Step
from backend.models.catalogue import CARDS
from backend.settings import Settings
from tests.conftest import WAIT_S, FakeModel
from tests.load.conftest import until

NAME = "tiny-diffusion"


class GatedModel(FakeModel):
    """A fake model whose every pass waits for a ``permit`` of the test; ``entered`` counts the begun ones."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.broken = False

    def forward(self, input_ids=None, **details):
        self.entered.release()
        assert self.permits.acquire(timeout=WAIT_S)
        if self.broken:
            raise RuntimeError("the card is on fire")
        return super().forward(input_ids, **details)


class Clock:
    """Time that passes when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


Start_ = Callable[..., LocalEngine]


@pytest.fixture
def gated() -> GatedModel:
    return GatedModel()


@pytest.fixture
def open_engine(monkeypatch: pytest.MonkeyPatch, gated: GatedModel) -> Iterator[Start_]:
    """Return a function that starts an engine on the gated model, or on one that never waits."""
    opened = []

    def start(given: FakeModel = gated, clock: Callable[[], float] = time.monotonic, **settings: object) -> LocalEngine:
        monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: given)
        opened.append(LocalEngine(Settings(**settings), clock))
        return opened[-1]

    yield start
    gated.permits.release(10_000)
    for engine in opened:
        engine.close()


def ask(length: int = 8, seed: int = 0) -> RunRequest:
    return RunRequest("llada", prompt="2+2=", length=length, seed=seed)


def finished(run: RunHandle) -> list[object]:
    """Return all events of a run, waiting for its end."""
    events = [event for batch in run.batches(0.0) for event in batch]
    assert tuple(events) == run.events_so_far and run.ended
    return events


def test_a_run_streams_every_event_in_order(open_engine: Start_) -> None:
    run = open_engine(FakeModel()).submit(NAME, ask())
    start, *steps, end = finished(run)
    assert isinstance(start, Start) and [step.index for step in steps] == list(range(1, 9))
    assert isinstance(end, End) and end.reason == "done"
    assert len(run.times) == 10 and list(run.times) == sorted(run.times)


def test_cancel_frees_the_model_before_the_next_step(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine()
    run = engine.submit(NAME, ask(length=64))
    gated.permits.release(2)
    for _ in range(3):
        assert gated.entered.acquire(timeout=WAIT_S)  # the third pass is under way
    run.cancel()
    gated.permits.release(1)
    events = finished(run)
    assert events[-1].reason == "cancelled" and run.cancelled
    assert len([event for event in events if isinstance(event, Step)]) <= 3 and gated.passes == 3


def test_a_visitor_who_is_gone_leaves_no_run_and_takes_none_of_others(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=1)
    runs = [engine.submit(NAME, RunRequest("llada", prompt="a", length=4), visitor=visitor) for visitor in ("goes", "stays", "goes")]
    assert gated.entered.acquire(timeout=WAIT_S)
    engine.end_runs_of("goes")
    gated.permits.release(100)
    assert [finished(run)[-1].reason for run in runs] == ["cancelled", "done", "cancelled"]
    assert runs[0].events_so_far[1].passes == 1  # the pass that was under way


def test_a_run_of_nobody_in_particular_is_ended_by_no_name(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine()
    run = engine.submit(NAME, RunRequest("llada", prompt="a", length=4))
    for name in (run.id, run.group, ""):
        engine.end_runs_of(name)
    gated.permits.release(100)
    assert finished(run)[-1].reason == "done"


def test_a_run_that_still_waits_is_cancelled_without_a_pass(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=1)
    first = engine.submit(NAME, ask())
    assert gated.entered.acquire(timeout=WAIT_S)
    second, third = engine.submit(NAME, ask()), engine.submit(NAME, ask())
    assert (second.ahead, third.ahead) == (0, 1)
    second.cancel()
    gated.permits.release(100)
    assert [event.reason for event in finished(second)] == ["cancelled"]
    assert finished(first)[-1].reason == finished(third)[-1].reason == "done"


def test_the_queue_is_bounded_and_says_so(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=1, max_queued=2)
    engine.submit(NAME, ask())
    assert gated.entered.acquire(timeout=WAIT_S)
    waiting = [engine.submit(NAME, ask()) for _ in range(2)]
    with pytest.raises(BusyError, match="2 runs wait already; the limit is 2. Try again"):
        engine.submit(NAME, ask())
    gated.permits.release(100)
    assert [finished(run)[-1].reason for run in waiting] == ["done", "done"]
    assert finished(engine.submit(NAME, ask()))[-1].reason == "done"


def test_a_run_ends_at_its_budget_of_passes_and_says_so(open_engine: Start_) -> None:
    run = open_engine(FakeModel(), passes_max=3).submit(NAME, ask(length=32))
    *_, last, end = finished(run)
    assert (last.passes, end.reason) == (3, "budget")
    assert "3 forward passes" in end.message and "fewer steps" in end.message


def test_running_runs_take_turns(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=2)
    long = engine.submit(NAME, ask(length=64))
    assert gated.entered.acquire(timeout=WAIT_S)
    short = engine.submit(NAME, ask(length=4))
    gated.permits.release(200)
    finished(long), finished(short)
    assert short.times[-1] < long.times[-1]


def test_runs_that_share_passes_get_what_they_would_get_alone(open_engine: Start_) -> None:
    engine = open_engine(FakeModel(), max_running=4)
    alone = [finished(engine.submit(NAME, ask(seed=seed)))[-1].text for seed in range(3)]
    together = [engine.submit(NAME, ask(seed=seed)) for seed in range(3)]
    assert [finished(run)[-1].text for run in together] == alone


def test_a_failure_ends_its_run_with_a_sentence_and_the_engine_goes_on(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine()
    gated.broken = True
    gated.permits.release(1)
    end = finished(engine.submit(NAME, ask()))[-1]
    assert end.reason == "error" and "failed inside the program" in end.message and "fire" not in end.message
    gated.broken = False
    gated.permits.release(100)
    assert finished(engine.submit(NAME, ask()))[-1].reason == "done"


def test_a_wrong_request_is_refused_at_once_and_takes_no_place(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=1, max_queued=0)
    for _ in range(3):
        with pytest.raises(RequestError, match="length"):
            engine.submit(NAME, ask(length=0))
    gated.permits.release(100)
    assert finished(engine.submit(NAME, ask()))[-1].reason == "done"


def test_a_canvas_beyond_the_servers_limit_is_refused(open_engine: Start_) -> None:
    with pytest.raises(RequestError, match="1 to 12 positions"):
        open_engine(FakeModel(), canvas_max=16).submit(NAME, ask(length=13))


def test_a_model_that_is_not_offered_is_refused_with_the_names(open_engine: Start_) -> None:
    with pytest.raises(ModelError, match="no model 'gpt'.*tiny-diffusion"):
        open_engine().submit("gpt", ask())


def test_a_model_whose_weights_are_absent_is_not_offered(open_engine: Start_) -> None:
    engine = open_engine()
    assert {card.name for card in engine.models()} == {card.name for card in CARDS if card.folder.joinpath("model.safetensors").is_file()}


def test_only_so_many_finished_runs_are_kept(open_engine: Start_) -> None:
    engine = open_engine(FakeModel(), kept_runs=2)
    done = [engine.submit(NAME, ask(length=2)) for _ in range(5)]
    for run in done:
        finished(run)
    last = engine.submit(NAME, ask(length=2))
    finished(last)
    kept = [run for run in (*done, last) if engine.find(run.id)]
    assert last in kept and len(kept) <= 3 and engine.find("nobody's") is None


def test_an_unloaded_model_is_loaded_again_by_the_next_run(monkeypatch: pytest.MonkeyPatch, open_engine: Start_) -> None:
    engine = open_engine(FakeModel())
    finished(engine.submit(NAME, ask()))
    assert engine.ready(NAME)
    engine.unload(NAME)
    assert not engine.ready(NAME) and engine.card(NAME) == ""
    fresh = FakeModel()
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: fresh)
    assert finished(engine.submit(NAME, ask()))[-1].reason == "done" and fresh.passes == 8


def test_a_run_that_comes_before_the_owner_hears_of_the_unloading_gets_the_new_model(
    monkeypatch: pytest.MonkeyPatch, open_engine: Start_
) -> None:
    engine, fresh = open_engine(FakeModel()), FakeModel()
    finished(engine.submit(NAME, ask()))
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: fresh)
    with engine._wake:  # the owner thread looks only afterwards
        engine.unload(NAME)
        run = engine.submit(NAME, ask())
    assert finished(run)[-1].reason == "done" and fresh.passes == 8


def test_a_model_unloaded_while_a_request_is_checked_still_runs_it_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, open_engine: Start_
) -> None:
    from backend import requests

    engine = open_engine(FakeModel())
    checked = requests.prepare

    def unloaded_meanwhile(*given: object, **options: object) -> object:
        plan = checked(*given, **options)
        engine.unload(NAME)
        return plan

    monkeypatch.setattr("backend.requests.prepare", unloaded_meanwhile)
    assert finished(engine.submit(NAME, ask()))[-1].reason == "done"
    monkeypatch.setattr("backend.requests.prepare", checked)
    assert finished(engine.submit(NAME, ask()))[-1].reason == "done"


def test_a_model_with_runs_is_not_unloaded(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=1)
    runs = [engine.submit(NAME, ask()) for _ in range(2)]
    with pytest.raises(BusyError, match=r"runs on it are not over \(2\)"):
        engine.unload(NAME)
    gated.permits.release(100)
    for run in runs:
        finished(run)
    engine.unload(NAME)
    assert not engine.ready(NAME)


def test_a_model_that_is_let_go_ends_its_runs_first_and_then_frees_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[GatedModel]] = []
    permits, entered = threading.Semaphore(0), threading.Semaphore(0)

    def load(name: str, **_: object) -> GatedModel:
        model = GatedModel()
        model.permits, model.entered = permits, entered
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr("backend.models.loading.load_model", load)
    engine = LocalEngine(Settings())
    try:
        run = engine.submit(NAME, ask())
        assert entered.acquire(timeout=WAIT_S)
        engine.let_go(NAME)
        assert not engine.ready(NAME)
        permits.release(8)
        assert finished(run)[-1].reason == "done"
        until(lambda: gc.collect() >= 0 and made[0]() is None)
        permits.release(8)
        assert finished(engine.submit(NAME, ask()))[-1].reason == "done" and made[1]().passes == 8
    finally:
        permits.release(10_000)
        engine.close()


def test_what_does_not_fit_a_model_is_found_without_a_run(open_engine: Start_) -> None:
    engine = open_engine(FakeModel())
    assert engine.problems(NAME, ask(length=500)) == ()  # not loaded: nothing is known yet
    engine.load(NAME)
    assert [problem.field for problem in engine.problems(NAME, ask(length=500))] == ["length"]
    assert engine.problems(NAME, ask()) == ()


def ended(run: RunHandle) -> RunHandle:
    """Return the run once it is over, without reading it."""
    until = time.monotonic() + WAIT_S
    while not run.ended and time.monotonic() < until:
        time.sleep(0.005)
    assert run.ended
    return run


def test_a_run_that_nobody_reads_is_ended_and_says_why(open_engine: Start_, gated: GatedModel) -> None:
    clock = Clock()
    engine = open_engine(clock=clock, unread_s=10)
    run = engine.submit(NAME, ask(length=64))
    assert gated.entered.acquire(timeout=WAIT_S)
    clock.now = 10.0
    gated.permits.release(1)
    assert gated.entered.acquire(timeout=WAIT_S)  # ten seconds are not more than ten
    clock.now = 10.5
    gated.permits.release(1)
    end = ended(run).recorded[-1]
    assert (end.reason, end.message) == ("cancelled", "Nobody read this run for 10 seconds, so it was ended.")
    assert gated.passes == 2 and end.totals.steps == 2


def test_a_run_that_is_read_now_and_then_goes_on(open_engine: Start_, gated: GatedModel) -> None:
    clock = Clock()
    run = open_engine(clock=clock, unread_s=10).submit(NAME, ask(length=6))
    for now in range(0, 54, 9):
        assert gated.entered.acquire(timeout=WAIT_S)
        clock.now = float(now)
        run.events_so_far
        gated.permits.release(1)
    assert ended(run).recorded[-1].reason == "done"


def test_a_run_is_awaited_from_its_start_and_not_from_its_place_in_the_queue(open_engine: Start_, gated: GatedModel) -> None:
    clock = Clock()
    engine = open_engine(clock=clock, unread_s=10, max_running=1)
    first, second = engine.submit(NAME, ask(length=1)), engine.submit(NAME, ask(length=1))
    assert gated.entered.acquire(timeout=WAIT_S)
    clock.now = 100.0
    gated.permits.release(2)
    assert [ended(run).recorded[-1].reason for run in (first, second)] == ["done", "done"]


def test_a_closed_engine_takes_no_runs(open_engine: Start_) -> None:
    engine = open_engine(FakeModel())
    engine.load(NAME)
    engine.close()
    with pytest.raises(BusyError, match="closing"):
        engine.submit(NAME, ask())
    engine.close()


@pytest.mark.parametrize("settings", [{"open_models": "none"}, {"host": "0.0.0.0"}])
def test_where_visitors_may_not_open_models_they_may_not_unload_them(open_engine: Start_, settings: dict[str, str]) -> None:
    engine = open_engine(FakeModel(), **settings)
    engine.load(NAME)
    with pytest.raises(ModelError, match="--open-models"):
        engine.unload(NAME)
    assert engine.ready(NAME)


def test_each_model_gets_the_threads_that_suit_it_whatever_ran_before(
    open_engine: Start_, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    class Counting(FakeModel):
        size = 10

        def parameters(self):
            yield torch.empty(self.size, device="meta")

        def forward(self, *inputs, **details):
            used.append((self.size, torch.get_num_threads()))
            return super().forward(*inputs, **details)

    class Large(Counting):
        size = 10**9

    used, threads = [], [8]
    monkeypatch.setattr("backend.cores.CORES", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: threads.__setitem__(0, count))
    engine, models = open_engine(FakeModel(), model="large"), {NAME: Counting(), "large": Large()}
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: models[name])
    for name in (NAME, "large", NAME, "large"):
        finished(engine.submit(name, ask(length=2)))
    assert set(used) == {(10, 1), (10**9, 8)} and len(used) == 8


def test_ids_of_runs_cannot_be_guessed(open_engine: Start_) -> None:
    engine = open_engine(FakeModel())
    ids = {engine.submit(NAME, ask(length=1)).id for _ in range(4)}
    assert len(ids) == 4 and all(len(item) == 32 for item in ids)


def test_closing_ends_every_run_and_the_thread(open_engine: Start_, gated: GatedModel) -> None:
    engine = open_engine(max_running=1)
    runs = [engine.submit(NAME, ask()) for _ in range(2)]
    assert gated.entered.acquire(timeout=WAIT_S)
    closing = threading.Thread(target=engine.close)
    closing.start()
    gated.permits.release(1)
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert [finished(run)[-1].reason for run in runs] == ["cancelled", "cancelled"]
    assert not [thread for thread in threading.enumerate() if thread is engine._worker.thread]


def test_a_wait_is_told_from_how_long_the_last_runs_took(open_engine: Start_, gated: GatedModel) -> None:
    clock = Clock()
    engine = open_engine(clock=clock, max_running=1)
    first = engine.submit(NAME, ask(length=1))
    assert gated.entered.acquire(timeout=WAIT_S) and first.wait_s is None
    clock.now = 6.0
    gated.permits.release(1)
    ended(first)
    engine.submit(NAME, ask(length=1))
    assert gated.entered.acquire(timeout=WAIT_S)
    waiting = [engine.submit(NAME, ask(length=1)) for _ in range(3)]
    assert [(handle.ahead, handle.wait_s) for handle in waiting] == [(0, 6.0), (1, 12.0), (2, 18.0)]
    gated.permits.release(10)
    for handle in waiting:
        ended(handle)
