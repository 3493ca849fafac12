"""The newer request wins: an explanation stops at its next chunk once another has been asked for."""

from __future__ import annotations

import threading
from typing import TypeVar

from backend.errors import AppError
from backend.explanations.base import Explaining, Progress, Watcher, finished

Result = TypeVar("Result")


class Superseded(AppError):
    """A newer explanation was asked for while this one ran."""

    code = "superseded"


class Latest:
    """One place where explanations are shown: of the works given to it only the last runs to its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest = 0

    def run(self, work: Explaining[Result], watch: Watcher | None = None, number: int | None = None) -> Result:
        """Run ``work`` and return its result; raises ``Superseded`` once ``run`` or ``stop`` is called again.

        ``number``: what ``stop`` returned when the work was asked for, where it runs on another thread later.
        """
        mine = self.stop() if number is None else number

        def listening(progress: Progress) -> None:
            if mine != self._newest:
                raise Superseded("This explanation was stopped because a newer one was asked for.", "Wait for the newer one.")
            if watch is not None:
                watch(progress)

        return finished(work, listening)

    def stop(self) -> int:
        """Stop whatever runs at its next chunk; return the number of the work that comes next."""
        with self._lock:
            self._newest += 1
            return self._newest
