"""The tape of one run: the canvas as it stands, the counts so far, and the events they become."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from backend.canvas import OPEN, answer_ids, apply
from backend.events import Candidates, End, RunRequest, Start, Step, Totals, Write
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
        mask = self._mask
        begin = self._start.prompt_length
        return tuple(at for at in range(begin, len(self.canvas)) if self.canvas[at] == mask)

    def start(
        self, request: RunRequest, canvas: tuple[int, ...], prompt_length: int,
        blocks: tuple[tuple[int, int], ...], settings: Mapping[str, Any],
    ) -> Start:
        """Return the ``Start`` of this run and set the canvas to it."""
        self.canvas = list(canvas)
        info = self._model.info()
        self._mask = info.mask_id if info.mask_id is not None else OPEN
        self._start = Start(
            request, replace(info, mask_id=self._mask), canvas, prompt_length, blocks, settings,
            self._texts((*canvas, self._mask)),
        )
        return self._start

    def count_pass(self, rows: int) -> None:
        """Count one forward pass over ``rows`` sequences x positions."""
        self.passes += 1
        self.rows += rows

    def step(
        self, seen: Seen | None, writes: tuple[Write, ...], *, erases: tuple[int, ...] = (),
        drafts: tuple[Write, ...] = (), rejects: tuple[int, ...] = (), notes: Mapping[str, Any],
        cache_ages: tuple[int | None, ...] = (), scores: Mapping[str, tuple[float | None, ...]] | None = None,
    ) -> Step:
        """Return the step that makes these changes, and make them on the canvas.

        ``scores`` are the decoder's own, aligned with ``seen.positions``. Masked positions that the
        pass did not compute get no score.
        """
        self._steps += 1
        masked = self.masked()
        shown = [token for _, token, _ in (*writes, *drafts)]
        shown += [token for row in seen.candidates.ids for token in row] if seen else []
        named = {**seen.scores, **(scores or {})} if seen else {}
        step = Step(
            self._steps, self.passes, self.rows, self.elapsed_s, writes, erases, drafts, rejects,
            masked=masked, scores={name: _spread(values, seen.positions, masked) for name, values in named.items()},
            candidates=seen.candidates if seen else Candidates(), cache_ages=cache_ages,
            notes=notes, texts=self._texts(shown),
        )
        self._written += len(writes) - len(erases)
        self.canvas = apply(self.canvas, step, self._mask)
        return step

    def end(self, reason: str, message: str = "") -> End:
        """Return the ``End`` of this run; masks that are left do not count as answer."""
        answer, tail = answer_ids(self.canvas, self._start)
        answer = tuple(token for token in answer if token != self._mask)
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
        return {token: "" if token == OPEN else self._model.token(token) for token in sorted(new)}


def _spread(
    values: tuple[float | None, ...], positions: tuple[int, ...], masked: tuple[int, ...]
) -> tuple[float | None, ...]:
    """Return the values of ``positions`` at the places of ``masked``, None elsewhere."""
    if positions == masked:
        return values
    known = dict(zip(positions, values, strict=True))
    return tuple(known.get(position) for position in masked)
