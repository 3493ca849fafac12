"""From logits to what a decoder sees and a run records, one pass after the other.

1. The rows of the masked positions become log-probabilities and probabilities, a block of rows at
   a time so that a large vocabulary stays within the processor's cache.
2. Every measure of the catalogue reads the block, with the position's last distributions.
   Runs that share a pass are read together: on a small model that costs as much as its passes.
3. The probabilities are kept for the next passes: masked rows only, as fourth roots in half
   precision where the vocabulary is large. A probability itself would be 0 in half precision below
   6e-8, where most of a large vocabulary lives; its fourth root is not above 1e-29, and is off by
   at most one part in 1,000 above 1e-17, so that a drift is off by at most 0.001 nats there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backend.errors import ModelError
from backend.events import Candidates
from backend.measures.base import PAST, Measure, Rows, dot
from backend.measures.catalogue import MEASURES
from backend.sampling import largest
from backend.shapes import Float

BLOCK_ELEMENTS = 1 << 19
"""Elements of one block of rows: 2 MB of float32."""

HALF_ABOVE = 32768
"""Vocabulary size above which kept distributions are float16: 3 x 64 x 126,464 are 49 MB, not 97."""


@dataclass(frozen=True)
class Seen:
    """One pass at the masked positions: what decoders choose from, and what is recorded."""

    positions: tuple[int, ...]
    tokens: tuple[int, ...]
    probs: tuple[float, ...]
    entropies: tuple[float, ...]
    log_probs: Float["M V"]
    scores: dict[str, tuple[float | None, ...]]
    candidates: Candidates


_KeptRow = tuple[torch.Tensor, int]
"""Where a past distribution is kept: a pass's tensor [M, V] (fourth roots in float16), and its row."""


class Observer:
    """Turns the logits of successive passes of one run into what was seen."""

    def __init__(self, mask_id: int, top_k: int, measures: Sequence[Measure] = MEASURES) -> None:
        self.mask_id = mask_id
        self.top_k = top_k
        self.measures = measures
        self._past_of: dict[int, tuple[_KeptRow, ...]] = {}

    def observe(
        self, logits: Float["M V"], positions: tuple[int, ...], masked: tuple[int, ...] | None = None
    ) -> Seen:
        """Return what ``logits`` say at ``positions``, and keep them for the next passes.

        ``masked``: the positions whose past is still wanted, ``positions`` when not given.
        ``logits`` are overwritten. Raises ``ModelError`` when they are not finite numbers.
        """
        return observe_together([Watch(self, positions, positions if masked is None else masked)], logits)[0]

    def past_of(self, position: int) -> tuple[_KeptRow, ...]:
        """Return where the last distributions of a position are kept, newest first."""
        return self._past_of.get(position, ())

    def keep(self, kept: torch.Tensor, begin: int, positions: tuple[int, ...], masked: tuple[int, ...]) -> None:
        """Put the rows from ``begin`` on in front of their positions' past; forget positions that are written."""
        still = set(masked)
        self._past_of = {position: past for position, past in self._past_of.items() if position in still}
        for row, position in enumerate(positions, begin):
            self._past_of[position] = ((kept, row), *self.past_of(position)[: PAST - 1])


@dataclass(frozen=True)
class Watch:
    """Who observes which rows of a pass; ``masked``: the positions whose past is still wanted."""

    observer: Observer
    positions: tuple[int, ...]
    masked: tuple[int, ...]


