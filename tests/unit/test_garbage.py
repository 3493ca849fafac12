"""What stays is not looked through again, and what comes later is found."""

from __future__ import annotations

import gc
import weakref

from backend.garbage import keep_for_good


class Ring:
    """Something that only a search can free."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_left_out_of_later_searches() -> None:
    stays = Ring()
    keep_for_good()
    assert not any(item is stays for item in gc.get_objects())
    assert gc.get_freeze_count() > 10_000


def test_a_ring_that_came_later_is_freed_by_the_next_search() -> None:
    keep_for_good()
    left = weakref.ref(Ring())
    gc.collect()
    assert left() is None
