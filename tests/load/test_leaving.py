"""Stops and lost connections, at random steps: the model is free within one further pass, and nothing is left.

All hundred of each: ``python -m pytest -m nightly tests/load/test_leaving.py -s``
"""

from __future__ import annotations

import gc
import inspect
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WAIT_S, FakeModel
from tests.load.client import Visitor
from tests.load.conftest import Served, SlowModel, until

FREE_S = 1.0
"""Within this time a slot is free again."""

PASS_S = 0.15
"""A pass long enough that the server hears of a lost line during it."""

WARM_UP = 10

OURS = ("decoding", "stream", "batches", "_decode", "choosing")


def generators() -> int:
    """Return how many generators of runs and streams are alive."""
    gc.collect()
    return sum(inspect.isgenerator(item) and item.gi_code.co_name in OURS and item.gi_frame is not None for item in gc.get_objects())


def memory() -> int:
    """Return the resident pages of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def left_at(served: Served, how: str, step: int) -> tuple[int, float]:
    """Start a run, leave it at ``step``; return the passes begun after that and the seconds until its slot was free."""
    visitor, model = Visitor(served.address), served.model
    visitor.arrive()
    visitor.call("submit", prompt="2+2=", length="64").finish()
    messages, before = visitor.call("stream"), model.passes
    stream = messages.texts()
    next(stream)
    until(lambda: model.passes >= before + step)
    at = model.begun  # the pass under way is among them: it cannot be taken back
    if how == "stop":
        visitor.press("stop")
    else:
        messages.leave()
    took = until(lambda: not served.engine._running)
    further = model.begun - at
    if how == "stop":
        messages.finish()
    visitor.close()
    return further, took


def leave(served: Served, how: str, times: int) -> None:
    rng, found = random.Random(how), []
    for _ in range(WARM_UP if times >= 100 else 1):  # the runs that are kept, and what the libraries keep
        left_at(served, how, 1)
    alive, held = generators(), memory()
    for _ in range(times):
        found.append(left_at(served, how, rng.randrange(1, 6)))
    until(lambda: generators() <= alive)
    print(f"{times} x {how}: at most {max(further for further, _ in found)} further passes, "
          f"slot free after at most {max(took for _, took in found):.3f} s, memory {memory() / held - 1:+.2%}")
    assert max(further for further, _ in found) <= 1
    assert max(took for _, took in found) < FREE_S
    if times >= 100:
        assert memory() / held < 1.02


class HeldModel(SlowModel):
    """A model whose passes wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def forward(self, *inputs: Any, **details: Any) -> Any:
        """Count, wait, and do it."""
        self.begun += 1
        assert self.goes_on.wait(WAIT_S)
        return FakeModel.forward(self, *inputs, **details)


@pytest.fixture
def slow(serve: Callable[..., Served]) -> Served:
    model = SlowModel()
    model.pass_s = PASS_S
    return serve(model, max_running=1, max_queued=4, kept_runs=8, sessions_max=8)


@pytest.mark.parametrize("how", ["stop", "lost line"])
def test_leaving_frees_the_model_within_one_pass(slow: Served, how: str) -> None:
    leave(slow, how, 3)


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["stop", "lost line"])
def test_a_hundred_leave(slow: Served, how: str) -> None:
    leave(slow, how, 100)


def test_a_run_ends_when_its_line_is_lost_and_not_when_the_next_message_is_due(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.handle.QUEUE_TICK_S", WAIT_S)  # nothing is said while nothing happens
    model = HeldModel()
    served = serve(model)
    visitor = Visitor(served.address)
    visitor.arrive()
    visitor.call("submit", prompt="2+2=", length="8").finish()
    messages = visitor.call("stream")
    next(messages.texts())
    until(lambda: model.begun == 1)
    (handle, _), = served.engine._running.values()
    messages.leave()
    try:
        until(lambda: handle.cancelled)  # the pass is still under way
        assert model.passes == 0
    finally:
        model.goes_on.set()
    until(lambda: not served.engine._running)
    assert model.begun == 1
    visitor.close()


def test_the_state_of_closed_pages_does_not_pile_up(serve: Callable[..., Served]) -> None:
    served = serve(SlowModel(), sessions_max=4)
    for _ in range(12):
        Visitor(served.address).call("submit", prompt="2+2=", length="1").finish()
    gc.collect()
    holders = [item for item in gc.get_objects() if type(item).__name__ == "StateHolder" and item.session_data]
    assert [len(item.session_data) for item in holders if item.capacity == 4] == [4]


def test_the_queue_of_the_library_keeps_nothing_of_closed_pages(serve: Callable[..., Served]) -> None:
    served = serve(SlowModel())
    queue = served.app.routes[-1].app.get_blocks()._queue
    for number in range(6):
        visitor = Visitor(served.address)
        visitor.arrive()
        visitor.call("submit", prompt="2+2=", length="64").finish()
        messages = visitor.call("stream")
        next(messages.texts())
        if number % 2:
            visitor.press("stop")
            messages.finish()
        else:
            messages.leave()
        visitor.close()
    until(lambda: not queue.event_ids_to_events)
    last = Visitor(served.address)  # what was still busy when it was closed goes with the next one
    last.arrive()
    last.close()
    until(lambda: not queue.pending_event_ids_session and not queue.pending_messages_per_session)


def test_a_run_whose_reader_never_comes_is_ended(serve: Callable[..., Served]) -> None:
    served = serve(SlowModel(), unread_s=1, max_running=1)
    served.model.pass_s = PASS_S
    visitor = Visitor(served.address)
    visitor.call("submit", prompt="2+2=", length="64").finish()
    until(lambda: served.engine._running)
    until(lambda: not served.engine._running)
    assert served.model.passes < 64
