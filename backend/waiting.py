"""Who comes next: the run of the visitor who has the least under way, then of the one who was served longest ago.

So a visitor who asks for much waits for himself: whoever asks for little gets the next place that is free,
however many runs of one other visitor were asked for before. Runs of one group take one place between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from backend.handle import RunHandle

Item = tuple[RunHandle, object]
"""A run and what is needed to begin it."""


class Waiting:
    """Runs that wait for a place among the running; used under its engine's lock."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._served: dict[str, int] = {}
        """Of visitors who have something under way: the number of the place that they got last."""
        self._places = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        """Yield the runs in the order of asking."""
        return iter(self._items)

    def add(self, item: Item) -> None:
        """Let a run wait."""
        self._items.append(item)

    def drop(self, chosen: Iterable[str]) -> list[RunHandle]:
        """Take out the runs with these ids and return them."""
        ids = set(chosen)
        dropped = [handle for handle, _ in self._items if handle.id in ids]
        self._items = [item for item in self._items if item[0].id not in ids]
        return dropped

    def ordered(self, running: Iterable[RunHandle]) -> list[Item]:
        """Return the runs in the order in which they get a place.

        A run's rank is the number of other groups of its visitor that run or were asked for before it. Of
        equal ranks the visitor comes first who was served longest ago, or never, then the run that was asked for first.
        """
        groups: dict[str, dict[str, int]] = {}
        for handle in running:
            groups.setdefault(handle.visitor, {})[handle.group] = 0  # it has its place: more of it take no other
        ranks = []
        for handle, _ in self._items:
            own = groups.setdefault(handle.visitor, {})
            ranks.append((own.setdefault(handle.group, len(own)), self._served.get(handle.visitor, 0)))
        return [item for _, item in sorted(zip(ranks, self._items, strict=True), key=lambda pair: pair[0])]

    def take(self, running: Iterable[RunHandle], most: int) -> list[Item]:
        """Take out and return the runs that get a place now, when ``most`` groups may run."""
        running = list(running)
        groups = {handle.group for handle in running}
        taken = []
        for item in self.ordered(running):
            if item[0].group not in groups and len(groups) >= most:
                continue  # a later one may belong to a group that has its place
            groups.add(item[0].group)
            taken.append(item)
        self._note(taken, running)
        self.drop(handle.id for handle, _ in taken)
        return taken

    def _note(self, taken: list[Item], running: list[RunHandle]) -> None:
        for handle, _ in taken:
            self._places += 1
            self._served[handle.visitor] = self._places
        here = {handle.visitor for handle in (*running, *(item for item, _ in self._items))}
        self._served = {visitor: place for visitor, place in self._served.items() if visitor in here}


def groups_of(items: Iterable[Item]) -> set[str]:
    """Return the groups of these runs; a run by itself is one of its own."""
    return {handle.group for handle, _ in items}
