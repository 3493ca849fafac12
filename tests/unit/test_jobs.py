"""Explanations on threads: one computes at a time, in turn; the newest of a place wins; leaving stops."""

from __future__ import annotations

import threading

import pytest

from backend.errors import BusyError
from backend.explanations.base import Progress
from backend.explanations.jobs import Bureau
from backend.explanations.latest import Superseded
from tests.conftest import WAIT_S


def counted(name: str, pieces: int, log: list[str], gate: threading.Event | None = None, inside: threading.Event | None = None):
    """Yield ``pieces`` times; the first piece says that it is ``inside`` and waits for ``gate``."""
    for piece in range(pieces):
        if inside is not None:
            inside.set()
        if gate is not None and piece == 0:
            assert gate.wait(WAIT_S)
        log.append(name)
        yield Progress(piece, pieces)
    return name


def test_two_works_take_turns_and_neither_computes_beside_the_other() -> None:
    bureau, log, gate, inside = Bureau(), [], threading.Event(), threading.Event()
    first = bureau.begin("a", counted("first", 4, log, gate, inside))
    assert inside.wait(WAIT_S)
    second = bureau.begin("b", counted("second", 4, log))
    while not bureau._turn._waiting:  # the second one waits although it could go
        assert not second.over.wait(0.001)
    assert log == []
    gate.set()
    assert first.over.wait(WAIT_S) and second.over.wait(WAIT_S)
    assert (first.result, second.result) == ("first", "second")
    assert log[:6] == ["first", "second"] * 3


def test_works_that_only_wait_for_others_go_on_side_by_side() -> None:
    bureau, log, gate, inside = Bureau(in_turn=False), [], threading.Event(), threading.Event()
    first = bureau.begin("a", counted("first", 2, log, gate, inside))
    assert inside.wait(WAIT_S)
    second = bureau.begin("b", counted("second", 3, log))
    assert second.over.wait(WAIT_S) and second.result == "second" and not first.over.is_set()
    gate.set()
    assert first.over.wait(WAIT_S) and first.result == "first" and log == ["second"] * 3 + ["first"] * 2


def test_the_newer_work_of_a_place_stops_the_older_and_no_other() -> None:
    bureau, log, gate = Bureau(), [], threading.Event()
    older = bureau.begin("a", counted("older", 100, log, gate))
    other, newer = bureau.begin("b", counted("other", 2, log)), bureau.begin("a", counted("newer", 2, log))
    gate.set()
    assert all(job.over.wait(WAIT_S) for job in (older, other, newer))
    assert isinstance(older.error, Superseded) and log.count("older") == 1
    assert (other.result, newer.result) == ("other", "newer")


def test_a_reader_who_leaves_stops_the_work_at_its_next_piece() -> None:
    log, gate = [], threading.Event()
    job = Bureau().begin("a", counted("work", 100, log, gate))
    job.leave()
    gate.set()
    assert job.over.wait(WAIT_S) and isinstance(job.error, Superseded) and log == ["work"]


def test_too_many_works_are_refused_with_the_limit_and_end_makes_room() -> None:
    bureau, log, gate = Bureau(jobs_max=1), [], threading.Event()
    ended = threading.Event()
    job = bureau.begin("a", counted("one", 1, log, gate))
    with pytest.raises(BusyError, match="the limit is 1"):
        bureau.begin("b", counted("two", 1, log))
    gate.set()
    assert job.over.wait(WAIT_S)
    while not ended.is_set():  # the place is freed by the job's own thread, right after its end
        try:
            assert bureau.begin("b", counted("two", 1, log)).over.wait(WAIT_S)
            ended.set()
        except BusyError:
            continue


def test_a_failure_becomes_a_message_without_its_details() -> None:
    def broken():
        yield Progress(0, 1)
        raise ValueError("secret")

    job = Bureau().begin("a", broken())
    assert job.over.wait(WAIT_S) and "secret" not in str(job.error) and job.error.remedy
