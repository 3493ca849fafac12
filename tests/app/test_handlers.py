"""What happens when a visitor touches the page."""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace

import gradio as gr
import pytest

from backend.decoders.catalogue import DECODERS
from backend.errors import BusyError, Problem, RequestError
from backend.holding import Breakpoint
from components.controls import Control, draw
from components.examples import openings
from components.handlers import Desk, group_classes
from tests.app.fakes import RUN_ID, FakeEngine, FakeHandle, recorded

OFFERED = openings({"tiny-diffusion"})


@functools.cache
def drawn() -> tuple[Control, ...]:
    """Return the settings of every decoder; a desk only reads them, so that all desks share them."""
    with gr.Blocks():
        return tuple(control for decoder in DECODERS for control in draw(decoder))


def desk(engine: FakeEngine) -> tuple[Desk, list[object]]:
    """Return a desk, and the values of its settings when nobody touched them."""
    values = [control.widget.preprocess(control.widget.value) for control in drawn()]
    return Desk(engine, drawn(), OFFERED), values


def submitted(engine: FakeEngine, **changes: object) -> tuple[str, dict[str, object]]:
    """Return the run id and the notice that a submit ends with."""
    asked = {"prompt": "sum: 1+2=", "model": "tiny-diffusion", "decoder": "llada", "length": 8.0, "seed": 3.0, "template": "", "second": ""}
    at, values = desk(engine)
    *_, last = at.submit(*(asked | changes).values(), *values)
    return last[0], json.loads(last[1]) if isinstance(last[1], str) else {}


def messages(run: object) -> list[dict[str, object]]:
    return [json.loads(item) for item in run]


def test_a_request_is_handed_over_with_whole_numbers() -> None:
    engine = FakeEngine()
    run_id, notice = submitted(engine)
    (model, request), = engine.submitted
    assert run_id == RUN_ID and notice == {}
    assert (model, request.prompt, request.length, request.seed) == ("tiny-diffusion", "sum: 1+2=", 8, 3)
    assert request.settings == {} and isinstance(request.length, int)


def test_every_wrong_field_is_reported_at_once() -> None:
    wrong = RequestError([Problem("length", "too long"), Problem("settings.steps", "too many")])
    run_id, notice = submitted(FakeEngine(refusal=wrong))
    assert run_id == "" and notice["decoder"] == "llada"
    assert [item["field"] for item in notice["problems"]] == ["length", "settings.steps"]


def test_a_full_queue_is_a_sentence_without_a_field() -> None:
    run_id, notice = submitted(FakeEngine(refusal=BusyError("32 runs wait.", "Try again.")))
    assert (run_id, notice["message"], notice["problems"]) == ("", "32 runs wait. Try again.", [])


def test_two_equal_refusals_are_two_notices() -> None:
    at, values = desk(FakeEngine(refusal=BusyError("Full.")))
    runs = [[*at.submit("x", "m", "llada", 1, 0, "", "", *values)][-1][1] for _ in range(2)]
    assert runs[0] != runs[1]


def test_a_stream_numbers_its_messages_and_says_who_waits() -> None:
    at, _ = desk(FakeEngine())
    waiting, everything = messages(at.stream(RUN_ID))
    assert waiting["n"] == 0 and waiting["events"] == [{"lane": 0, "kind": "queue", "ahead": 2}]
    assert everything["n"] == 1 and everything["events"][-1]["kind"] == "end"


def test_a_reader_that_leaves_ends_the_run() -> None:
    handle = FakeHandle(recorded()[:-1], ended=False)
    stream = desk(FakeEngine(handle))[0].stream(RUN_ID)
    next(stream)
    stream.close()
    assert handle.cancels == 1


def test_a_run_that_ended_is_not_cancelled() -> None:
    handle = FakeHandle(recorded())
    list(desk(FakeEngine(handle))[0].stream(RUN_ID))
    assert handle.cancels == 0


def test_stop_ends_the_run_and_an_unknown_run_is_no_failure() -> None:
    handle = FakeHandle(recorded()[:-1], ended=False)
    at, _ = desk(FakeEngine(handle))
    at.stop(RUN_ID)
    at.stop("")
    at.stop("nobody's")
    assert handle.cancels == 1
    assert len(list(at.stream(""))) == 1


