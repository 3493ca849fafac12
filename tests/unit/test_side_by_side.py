"""Passes side by side: the same numbers, in the same order, and nothing left running."""

import threading

import pytest
import torch

from backend.explanations import side_by_side as module
from backend.explanations.gradients import mean_gradients, nodes
from backend.explanations.base import finished
from backend.explanations.objectives import Canvas, Target
from backend.explanations.jobs import Bureau
from backend.explanations.side_by_side import places, side_by_side
from backend.models.loading import load_model


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_place_needs_a_core_and_rows(two_threads: None) -> None:
    assert [places(rows, torch.device("cpu")) for rows in (1, 1023, 1024, 9999)] == [1, 1, 2, 2]
    assert places(9999, torch.device("cuda")) == 1


def test_parts_come_in_their_order_and_so_many_at_a_time() -> None:
    second = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert second.wait(60)  # the first cannot end before the second has begun
        second.set()
        return part * part

    assert list(side_by_side(work, range(7), 2)) == [part * part for part in range(7)]


def test_closing_waits_for_what_is_under_way_and_begins_nothing_more() -> None:
    begun: list[int] = []
    found = side_by_side(lambda part: begun.append(part) or part, range(100), 2)
    assert next(found) == 0
    found.close()
    after = list(begun)
    assert len(after) <= 3
    assert list(side_by_side(lambda part: part, range(4), 2)) == [0, 1, 2, 3]
    assert begun == after


def test_what_a_part_raises_is_raised_here() -> None:
    def work(part: int) -> int:
        if part == 3:
            raise ValueError("three")
        return part

    seen = []
    with pytest.raises(ValueError, match="three"):
        for part in side_by_side(work, range(9), 2):
            seen.append(part)
    assert seen == [0, 1, 2]


def test_two_places_give_what_one_gives_and_leave_the_number_of_threads_alone(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model("tiny-diffusion")
    ids = model.encode("sum: 12+34=") + (model.mask_id,) * 4
    canvas = Canvas(model, tuple(ids), (Target(len(ids) - 1, ids[0]), Target(len(ids) - 2, ids[1])))
    monkeypatch.setattr(module, "ROWS_EACH", 32)
    assert places(canvas.rows, torch.device("cpu")) == 2
    together = finished(mean_gradients(canvas, *nodes(32, "mask")))
    assert torch.get_num_threads() == 2
    threads: list[int] = []
    fresh = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert threads == [2]
    monkeypatch.setattr(module, "ROWS_EACH", 10**9)
    alone = finished(mean_gradients(canvas, *nodes(32, "mask")))
    assert (together - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_one_that_hangs_keeps_nothing_from_the_next() -> None:
    hanging, release = threading.Event(), threading.Event()

    def hang(part: int) -> None:
        hanging.set()
        release.wait(60)

    lost = threading.Thread(target=lambda: list(side_by_side(hang, range(4), 2)), daemon=True)
    lost.start()
    assert hanging.wait(60)
    assert list(side_by_side(lambda part: part, range(4), 2)) == [0, 1, 2, 3]
    release.set()
    lost.join(60)
    parts = [thread for thread in threading.enumerate() if thread.name == "unmask-explain-part"]
    for thread in parts:
        thread.join(60)
    assert not any(thread.is_alive() for thread in [lost, *parts])


@pytest.mark.parametrize(("asked", "expected"), [(0, (2, [4, 4])), (1, (1, [1])), (2, (2, [1, 1])), (5, (2, [2, 2]))])
def test_an_explanation_takes_its_cores_whatever_the_decoding_thread_has_set(
    asked: int, expected: tuple[int, list[int]], two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.cores.CORES", 8)
    decoding = threading.Thread(target=lambda: torch.set_num_threads(1))  # sets the number of every later thread
    decoding.start()
    decoding.join()
    canvas = Canvas(load_model("tiny-diffusion"), (5, 6, 2), (Target(2, 5),))

    def work():
        yield from ()
        count = places(canvas.rows, torch.device("cpu"))
        return count, list(side_by_side(lambda part: torch.get_num_threads(), range(count), count))

    job = Bureau(threads=asked).begin("a", work())
    assert job.over.wait(60) and job.error is None and job.result == expected


def test_a_bound_on_the_cores_holds_where_nothing_was_decoded_before(two_threads: None) -> None:
    def work():
        yield from ()
        return torch.get_num_threads(), places(9999, torch.device("cpu"))

    job = Bureau(threads=1).begin("a", work())
    assert job.over.wait(60) and job.result == (1, 1)


def test_a_thread_that_cannot_be_started_leaves_none_waiting(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Second(threading.Thread):
        begun = 0

        def start(self) -> None:
            Second.begun += 1
            if Second.begun == 2:
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(threading, "Thread", Second)
    with pytest.raises(RuntimeError, match="new thread"):
        list(side_by_side(lambda part: part, range(4), 2))
    for thread in threading.enumerate():
        if thread.name == "unmask-explain-part":
            thread.join(60)
            assert not thread.is_alive()
    assert torch.get_num_threads() == 2
