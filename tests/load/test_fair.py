"""One visitor who asks for very much makes nobody else wait: the next places are those of the others.

As a browser sees it, with its figures: ``python -m pytest tests/load/test_fair.py -s``
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError as Refused

from backend import RunRequest
from backend.engine import LocalEngine, RunHandle
from backend.errors import BusyError
from backend.events import Event, Start
from tests.conftest import WAIT_S
from tests.load.client import Visitor
from tests.load.conftest import Served, SlowModel, until

LENGTH, GREEDY, OTHERS = 24, 12, 4
REQUEST = RunRequest("llada", prompt="2+2=", length=LENGTH)


def begun_at(handle: RunHandle) -> float:
    """Return when a run began, waiting for its end."""
    events: list[Event] = [event for batch in handle.batches(0.0) for event in batch]
    assert isinstance(events[0], Start) and events[-1].reason == "done"
    return handle.times[0]


@pytest.mark.parametrize("places", [1, 2])
def test_the_next_places_are_those_of_the_other_visitors(engine_on: Callable[..., LocalEngine], places: int) -> None:
    model = SlowModel()
    model.pass_s = 0.005
    engine = engine_on(model, max_running=places)
    engine.load("tiny-diffusion")
    greedy = [engine.submit("tiny-diffusion", REQUEST, visitor="greedy") for _ in range(GREEDY)]
    until(lambda: len(engine._running) == places)
    others = [engine.submit("tiny-diffusion", REQUEST, visitor=f"other {number}") for number in range(OTHERS)]
    assert [handle.ahead for handle in others] == list(range(OTHERS))
    begun: dict[str, float] = {}
    threads = [threading.Thread(target=lambda item=item: begun.update({item.id: begun_at(item)})) for item in (*greedy, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = sorted(begun, key=begun.get)
    assert {handle.id for handle in others} == set(order[places : places + OTHERS])


def test_a_visitor_has_so_many_runs_at_a_time_and_others_none_the_less(engine_on: Callable[..., LocalEngine]) -> None:
    model = SlowModel()
    model.pass_s = 0.05
    engine = engine_on(model, visitor_runs=2)
    taken = [engine.submit("tiny-diffusion", REQUEST, visitor="greedy") for _ in range(2)]
    with pytest.raises(BusyError, match="2 of your runs are not over; the limit is 2"):
        engine.submit("tiny-diffusion", REQUEST, visitor="greedy")
    taken.append(engine.submit("tiny-diffusion", REQUEST, visitor="another"))
    for handle in taken:
        handle.cancel()


def test_a_program_is_a_visitor_as_an_open_page_is(serve: Callable[..., Served]) -> None:
    served = serve(SlowModel(), visitor_runs=2)
    served.model.pass_s = 0.05
    one, other = (Client(served.address, verbose=False, httpx_kwargs={"timeout": WAIT_S}) for _ in range(2))
    alone = one.submit("llada", "2+2=", 256, api_name="/decode")
    parent = next(iter(alone))["run"]
    sides = [{"decoder": "llada"}, {"decoder": "left_to_right"}]
    pair = one.submit(*sides, "2+2=", 256, api_name="/compare")
    pair = next(iter(pair))["runs"], pair
    handles = [served.engine.find(run_id) for run_id in (parent, *pair[0])]
    assert {handle.visitor for handle in handles} == {one.session_hash} and handles[1].group == handles[2].group != handles[0].group
    for asked in (("llada", "2+2=", 8), ("llada", "2+2=", 8, 1)):
        with pytest.raises(Refused, match="2 of your runs are not over; the limit is 2"):
            one.predict(*asked, api_name="/decode")
    with pytest.raises(Refused, match="2 of your runs"):
        one.predict(*sides, "2+2=", 8, api_name="/compare")
    with pytest.raises(Refused, match="2 of your runs"):
        one.predict(parent, 1, [["forbid", 5, 1]], api_name="/branch")
    told = other.predict("llada", "2+2=", 2, api_name="/decode")
    assert served.engine.find(told["run"]).visitor == other.session_hash != one.session_hash
    for job in (alone, pair[1]):
        job.cancel()


def waited(address: str, seed: int, found: dict[int, tuple[float, float]]) -> None:
    """Press Run as a page does; note the seconds until the run began, and those that it took."""
    visitor = Visitor(address)
    visitor.arrive()
    visitor.call("submit", prompt="2+2=", length=str(LENGTH), seed=str(seed)).finish()
    asked, began = time.monotonic(), None
    for text in visitor.call("stream").texts():
        kinds = [event["kind"] for event in json.loads(text)["events"]]
        if began is None and "start" in kinds:
            began = time.monotonic()
    found[seed] = (began - asked, time.monotonic() - began)
    visitor.close()


def test_four_visitors_beside_a_greedy_one_wait_less_than_two_run_lengths(serve: Callable[..., Served]) -> None:
    """Every open page is a visitor; the greedy one is a page whose runs are asked for without an end."""
    served = serve(SlowModel())
    served.model.pass_s = 0.02
    greedy = Visitor(served.address)
    greedy.arrive()
    alone: dict[int, tuple[float, float]] = {}
    waited(served.address, 99, alone)  # what the first call of everything costs is not a wait
    threads = []
    for seed in range(GREEDY):
        messages = greedy.call("submit", prompt="2+2=", length=str(LENGTH), seed=str(seed))
        messages.finish()
    handles = [handle for handle, _ in (*served.engine._running.values(), *served.engine._queued)]
    assert len({handle.visitor for handle in handles}) == 1 and len(handles) > served.engine._settings.max_running
    threads = [threading.Thread(target=begun_at, args=(handle,)) for handle in handles]
    found: dict[int, tuple[float, float]] = {}
    threads += [threading.Thread(target=waited, args=(served.address, 100 + number, found)) for number in range(OTHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    length = max(took for _, took in found.values())
    print(f"four others waited {', '.join(f'{wait / length:.2f}' for wait, _ in found.values())} run lengths of {length:.2f} s")
    assert len(found) == OTHERS and max(wait for wait, _ in found.values()) < 2 * length