def test_a_model_says_when_it_is_ready_and_why_it_is_not() -> None:
    good = list(desk(FakeEngine())[0].load("tiny-diffusion"))
    bad = list(desk(FakeEngine(refusal=BusyError("No <file>.")))[0].load("tiny-diffusion"))
    assert "is loading" in good[0] and "is ready" in good[-1]
    assert "did not load" in bad[-1] and "&lt;file&gt;" in bad[-1]


def test_choosing_a_decoder_shows_its_settings_only() -> None:
    about, *groups = desk(FakeEngine())[0].choose_decoder("fast_dllm")
    assert "2505.22618" in about
    shown = [decoder.name for decoder, group in zip(DECODERS, groups, strict=True)
             if group["elem_classes"] == group_classes(True)]
    assert shown == ["fast_dllm"]


def test_an_example_opens_with_its_own_model_and_length() -> None:
    at, _ = desk(FakeEngine())
    prompt, model, length = at.open_example(SimpleNamespace(_data={"index": 4}))
    assert prompt == OFFERED[4].prompt and model == OFFERED[4].task.model
    assert length == str(OFFERED[4].task.length)


@pytest.mark.parametrize("index", [-1, 10**6, "0", None, 1.5])
def test_an_index_that_nobody_offered_changes_nothing(index: object) -> None:
    changes = desk(FakeEngine())[0].open_example(SimpleNamespace(_data={"index": index}))
    assert all(change == gr.skip() for change in changes)


def test_opening_a_model_chooses_it_in_the_menu() -> None:
    *_, (menu, line) = desk(FakeEngine())[0].open_model(" /models/mine ")
    assert menu["value"] == "/models/mine" and "Opened is open" in line


def test_a_model_that_cannot_be_opened_says_why_and_changes_nothing() -> None:
    *_, (menu, line) = desk(FakeEngine(refusal=BusyError("Too <many>.")))[0].open_model("x")
    assert menu == gr.skip() and "Too &lt;many&gt;." in line and 'role="alert"' in line


def test_unloading_says_what_became_of_it() -> None:
    state, line = desk(FakeEngine())[0].unload("tiny-diffusion")
    assert "is not loaded" in state and "is unloaded" in line
    state, line = desk(FakeEngine(refusal=BusyError("It runs.")))[0].unload("tiny-diffusion")
    assert "is ready" in state and "It runs." in line


def test_a_change_of_model_is_reviewed_without_taking_the_focus() -> None:
    at, values = desk(FakeEngine())
    assert json.loads(at.review("x", "m", "llada", 1, 0, "", "", *values))["quiet"] is True


@pytest.mark.parametrize(("typed", "text", "ids"), [
    ("ids: 1, 2 3", None, (1, 2, 3)), ("ids:", None, ()), ("ids: one", "ids: one", None), ("a ids: 1", "a ids: 1", None), ("", "", None),
])
def test_a_prompt_of_token_ids_is_handed_over_as_ids(typed: str, text: str | None, ids: tuple[int, ...] | None) -> None:
    engine = FakeEngine()
    at, values = desk(engine)
    list(at.submit(typed, "tiny-diffusion", "llada", 8, 0, "", "", *values))
    assert (engine.submitted[0][1].prompt, engine.submitted[0][1].prompt_ids) == (text, ids)


def test_an_example_picked_without_saying_which_changes_nothing() -> None:
    assert all(change == gr.skip() for change in desk(FakeEngine())[0].open_example(SimpleNamespace(_data=None)))


# -- two lanes, branches, templates --------------------------------------------------------------


class TwoHandles(FakeEngine):
    """Gives every submitted run a handle of its own."""

    def __init__(self, *handles: FakeHandle, refuse: str = "") -> None:
        super().__init__(handles[0])
        self._waiting, self._refuse, self._given = list(handles), refuse, {}

    def submit(self, model, request, *_, **__):
        if request.decoder == self._refuse:
            raise RequestError([Problem("settings.steps", "too many")])
        self.submitted.append((model, request))
        handle = self._waiting.pop(0)
        handle.id = f"run{len(self.submitted)}"
        self._given[handle.id] = handle
        return handle

    def find(self, run_id):
        return self._given.get(run_id)


