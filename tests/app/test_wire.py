"""The wire format: what the browser gets is what the run holds, to 16 bits of each score's range."""

from __future__ import annotations

import base64
import json

import numpy
from hypothesis import given
from hypothesis import strategies as st

from backend.events import End, Event, Step, Totals
from backend.measures.catalogue import MEASURES
from components import wire
from tests.app.fakes import RUN_ID, recorded


def unpacked(packed: str) -> numpy.ndarray:
    return numpy.frombuffer(base64.b64decode(packed), dtype="<u2")


@given(st.lists(st.none() | st.floats(0, 4), min_size=1, max_size=50), st.integers(0, 20))
def test_a_packed_score_is_right_to_half_a_step_of_its_range(values: list, gap: int) -> None:
    length = len(values) + gap
    row = unpacked(wire.packed(range(len(values)), values, (0.0, 4.0), length))
    assert len(row) == length
    for shown, value in zip(row, [*values, *[None] * gap], strict=True):
        if value is None:
            assert shown == wire.NO_SCORE
        else:
            assert abs(shown / 65534 * 4.0 - value) <= 4.0 / 131068 + 1e-12


def test_values_beyond_the_range_are_shown_at_its_ends() -> None:
    assert list(unpacked(wire.packed((0, 1), (-1.0, 9.0), (0.0, 1.0), 2))) == [0, 65534]


def test_a_run_travels_as_numbered_messages_of_plain_json(events: tuple[Event, ...]) -> None:
    message = json.loads(wire.batch([RUN_ID], 3, wire.Encoder(RUN_ID).encode(events)))
    assert (message["v"], message["n"], message["runs"]) == (1, 3, [RUN_ID])
    assert [event["kind"] for event in message["events"]] == ["start", "step", "step", "end"]


def test_the_start_says_how_to_read_everything_after_it(events: tuple[Event, ...]) -> None:
    start = wire.Encoder(RUN_ID).encode(events)[0]
    assert start["run"] == RUN_ID and start["canvas"] == (4, 5, 9, 9, 9)
    assert (start["prompt_length"], start["length"], start["mask"], start["eos"]) == (2, 3, 9, 1)
    assert start["texts"] == {"4": "say", "5": ":", "9": "▒"}
    assert start["mark"] == "sourced" and start["task"] is None
    assert [item["name"] for item in start["measures"]] == [measure.name for measure in MEASURES]
    assert all(item["low"] < item["high"] < float("inf") for item in start["measures"])


def test_candidates_travel_for_written_positions_only(events: tuple[Event, ...]) -> None:
    step = wire.Encoder(RUN_ID).encode(events)[1]
    assert [item[0] for item in step["candidates"]] == [3]
    assert [item[0] for item in wire.candidates(events[1])] == [2, 3, 4]


def test_scores_have_one_value_per_canvas_position_even_after_the_canvas_grew() -> None:
    start, first, second, end = recorded()
    grown = Step(1, 1, 5, 0.1, grows=((5, 2),), masked=(2,), scores={"confidence": (0.5,)})
    later = Step(2, 2, 12, 0.2, masked=(6,), scores={"confidence": (1.0,)})
    encoded = wire.Encoder(RUN_ID).encode((start, grown, later))
    assert len(unpacked(encoded[1]["scores"]["confidence"])) == 5
    assert list(unpacked(encoded[2]["scores"]["confidence"])) == [wire.NO_SCORE] * 6 + [65534]


def test_a_finished_answer_to_a_known_task_is_judged() -> None:
    start = recorded("sum: 12+34=")[0]
    totals = Totals(1, 1, 1, 0.1, 3, 3.0, 3, 3.0, 0)
    right = wire.end(End("done", "046", totals), start)["verdict"]
    wrong = wire.end(End("done", "047", totals), start)["verdict"]
    assert right["task"] == "sum" and right["right"] is True
    assert wrong["right"] is False and wrong["why"]


def test_an_unfinished_answer_is_not_judged() -> None:
    start = recorded("sum: 12+34=")[0]
    totals = Totals(1, 1, 1, 0.1, 1, 1.0, 1, 1.0, 0)
    for reason in ("cancelled", "budget", "error"):
        assert wire.end(End(reason, "0", totals), start)["verdict"] is None


def test_a_prompt_that_nothing_can_judge_has_no_verdict(events: tuple[Event, ...]) -> None:
    assert wire.Encoder(RUN_ID).encode(events)[-1]["verdict"] is None