def observe_together(watches: Sequence[Watch], logits: Float["M V"]) -> list[Seen]:
    """Return what each run saw, their rows one after the other in ``logits``, which are overwritten.

    The runs share their measures. Raises ``ModelError`` when a row is not of finite numbers.
    """
    logits, measures = logits.float(), watches[0].observer.measures
    histories = [watch.observer.past_of(position) for watch in watches for position in watch.positions]
    if not histories:
        return [_nothing(logits, measures) for _ in watches]
    vocab_size = logits.shape[1]
    size = max(1, BLOCK_ELEMENTS // vocab_size)
    k = min(max(2, *(watch.observer.top_k for watch in watches)), vocab_size)
    kept = torch.empty_like(logits, dtype=torch.float16 if vocab_size > HALF_ABOVE else torch.float32)
    parts = [
        _block(logits[begin : begin + size], kept[begin : begin + size], histories[begin : begin + size], k, measures)
        for begin in range(0, len(histories), size)
    ]
    columns = _Columns(
        torch.cat([part.ids for part in parts]).tolist(),
        torch.cat([part.top_probs for part in parts]).tolist(),
        torch.cat([part.entropies for part in parts]).tolist(),
        {item.name: _numbers(torch.cat([part.scores[item.name] for part in parts])) for item in measures},
    )
    found, begin = [], 0
    for watch in watches:
        rows = slice(begin, begin + len(watch.positions))
        watch.observer.keep(kept, begin, watch.positions, watch.masked)
        found.append(_seen(watch, logits[rows], columns, rows))
        begin = rows.stop
    return found


def _block(
    logits: Float["M V"], kept: Float["M V"], histories: Sequence[tuple[_KeptRow, ...]], k: int, measures: Sequence[Measure]
) -> _Block:
    """Return what is read from a block of rows, whose distributions go to ``kept``."""
    rows, ids = _rows(logits, histories, k)
    kept.copy_(rows.probs if kept.dtype == torch.float32 else rows.probs.sqrt().sqrt_())
    return _Block(ids, rows.top_probs, rows.entropies, {item.name: item.values(rows) for item in measures})


def _rows(logits: Float["M V"], histories: Sequence[tuple[_KeptRow, ...]], k: int) -> tuple[Rows, torch.Tensor]:
    """Return the distributions of a block (``logits`` become log-probabilities) and the top ids."""
    best, favourite = logits.max(dim=1, keepdim=True)
    if not bool(torch.isfinite(best).all()):
        raise ModelError("The model gave scores that are not finite numbers.",
                         "Load it in float32, or check its weights.")
    top, ids = largest(logits, k)
    logits -= best
    probs = logits.exp()
    # Without the favourite the sum keeps its relative precision, so that probabilities of
    # 1 - 1e-9 and 1 - 1e-12 can still be told apart and put in order.
    rest = probs.scatter(1, favourite, 0.0).sum(dim=1, keepdim=True)
    logits -= rest.log1p()
    probs /= 1 + rest
    top_probs = (top - best).double().exp() / (1 + rest.double())
    entropies = -dot(probs, logits)
    past, seen = _past(histories, probs)
    return Rows(logits, probs, top_probs, entropies, past, seen), ids


def _past(
    histories: Sequence[tuple[_KeptRow, ...]], like: Float["M V"]
) -> tuple[tuple[Float["M V"], ...], torch.Tensor]:
    """Return the last distributions of each row, newest first, and how many are real."""
    seen = torch.tensor([len(past) for past in histories], device=like.device)
    depth = max(len(past) for past in histories)
    past = tuple(_taken([rows[at] if at < len(rows) else None for rows in histories], like) for at in range(depth))
    return past, seen


def _seen(watch: Watch, log_probs: Float["M V"], columns: _Columns, rows: slice) -> Seen:
    """Return one run's part of the columns."""
    ids, probs = columns.ids[rows], columns.probs[rows]
    best = [1 if row[0] == watch.observer.mask_id else 0 for row in ids]
    k = watch.observer.top_k
    return Seen(
        watch.positions,
        tokens=tuple(row[at] for row, at in zip(ids, best, strict=True)),
        probs=tuple(row[at] for row, at in zip(probs, best, strict=True)),
        entropies=tuple(columns.entropies[rows]),
        log_probs=log_probs,
        scores={name: values[rows] for name, values in columns.scores.items()},
        candidates=Candidates(watch.positions, tuple(tuple(row[:k]) for row in ids), tuple(tuple(row[:k]) for row in probs)),
    )


@dataclass(frozen=True)
class _Columns:
    """Everything read from the rows of a shared pass, in numbers."""

    ids: list[list[int]]
    probs: list[list[float]]
    entropies: list[float]
    scores: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class _Block:
    ids: torch.Tensor
    top_probs: torch.Tensor
    entropies: torch.Tensor
    scores: dict[str, torch.Tensor]


def _taken(rows: list[_KeptRow | None], like: Float["M V"]) -> Float["M V"]:
    """Return these rows as probabilities, zeros for None; neighbours of one pass are a view, not a copy."""
    known = [row for row in rows if row is not None]
    kept = known[0][0]
    numbers = [row[1] if row is not None and row[0] is kept else -1 for row in rows]
    first = numbers[0]
    if first >= 0 and numbers == list(range(first, first + len(numbers))):
        return _unpacked(kept[first : first + len(numbers)])
    if all(row[0] is kept for row in known):
        index = torch.tensor(numbers, device=like.device)
        return _unpacked(kept.index_select(0, index.clamp_min(0)).masked_fill_((index < 0)[:, None], 0.0))
    empty = kept.new_zeros(kept.shape[1])
    return _unpacked(torch.stack([empty if row is None else row[0][row[1]] for row in rows]))


def _unpacked(kept: Float["M V"]) -> Float["M V"]:
    """Return kept rows as float32 probabilities."""
    return kept if kept.dtype == torch.float32 else kept.float().square_().square_()


def _numbers(values: torch.Tensor) -> tuple[float | None, ...]:
    return tuple(None if value != value else value for value in values.tolist())


def _nothing(logits: Float["M V"], measures: Sequence[Measure]) -> Seen:
    """Return what a pass says that computed no masked position."""
    return Seen((), (), (), (), logits, {measure.name: () for measure in measures}, Candidates())


def glance(logits: Float["M V"], positions: tuple[int, ...], mask_id: int) -> Seen:
    """Return what a decoder sees of ``logits`` that are not recorded: no scores, no past."""
    return Observer(mask_id, 2, ()).observe(logits, positions)
