"""Events survive a JSON round trip exactly, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.events import SCHEMA_VERSION, Branch, Event, from_json, to_json, to_lines
from tests.strategies import runs


@given(runs())
def test_a_run_survives_json_exactly(events: tuple[Event, ...]) -> None:
    assert tuple(from_json(line) for line in to_lines(events)) == events
    assert tuple(from_json(json.loads(json.dumps(to_json(event)))) for event in events) == events


@given(runs())
def test_json_of_an_event_is_one_line_of_standard_json(events: tuple[Event, ...]) -> None:
    for line in to_lines(events):
        assert "\n" not in line
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none() | st.integers(0, 9))
def test_a_branch_survives_json_exactly(score: float, kept: bool, parent: int | None) -> None:
    branch = Branch(10, parent, 3, score, kept, ((1, 2, 0.5),))
    assert from_json(json.dumps(to_json(branch))) == branch


@given(runs())
def test_events_are_frozen_through_and_through(events: tuple[Event, ...]) -> None:
    for event in map(from_json, to_lines(events)):
        hash(tuple(value for value in vars(event).values() if isinstance(value, tuple)))
        with pytest.raises(AttributeError):
            event.kind = "other"


@pytest.mark.parametrize(("record", "words"), [
    ({"kind": "stop"}, "'stop' is unknown; the kinds are start, step, branch, end"),
    ({}, "None is unknown"),
    ({"kind": "start", "schema_version": 99}, f"version 99 is not {SCHEMA_VERSION}"),
])
def test_what_is_no_event_of_this_version_is_refused(record: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(record)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"kind": "step"}', '{"kind": "end", "reason": 1, "x": 2}'])
def test_what_is_no_event_at_all_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_json(text)
