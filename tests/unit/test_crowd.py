"""Many runs of one visitor: one place in the queue, bounded passes, nothing that goes on unread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from backend import RequestError, RunRequest, run, same_run
from backend.crowd import ROWS_TOGETHER, TOGETHER, Crowd, Crowds, ManyRequest
from backend.engine import LocalEngine
from backend.errors import BusyError
from backend.events import Step
from backend.runner import BATCH_ROWS_CPU
from backend.settings import Settings
from tests.conftest import WAIT_S, FakeModel

NAME = "tiny-diffusion"


class GatedModel(FakeModel):
    """A fake model whose every pass waits for a permit; ``sizes`` and ``widths`` are the runs in each pass and their canvas."""

    def __init__(self, permits: int) -> None:
        super().__init__()
        self.permits = threading.Semaphore(permits)
        self.sizes: list[int] = []
        self.widths: list[int] = []

    def forward(self, input_ids=None, **details):
        assert self.permits.acquire(timeout=WAIT_S)
        self.sizes.append(len(input_ids))
        self.widths.append(input_ids.shape[1])
        return super().forward(input_ids, **details)


@pytest.fixture
def open_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Return a function that starts an engine on a gated model, with its settings."""
    opened: list[tuple[LocalEngine, GatedModel]] = []

    def start(permits: int = 10_000, **limits: int) -> tuple[Settings, LocalEngine, GatedModel]:
        model, settings = GatedModel(permits), Settings(**limits)
        monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: model)
        opened.append((LocalEngine(settings), model))
        return settings, opened[-1][0], model

    yield start
    for engine, model in opened:
        model.permits.release(10_000)
        engine.close()


def asked(**given: object) -> ManyRequest:
    return ManyRequest(**{"model": NAME, "decoder": "llada", "runs": 6, "length": 8, "prompt": "ab", **given})


def finished(crowd: Crowd) -> dict[int, tuple]:
    return {number: handle.events_so_far for look in crowd.progress() for number, handle in look.ended}


def test_the_runs_are_those_of_single_runs_and_share_passes(open_engine) -> None:
    settings, engine, model = open_engine()
    crowd = Crowds(settings, engine).begin("me", asked(decoder="random_order"))
    found = finished(crowd)
    assert sorted(found) == list(range(6))
    for number, events in found.items():
        assert same_run(events, tuple(run(FakeModel(), RunRequest("random_order", "ab", length=8, seed=number, top_k=2))))
    assert max(model.sizes) == 6


def test_as_many_run_at_a_time_as_the_bounds_allow(open_engine) -> None:
    settings, engine, model = open_engine()
    finished(Crowds(settings, engine).begin("me", asked(runs=32)))
    assert max(model.sizes) == TOGETHER
    model.sizes.clear()
    length = ROWS_TOGETHER // 4 - 2
    crowd = Crowds(settings, engine).begin("me", asked(runs=6, length=length, settings={"steps": 2, "block_length": length}))
    looks = [(look.running, len(look.ended)) for look in crowd.progress()]
    assert max(running + ended for running, ended in looks) == 4 and sum(ended for _, ended in looks) == 6
    # How many of the four share a pass is the runner's own bound, not the crowd's.
    assert max(model.sizes) * (length + 2) <= max(ROWS_TOGETHER, BATCH_ROWS_CPU)


def test_a_crowd_takes_one_place_and_a_single_run_beside_it_gets_every_other_pass(open_engine) -> None:
    settings, engine, model = open_engine(permits=0, max_running=2)
    looks = Crowds(settings, engine).begin("me", asked(runs=20)).progress()
    next(looks)
    single = engine.submit(NAME, RunRequest("llada", "ab", length=4))
    model.permits.release(10_000)
    over = sum(len(look.ended) for look in looks)
    assert single.wait(WAIT_S) and single.events_so_far[-1].reason == "done" and over == 20
    turns = [at for at, width in enumerate(model.widths) if width == 6]
    # Four passes of its own, one of the crowd before each, and the one that was under way when it came.
    assert len(turns) == 4 and turns[-1] <= 2 * 4 + 1


