"""A run file may say anything: what is no run is refused, whatever its checksum says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from backend.checking import CANVAS_MAX, check_run
from backend.errors import RunFileError
from backend.events import Branch, Event, to_json
from backend.store import dump_run, parse_run
from tests.app.fakes import recorded
from tests.strategies import runs

START, FIRST, SECOND, END = recorded()


def file_of(records: list[dict[str, Any]]) -> bytes:
    """Return a run file of these objects with a checksum that fits."""
    body = "".join(json.dumps(record) + "\n" for record in records).encode()
    header = {"format": "unmask-run", "version": 1, "events": len(records), "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(header).encode() + b"\n" + body


@given(runs())
def test_every_run_is_a_run(events: tuple[Event, ...]) -> None:
    check_run(events)


def test_a_run_that_was_cut_off_and_one_of_a_search_are_runs() -> None:
    check_run((START,))
    check_run((START, FIRST))
    check_run((START, Branch(1, None, 1, -0.5, True, ((3, 6, 0.5),)), FIRST, SECOND, END))


@pytest.mark.parametrize(("events", "words"), [
    ((FIRST,), "begin with the start"),
    ((START, START), "second run"),
    ((START, END, FIRST), "after its end"),
    ((START, SECOND), "Step 2 stands where step 1 belongs"),
    ((START, replace(FIRST, writes=((5, 6, 0.5),))), "position 5 of a canvas with 5"),
    ((START, replace(FIRST, writes=((-1, 6, 0.5),))), "position -1"),
    ((START, replace(FIRST, writes=((3, 10, 0.5),))), "token outside the vocabulary of 10"),
    ((START, replace(FIRST, erases=(10**9,))), "position 1000000000"),
    ((START, replace(FIRST, rejects=(5,))), "position 5"),
    ((START, replace(FIRST, masked=(2, 3, 99))), "position 99"),
    ((START, replace(FIRST, masked=(3, 2, 4))), "do not rise"),
    ((START, replace(FIRST, scores={"confidence": (0.5,)})), "another length"),
    ((START, replace(FIRST, grows=((0, CANVAS_MAX),))), f"the limit is {CANVAS_MAX}"),
    ((START, replace(FIRST, grows=((0, -1),))), "puts -1 masks"),
    ((START, replace(FIRST, grows=((6, 1),))), "at 6 into a canvas of 5"),
    ((START, replace(FIRST, candidates=replace(FIRST.candidates, positions=(2, 3)))), "do not belong together"),
    ((replace(START, prompt_length=6),), "6 of 5 positions"),
    ((replace(START, blocks=((2, 6),)),), "beyond the canvas"),
    ((replace(START, model=replace(START.model, vocab_size=1)),), "at least 2"),
    ((START, Branch(1, None, 1, -0.5, True, ((9, 6, 0.5),))), "Branch 1 names position 9"),
])
def test_what_cannot_be_folded_is_named(events: tuple[Event, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_run(events)
    with pytest.raises(RunFileError, match=words):
        parse_run(dump_run(events))


def changed(at: int, **values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda records: records[at].update(values)


@pytest.mark.parametrize("spoil", [
    changed(0, canvas="12345"), changed(0, canvas=[4, 5, 9, 9, "9"]), changed(0, canvas=[4, 5, 9, 9, 9.5]), changed(0, canvas=[4, 5, 9, 9, True]),
    changed(0, canvas=None), changed(0, prompt_length="2"), changed(0, texts=[[1, 5]]), changed(0, settings=[1]), changed(0, blocks=[[1]]),
    changed(0, model=None), changed(0, request={}), changed(1, scores={"confidence": [0.5, "x", None]}), changed(1, scores=3),
    changed(1, scores={"confidence": [0.5, 1e999, None]}), changed(1, elapsed_s=float("nan")), changed(1, notes={"why": float("inf")}),
    changed(1, notes={"why": [{"deep": 1e999}]}), changed(1, notes="why"), changed(1, writes=[[3, 6]]), changed(1, writes=[[3, 6, None]]),
    changed(1, writes=[[3, 2**70, 0.5]]), changed(1, index=2**70), changed(1, grows=[[0, 10**30]]), changed(1, colour=1),
    changed(1, candidates={"positions": [2], "ids": [[None]], "probabilities": [[0.5]]}), changed(3, text=5), changed(3, totals=[]),
    lambda records: records[1].pop("passes"), lambda records: records[0]["request"].update(fixed=[["x", 1]]),
    lambda records: records[0]["request"].update(prompt=[1]),
])
def test_a_value_of_the_wrong_kind_is_refused(spoil: Callable[[list[dict[str, Any]]], None]) -> None:
    records = [json.loads(json.dumps(to_json(event))) for event in recorded()]
    assert parse_run(file_of(records)) == recorded()
    spoil(records)
    with pytest.raises(RunFileError) as refused:
        parse_run(file_of(records))
    assert len(str(refused.value)) < 400
