"""Pauses: a run that stands computes nothing, gives up its place, and is in the end the run that never stood."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import run, same_run
from backend.engine import LocalEngine, RunHandle
from backend.errors import RequestError
from backend.events import End, RunRequest, Step
from backend.holding import GO_ON, ONE_STEP, PAUSE, Breakpoint, Stopwatch, breakpoints
from backend.settings import Settings
from tests.conftest import WAIT_S, FakeModel, fake_for
from tests.unit.test_engine import Clock, GatedModel

NAME = "tiny-diffusion"
Open = Callable[..., LocalEngine]


@pytest.fixture
def open_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return a function that starts an engine on a model that the test gives."""
    opened = []

    def start(model: FakeModel, clock: Callable[[], float] | None = None, **settings: object) -> LocalEngine:
        monkeypatch.setattr("backend.models.loading.load_model", lambda source, **_: model)
        opened.append((LocalEngine(Settings(**settings), **({"clock": clock} if clock else {})), model))
        return opened[-1][0]

    yield start
    for engine, model in opened:
        if isinstance(model, GatedModel):
            model.permits.release(1000)
        engine.close()


def asked(prompt: str = "a", length: int = 4, seed: int = 3, decoder: str = "random_order", **settings: object) -> RunRequest:
    return RunRequest(decoder, prompt=prompt, length=length, seed=seed, settings=settings)


def stands(handle: RunHandle, step: int | None = None) -> str:
    """Wait until the run stands (after that step), and return why."""
    def there() -> bool:
        return bool(handle.standing and handle.standing.paused and step in (None, handle.standing.step))

    with handle._changed:
        assert handle._changed.wait_for(there, WAIT_S), handle.standing
        return handle.standing.why


def whole(handle: RunHandle) -> tuple:
    return tuple(itertools.chain.from_iterable(handle.batches()))


def counts(handle: RunHandle) -> int:
    return sum(isinstance(event, Step) for event in handle.recorded)


@pytest.mark.parametrize("decoder", ["llada", "random_order", "fast_dllm", "order_token_search", "assd", "beam"])
def test_a_run_that_stood_after_every_step_is_the_same_as_one_that_never_did(open_engine: Open, decoder: str) -> None:
    model = fake_for(decoder)
    handle = open_engine(model).submit(NAME, asked(decoder=decoder, length=8), breaks=[Breakpoint("step", 1)])
    step = 1
    while not handle.ended:
        stands(handle)
        assert counts(handle) == handle.standing.step >= step
        step = handle.standing.step + 1
        handle.wish(ONE_STEP)
        with handle._changed:
            assert handle._changed.wait_for(lambda: handle._over() or (handle.standing.paused and handle.standing.step >= step), WAIT_S)
    assert step > 2
    assert same_run(whole(handle), tuple(run(fake_for(decoder), asked(decoder=decoder, length=8))))


def test_nothing_is_computed_while_a_run_stands_and_stop_still_ends_it(open_engine: Open) -> None:
    model = FakeModel()
    handle = open_engine(model).submit(NAME, asked(), breaks=[Breakpoint("step", 2)])
    assert stands(handle) == "step 2 was made"
    assert model.passes == counts(handle) == 2
    handle.cancel()
    *_, end = whole(handle)
    assert isinstance(end, End) and end.reason == "cancelled" and model.passes == 2


def test_a_pause_by_word_holds_before_the_next_pass(open_engine: Open) -> None:
    model = GatedModel()
    handle = open_engine(model).submit(NAME, asked())
    assert model.entered.acquire(timeout=WAIT_S)
    handle.wish(PAUSE)
    model.permits.release(1000)
    assert stands(handle) == "you asked for it"
    assert model.passes == counts(handle) < 4
    handle.wish(GO_ON)
    assert whole(handle)[-1].reason == "done"


def test_a_pause_wished_in_the_pass_that_meets_a_breakpoint_is_one_pause(open_engine: Open) -> None:
    model = GatedModel()
    handle = open_engine(model).submit(NAME, asked(), breaks=[Breakpoint("step", 1)])
    assert model.entered.acquire(timeout=WAIT_S)
    handle.wish(PAUSE)
    model.permits.release(1000)
    stands(handle, 1)
    handle.wish(GO_ON)
    assert whole(handle)[-1].reason == "done"


def test_a_standing_run_gives_its_place_to_another_and_comes_back_before_the_queue(open_engine: Open) -> None:
    engine = open_engine(FakeModel(), max_running=1)
    first = engine.submit(NAME, asked("a"), breaks=[Breakpoint("step", 1)])
    stands(first)
    second = engine.submit(NAME, asked("b"), breaks=[Breakpoint("step", 99)])
    assert whole(second)[-1].reason == "done" and not first.ended
    first.wish(GO_ON)
    assert whole(first)[-1].reason == "done"