def test_a_crowd_that_waits_counts_as_one_before_the_next(open_engine) -> None:
    settings, engine, _ = open_engine(permits=0, max_running=1)
    running = engine.submit(NAME, RunRequest("llada", "ab", length=4))
    looks = Crowds(settings, engine).begin("me", asked()).progress()
    first = next(looks)
    after = engine.submit(NAME, RunRequest("llada", "ab", length=4))
    assert (running.ahead, first.ahead, after.ahead) == (0, 0, 1)
    looks.close()


def test_one_crowd_to_a_visitor_and_half_of_the_places_to_crowds(open_engine) -> None:
    settings, engine, _ = open_engine(max_running=4)
    crowds = Crowds(settings, engine)
    first = crowds.begin("me", asked())
    with pytest.raises(BusyError, match="not over yet"):
        crowds.begin("me", asked())
    second = crowds.begin("you", asked())
    with pytest.raises(BusyError, match="limit is 2"):
        crowds.begin("they", asked())
    crowds.end("me", first)
    crowds.end("me", first)
    third = crowds.begin("they", asked())
    crowds.end("you", second)
    crowds.end("they", third)


def test_stop_ends_what_runs_before_its_next_pass_and_begins_nothing(open_engine) -> None:
    settings, engine, model = open_engine(permits=1)
    crowds = Crowds(settings, engine)
    crowd = crowds.begin("me", asked(runs=32))
    looks = crowd.progress()
    next(looks)
    assert crowds.stop("me") and not crowds.stop("nobody")
    model.permits.release(10_000)
    ended = [handle for look in looks for _, handle in look.ended]
    assert 0 < len(ended) <= TOGETHER and all(handle.events_so_far[-1].reason == "cancelled" for handle in ended)
    assert len(model.sizes) <= 2


def test_a_reader_who_leaves_frees_the_model(open_engine) -> None:
    settings, engine, model = open_engine(permits=1)
    crowd = Crowds(settings, engine).begin("me", asked())
    looks = crowd.progress()
    next(looks)
    looks.close()
    model.permits.release(10_000)
    after = engine.submit(NAME, RunRequest("llada", "ab", length=4))
    assert after.wait(WAIT_S) and len(model.sizes) <= 2 + 4


def test_the_runs_of_a_crowd_do_not_push_out_what_visitors_keep(open_engine) -> None:
    settings, engine, _ = open_engine(kept_runs=1)
    kept = engine.submit(NAME, RunRequest("llada", "ab", length=4))
    assert kept.wait(WAIT_S)
    finished(Crowds(settings, engine).begin("me", asked()))
    assert engine.find(kept.id) is kept
    assert any(isinstance(event, Step) for event in kept.events_so_far)


@pytest.mark.parametrize(("given", "fields"), [
    ({"runs": 1}, {"runs"}), ({"runs": 33}, {"runs"}), ({"runs": True}, {"runs"}), ({"seed": "a"}, {"seed"}),
    ({"prompt": None, "task": "chess"}, {"task"}), ({"decoder": "no"}, {"decoder"}),
    ({"runs": 0, "seed": None, "length": 0, "settings": {"steps": 0, "wings": 2}}, {"runs", "seed", "length", "settings.steps", "settings.wings"}),
])
def test_everything_that_is_wrong_with_a_request_is_said_at_once(open_engine, given: dict, fields: set) -> None:
    settings, engine, _ = open_engine()
    with pytest.raises(RequestError) as refused:
        Crowds(settings, engine).begin("me", asked(**given))
    assert {problem.field for problem in refused.value.problems} == fields


def test_a_task_gives_held_out_prompts_and_every_run_a_seed_of_its_own() -> None:
    requests = asked(prompt=None, task="sum", runs=5, seed=7).requests()
    assert [request.seed for request in requests] == [7, 8, 9, 10, 11]
    assert len({request.prompt for request in requests}) == 5 and all(request.prompt.startswith("sum: ") for request in requests)
    assert requests == asked(prompt=None, task="sum", runs=5, seed=7).requests()
