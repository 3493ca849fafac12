"""The queue: fair between visitors, first come first served for each, one place for a group."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from backend.waiting import Waiting


def run(name: str, visitor: str = "", group: str = "") -> SimpleNamespace:
    return SimpleNamespace(id=name, visitor=visitor or group or name, group=group or name)


def waiting(*runs: SimpleNamespace) -> Waiting:
    queue = Waiting()
    for item in runs:
        queue.add((item, None))
    return queue


def names(items: list) -> list[str]:
    return [handle.id for handle, _ in items]


def test_whoever_asked_for_little_comes_before_what_a_visitor_asked_for_beyond_that() -> None:
    queue = waiting(*(run(f"g{at}", "greedy") for at in range(4)), run("a", "a"), run("b", "b"), run("a2", "a"))
    assert names(queue.ordered([])) == ["g0", "a", "b", "g1", "a2", "g2", "g3"]


def test_what_a_visitor_has_running_counts() -> None:
    queue = waiting(run("g1", "greedy"), run("a", "a"))
    assert names(queue.ordered([run("g0", "greedy")])) == ["a", "g1"]


def test_runs_of_nobody_in_particular_come_in_the_order_of_asking() -> None:
    queue = waiting(run("x"), run("y"), run("z"))
    assert names(queue.take([run("w")], 3)) == ["x", "y"] and names(list(queue)) == ["z"]


def test_a_group_takes_one_place_and_its_later_runs_take_no_other() -> None:
    queue = waiting(run("m2", group="many"), run("m3", group="many"), run("x"))
    assert names(queue.take([run("m1", group="many")], 1)) == ["m2", "m3"]


def test_a_group_goes_on_in_its_place_though_somebody_new_waits() -> None:
    queue = waiting(run("m1", group="many"))
    running = [handle for handle, _ in queue.take([], 1)]
    for item in (run("x"), run("m2", group="many")):
        queue.add((item, None))
    assert names(queue.take(running, 1)) == ["m2"] and names(list(queue)) == ["x"]


def test_what_is_dropped_waits_no_more() -> None:
    queue = waiting(run("x"), run("y"))
    assert [handle.id for handle in queue.drop({"x", "nobody"})] == ["x"] and len(queue) == 1


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(1, 4))
def test_nobody_waits_for_more_than_one_run_of_each_other_visitor(visitors: list[str], places: int) -> None:
    """Served one place after the other, a visitor's first run comes after at most one run of every other one."""
    queue = waiting(*(run(str(at), visitor) for at, visitor in enumerate(visitors)))
    served = []
    while len(queue):
        served += [handle.visitor for handle, _ in queue.take([], places)]
    for visitor in set(visitors):
        before = served[: served.index(visitor)]
        assert len(before) == len(set(before))
    assert sorted(served) == sorted(visitors)