def test_as_many_stand_as_may_and_the_next_goes_on_and_says_so(open_engine: Open) -> None:
    engine = open_engine(FakeModel(), max_running=1)
    first = engine.submit(NAME, asked("a"), breaks=[Breakpoint("step", 1)])
    stands(first)
    second = engine.submit(NAME, asked("b"), breaks=[Breakpoint("step", 1)])
    assert whole(second)[-1].reason == "done"
    assert not second.standing.paused and "as many as may" in second.standing.why
    first.cancel()
    assert whole(first)[-1].reason == "cancelled"


def test_a_run_that_stood_as_long_as_it_may_goes_on_to_its_end_and_says_so(open_engine: Open) -> None:
    clock = Clock()
    handle = open_engine(FakeModel(), clock, paused_s=10, unread_s=1000).submit(
        NAME, asked(), breaks=[Breakpoint("step", 1), Breakpoint("step", 2)])
    stands(handle, 1)
    assert handle.standing.left_s == 10
    clock.now = 4.0
    handle.wish(GO_ON)
    stands(handle, 2)
    assert handle.standing.left_s == 6  # all pauses count together
    clock.now = 10.0
    assert whole(handle)[-1].reason == "done"
    assert not handle.standing.paused and "stood for 10 seconds" in handle.standing.why


def test_a_standing_run_that_nobody_reads_any_more_is_ended(open_engine: Open) -> None:
    clock = Clock()
    handle = open_engine(FakeModel(), clock, unread_s=15, paused_s=1000).submit(NAME, asked(), breaks=[Breakpoint("step", 1)])
    stands(handle)
    clock.now = 16.0
    with handle._changed:
        assert handle._changed.wait_for(handle._over, WAIT_S)
    assert handle.recorded[-1].reason == "cancelled" and "Nobody read" in handle.recorded[-1].message


def test_a_pause_costs_a_run_none_of_its_seconds() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    clock.now = 2.0
    watch.stop()
    clock.now = 50.0
    assert watch() == 2.0
    watch.go()
    clock.now = 53.0
    assert watch() == 5.0


def test_breakpoints_are_met_where_the_events_say(open_engine: Open) -> None:
    parent = tuple(run(FakeModel(), asked(length=6)))
    steps = [event for event in parent if isinstance(event, Step)]
    chosen = steps[3].writes[0][0]
    surest = [step.scores["confidence"][step.masked.index(step.writes[0][0])] for step in steps]
    bound = sorted(surest)[2]
    first = next(step.index for step, value in zip(steps, surest, strict=True) if value < bound)
    for item, step in ((Breakpoint("written", chosen), 4), (Breakpoint("below", score="confidence", value=bound), first)):
        handle = open_engine(FakeModel()).submit(NAME, asked(length=6), breaks=[item])
        why = stands(handle)
        assert handle.standing.step == step
        assert ("position" in why) and (item.kind == "written" or f"below {bound:g}" in why)
        handle.cancel()


def test_breakpoints_set_while_a_run_stands_hold_for_the_rest(open_engine: Open) -> None:
    handle = open_engine(FakeModel()).submit(NAME, asked(length=6), breaks=[Breakpoint("step", 1)])
    stands(handle, 1)
    handle.breaks = (Breakpoint("step", 4),)
    handle.wish(GO_ON)
    assert stands(handle, 4) == "step 4 was made"
    handle.cancel()


def test_a_wish_for_a_run_that_is_over_or_waits_does_nothing(open_engine: Open) -> None:
    engine = open_engine(FakeModel())
    handle = engine.submit(NAME, asked())
    events = whole(handle)
    for what in (PAUSE, GO_ON, ONE_STEP):
        handle.wish(what)
    assert whole(engine.submit(NAME, asked()))[-1].reason == "done"
    assert handle.recorded == events and handle.standing is None


def test_closing_the_engine_ends_a_standing_run(open_engine: Open) -> None:
    engine = open_engine(FakeModel())
    handle = engine.submit(NAME, asked(), breaks=[Breakpoint("step", 1)])
    stands(handle)
    engine.close()
    assert handle.recorded[-1].reason == "cancelled"


@pytest.mark.parametrize(("records", "said"), [
    ("x", "at most 16"), ([{}] * 17, "at most 16"), ([{"kind": "never"}], "no breakpoint"), ([{"kind": "step", "at": 0}], "no step"),
    ([{"kind": "written", "at": True}], "no position"), ([{"kind": "above", "value": 1}], "names the score"),
    ([{"kind": "below", "score": "entropy", "value": "1"}], "no value"), ([{"kind": "step", "at": 1, "x": 2}], "no breakpoint"),
])
def test_what_is_no_breakpoint_is_refused_with_a_sentence(records: object, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        breakpoints(records)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["kind", "at", "score", "value", "x"]), inner, max_size=4), max_leaves=8))
def test_breakpoints_are_read_or_refused_whatever_comes(records: object) -> None:
    try:
        assert all(isinstance(item, Breakpoint) for item in breakpoints(records))
    except RequestError as error:
        assert error.problems
