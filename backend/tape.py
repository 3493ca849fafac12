"""The tape of one run: the canvas as it stands, the counts so far, and the events they become."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backend.canvas import answer_ids, apply
from backend.events import End, RunRequest, Start, Step, Totals, Write
from backend.models.base import Model
from backend.observing import Seen


class Tape:
    """Writes the events of one run; the only place where a run's counters are kept."""

    def __init__(self, model: Model, clock: Callable[[], float] = time.perf_counter) -> None:
        self._model = model
        self._clock = clock
        self._began = clock()
        self._shown: set[int] = set()
        self._steps = 0
        self._written = 0
        self.passes = 0
        self.rows = 0
        self.canvas: list[int] = []

    @property
    def elapsed_s(self) -> float:
        """Seconds since the tape was made."""
        return self._clock() - self._began

    @property
    def next_step(self) -> int:
        """The number of the step that comes next, from 1."""
        return self._steps + 1

    def masked(self) -> tuple[int, ...]:
        """Return the response positions that hold a mask, in order."""
        mask = self._model.mask_id
        begin = self._start.prompt_length
        return tuple(at for at in range(begin, len(self.canvas)) if self.canvas[at] == mask)

    def start(
        self, request: RunRequest, canvas: tuple[int, ...], prompt_length: int,
        blocks: tuple[tuple[int, int], ...], settings: Mapping[str, Any],
    ) -> Start:
        """Return the ``Start`` of this run and set the canvas to it."""
        self.canvas = list(canvas)
        self._start = Start(
            request, self._model.info(), canvas, prompt_length, blocks, settings,
            self._texts((*canvas, self._model.mask_id)),
        )
        return self._start

    def count_pass(self, rows: int) -> None:
        """Count one forward pass over ``rows`` sequences x positions."""
        self.passes += 1
        self.rows += rows

    def step(
        self, seen: Seen, writes: tuple[Write, ...], *, erases: tuple[int, ...] = (),
        notes: Mapping[str, Any],
    ) -> Step:
        """Return the step that makes these changes, and make them on the canvas."""
        self._steps += 1
        shown = [token for _, token, _ in writes]
        shown += [token for row in seen.candidates.ids for token in row]
        step = Step(
            self._steps, self.passes, self.rows, self.elapsed_s, writes, erases,
            masked=seen.positions, scores=seen.scores, candidates=seen.candidates,
            notes=notes, texts=self._texts(shown),
        )
        self._written += len(writes)
        self.canvas = apply(self.canvas, step, self._model.mask_id)
        return step

    def end(self, reason: str, message: str = "") -> End:
        """Return the ``End`` of this run; masks that are left do not count as answer."""
        answer, tail = answer_ids(self.canvas, self._start)
        mask = self._model.mask_id
        answer = tuple(token for token in answer if token != mask)
        return End(reason, self._model.decode(answer), self._totals(len(answer), tail), message)

    def _totals(self, answer: int, tail: int) -> Totals:
        passes = max(self.passes, 1)
        return Totals(
            self._steps, self.passes, self.rows, self.elapsed_s, self._written,
            self._written / passes, answer, answer / passes, tail,
        )

    def _texts(self, ids: Iterable[int | None]) -> dict[int, str]:
        new = {token for token in ids if token is not None and token not in self._shown}
        self._shown |= new
        return {token: self._model.token(token) for token in sorted(new)}