SECOND = json.dumps({"model": "tiny-diffusion", "decoder": "dream", "settings": {"steps": 4.0}})


def test_a_second_lane_gets_the_same_prompt_and_seed_and_streams_along() -> None:
    engine = TwoHandles(FakeHandle(recorded()), FakeHandle(recorded()))
    at, values = desk(engine)
    *_, last = at.submit("sum: 1+2=", "tiny-diffusion", "llada", 8.0, 3.0, "", SECOND, *values)
    (_, a), (_, b) = engine.submitted
    assert (b.decoder, b.settings, b.prompt, b.length, b.seed) == ("dream", {"steps": 4}, a.prompt, a.length, a.seed)
    assert last[0] == "run1 run2"
    got = messages(at.stream(last[0]))
    assert all(message["runs"] == ["run1", "run2"] for message in got) and [message["n"] for message in got] == list(range(len(got)))
    for lane in (0, 1):
        kinds = [event["kind"] for message in got for event in message["events"] if event["lane"] == lane]
        assert kinds == ["start", "step", "step", "end"]


def test_what_is_set_for_lane_a_is_locked_to_lane_b_where_it_has_the_setting_unless_unlocked() -> None:
    for locked, wanted in ((True, {"steps": 2, "alg": "origin"}), (False, {"steps": 4, "alg": "origin"})):
        engine = TwoHandles(FakeHandle(recorded()), FakeHandle(recorded()))
        at, values = desk(engine)
        names = [(control.decoder, control.name) for control in at._controls]
        changed = list(values)
        changed[names.index(("llada", "steps"))] = 2.0
        changed[names.index(("llada", "block_length"))] = 4.0
        second = json.dumps({"model": "tiny-diffusion", "decoder": "dream", "settings": {"steps": 4, "alg": "origin"}, "locked": locked})
        list(at.submit("x", "tiny-diffusion", "llada", 8, 0, "", second, *changed))
        assert engine.submitted[1][1].settings == wanted


def test_a_stream_that_a_branch_takes_over_ends_without_ending_the_paused_parent() -> None:
    parent, child = FakeHandle(recorded()[:-1], ended=False), FakeHandle(recorded())
    parent.model_name = "tiny-diffusion"
    engine = TwoHandles(parent, child)
    at, values = desk(engine)
    *_, (lanes, *_) = at.submit("x", "tiny-diffusion", "llada", 8, 0, "", "", *values)
    first = at.stream(lanes)
    next(first)
    *_, (both, *_) = at.branch(SimpleNamespace(_data={"run": lanes, "step": 1, "edits": [["write", 3, 6]]}))
    assert both == f"{lanes} run2"
    second = at.stream(both)
    next(second)
    assert list(first)[1:] == [] and parent.cancels == 0
    assert at.rest(both) == (gr.skip(), gr.skip())  # Stop stays: one of them goes on
    second.close()
    assert parent.cancels == 1


def test_a_paused_run_whose_branch_is_refused_can_still_go_on_and_be_stopped() -> None:
    parent = FakeHandle(recorded()[:-1], ended=False)
    parent.model_name = "tiny-diffusion"
    at, _ = desk(FakeEngine(parent))
    *_, (lanes, notice, run, stop) = at.branch(SimpleNamespace(_data={"run": RUN_ID, "step": 99, "edits": []}))
    assert lanes == RUN_ID and "is not a step" in json.loads(notice)["problems"][0]["message"]
    assert (run["interactive"], stop["interactive"]) == (False, True)


def test_pause_go_on_and_breakpoints_reach_the_runs_that_are_not_over() -> None:
    live, over = FakeHandle(recorded()[:-1], ended=False), FakeHandle(recorded())
    live.wishes, over.wishes = [], []
    live.wish, over.wish = live.wishes.append, over.wishes.append
    engine = TwoHandles(live, over)
    at, values = desk(engine)
    *_, (lanes, *_) = at.submit("x", "tiny-diffusion", "llada", 8, 0, "", SECOND, *values)
    for asked in ({"what": "pause"}, {"what": "go_on"}, {"what": "one_step"}, {"what": "jump"}, {"what": "", "breaks": [{"kind": "step", "at": 3}]}, None):
        at.hold(lanes, SimpleNamespace(_data=asked))
    assert live.wishes == ["pause", "go_on", "one_step"] and over.wishes == []
    assert live.breaks == (Breakpoint("step", 3),)


