"""Finished runs are kept within a number and a size; the oldest go first and the newest stays."""

from __future__ import annotations

import sys

import pytest

from backend import RunRequest, run
from backend.handle import RunHandle
from backend.kept import KeptRuns, size_of


def keeping(kept: KeptRuns, events: tuple, count: int) -> list[int]:
    """Return which of ``count`` equal runs, ended one after the other, are still found."""
    handles = [RunHandle(None, "m", RunRequest("llada")) for _ in range(count)]
    for handle in handles:
        kept.add(handle)
    for handle in handles:
        kept.ended(handle, events)
    return [at for at, handle in enumerate(handles) if kept.find(handle.id) is handle]


@pytest.fixture(scope="module")
def events(shared_fake) -> tuple:
    return tuple(run(shared_fake, RunRequest("llada", prompt="2+2=", length=16)))


def test_the_number_bounds_them(events):
    assert keeping(KeptRuns(3, 1 << 40), events, 5) == [2, 3, 4]


def test_the_size_bounds_them(events):
    assert keeping(KeptRuns(100, int(2.5 * size_of(events))), events, 5) == [3, 4]


def test_a_run_larger_than_all_there_is_stays_until_the_next(events):
    assert keeping(KeptRuns(100, 1), events, 3) == [2]


def test_runs_that_go_on_are_never_forgotten(events):
    kept = KeptRuns(1, 1)
    going = RunHandle(None, "m", RunRequest("llada"))
    kept.add(going)
    assert keeping(kept, events, 3) == [2] and kept.find(going.id) is going


def memory(value: object, seen: set[int]) -> int:
    """Return what an object and all that it holds take, each counted once."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    inside = list(vars(value).values()) if hasattr(value, "__dataclass_fields__") else []
    inside += list(value) if isinstance(value, tuple) else [part for pair in value.items() for part in pair] if isinstance(value, dict) else []
    return sys.getsizeof(value) + sum(memory(item, seen) for item in inside)


@pytest.mark.parametrize("length", [4, 64])
def test_the_size_of_a_run_is_about_what_it_takes(shared_fake, length):
    events = tuple(run(shared_fake, RunRequest("llada", prompt="2+2=", length=length)))
    assert 0.5 < size_of(events) / memory(events, set()) < 3