@pytest.mark.parametrize("text", ["{", "3", '[{"kind": "x"}]', "[" * 100_000])
def test_breakpoints_that_cannot_be_read_are_refused_and_no_run_begins(text: str) -> None:
    engine = FakeEngine()
    at, values = desk(engine)
    *_, (lanes, notice, *_) = at.submit("x", "tiny-diffusion", "llada", 8, 0, "", "", *values, text)
    assert lanes == "" and json.loads(notice)["problems"][0]["field"] == "breaks" and engine.submitted == []


def test_what_is_wrong_with_either_lane_is_told_and_no_run_is_left() -> None:
    waiting = FakeHandle(recorded()[:-1], ended=False)
    engine = TwoHandles(waiting, refuse="dream")
    at, values = desk(engine)
    *_, last = at.submit("x", "tiny-diffusion", "llada", 8, 0, "", SECOND, *values)
    assert last[0] == "" and [item["field"] for item in json.loads(last[1])["problems"]] == ["b.settings.steps"]
    assert waiting.cancels == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"model": 1}', '{"model": "m", "decoder": "d", "settings": 3}', "[" * 100_000])
def test_a_second_lane_that_cannot_be_read_is_refused(text: str) -> None:
    run_id, notice = submitted(FakeEngine(), second=text)
    assert run_id == "" and notice["problems"][0]["field"] == "b.decoder"


def test_stop_and_a_reader_that_leaves_end_both_lanes() -> None:
    pair = [FakeHandle(recorded()[:-1], ended=False) for _ in range(2)]
    engine = TwoHandles(*pair)
    at, values = desk(engine)
    *_, last = at.submit("x", "tiny-diffusion", "llada", 8, 0, "", SECOND, *values)
    at.stop(last[0])
    assert [handle.cancels for handle in pair] == [1, 1]
    stream = at.stream(last[0])
    next(stream)
    stream.close()
    assert [handle.cancels for handle in pair] == [2, 2]


def test_a_branch_is_the_parents_request_with_a_fork_and_leaves_lane_a_alone() -> None:
    parent = FakeHandle(recorded())
    parent.model_name = "tiny-diffusion"
    engine = FakeEngine(parent)
    at, _ = desk(engine)
    asked = {"run": RUN_ID, "step": 2, "edits": [["write", 2, 6]]}
    *_, last = at.branch(SimpleNamespace(_data=asked))
    (_, request), = engine.submitted
    fork, = request.forks
    assert (fork.step, fork.edits, fork.parent) == (2, (("write", 2, 6),), RUN_ID) and request.seed == 7
    assert last[0] == f"- {RUN_ID}"
    assert messages(at.stream(last[0]))[-1]["runs"] == [None, RUN_ID]


@pytest.mark.parametrize(("asked", "said"), [
    ({"run": "gone", "step": 1, "edits": []}, "not kept"), ({"run": RUN_ID, "step": 9, "edits": []}, "give 1 to 2"),
    ({"run": RUN_ID, "step": "x", "edits": []}, "not a step"), ({"step": 1}, "no branch"), (None, "no branch"),
    ({"run": RUN_ID, "step": 1, "edits": [[1, 2, 3, 4, 5]]}, "no branch"), ({"run": RUN_ID, "step": 1, "edits": 5}, "no branch"),
    ({"run": RUN_ID, "step": 1, "edits": [], "settings": 5}, "no branch"), ({"run": RUN_ID, "step": 1, "edits": [], "settings": "ab"}, "no branch"),
])
def test_a_branch_that_cannot_be_says_why(asked: object, said: str) -> None:
    parent = FakeHandle(recorded())
    parent.model_name = "tiny-diffusion"
    *_, last = desk(FakeEngine(parent))[0].branch(SimpleNamespace(_data=asked))
    assert last[0] == "" and said in json.loads(last[1])["problems"][0]["message"]
