"""From logits to what a decoder sees and a run records, one pass after the other.

1. The rows of the masked positions become log-probabilities and probabilities, a block of rows at
   a time so that a large vocabulary stays within the processor's cache.
2. Every measure of the catalogue reads the block, with the position's last distributions.
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
        self._mask_id = mask_id
        self._top_k = top_k
        self._measures = measures
        self._past_of: dict[int, tuple[_KeptRow, ...]] = {}

    def observe(
        self, logits: Float["M V"], positions: tuple[int, ...], masked: tuple[int, ...] | None = None
    ) -> Seen:
        """Return what ``logits`` say at ``positions``, and keep them for the next passes.

        ``masked``: the positions whose past is still wanted, ``positions`` when not given.
        ``logits`` are overwritten. Raises ``ModelError`` when they are not finite numbers.
        """
        logits = logits.float()
        if not positions:
            return _nothing(logits, self._measures)
        count, vocab_size = logits.shape
        size = max(1, BLOCK_ELEMENTS // vocab_size)
        half = vocab_size > HALF_ABOVE
        kept = torch.empty_like(logits, dtype=torch.float16 if half else torch.float32)
        parts = [
            self._block(logits[begin : begin + size], kept[begin : begin + size], positions[begin : begin + size])
            for begin in range(0, count, size)
        ]
        self._keep(kept, positions, positions if masked is None else masked)
        ids = torch.cat([part.ids for part in parts])
        probs = torch.cat([part.top_probs for part in parts])
        scores = {
            measure.name: torch.cat([part.scores[measure.name] for part in parts])
            for measure in self._measures
        }
        entropies = torch.cat([part.entropies for part in parts])
        return self._seen(positions, logits, ids, probs, entropies, scores)

    def _block(self, logits: Float["M V"], kept: Float["M V"], positions: tuple[int, ...]) -> _Block:
        rows, ids = self._rows(logits, positions)
        kept.copy_(rows.probs if kept.dtype == torch.float32 else rows.probs.sqrt().sqrt_())
        return _Block(ids, rows.top_probs, rows.entropies, {item.name: item.values(rows) for item in self._measures})

    def _rows(self, logits: Float["M V"], positions: tuple[int, ...]) -> tuple[Rows, torch.Tensor]:
        """Return the distributions of a block (``logits`` become log-probabilities) and the top ids."""
        best, favourite = logits.max(dim=1, keepdim=True)
        if not bool(torch.isfinite(best).all()):
            raise ModelError("The model gave scores that are not finite numbers.",
                             "Load it in float32, or check its weights.")
        top, ids = _top(logits, min(max(self._top_k, 2), logits.shape[1]))
        logits -= best
        probs = logits.exp()
        # Without the favourite the sum keeps its relative precision, so that probabilities of
        # 1 - 1e-9 and 1 - 1e-12 can still be told apart and put in order.
        rest = probs.scatter(1, favourite, 0.0).sum(dim=1, keepdim=True)
        logits -= rest.log1p()
        probs /= 1 + rest
        top_probs = (top - best).double().exp() / (1 + rest.double())
        entropies = -dot(probs, logits)
        past, seen = self._past(positions, probs)
        return Rows(logits, probs, top_probs, entropies, past, seen), ids

    def _keep(self, kept: torch.Tensor, positions: tuple[int, ...], masked: tuple[int, ...]) -> None:
        """Put these rows in front of their positions' past; forget positions that are written."""
        still = set(masked)
        self._past_of = {position: past for position, past in self._past_of.items() if position in still}
        for row, position in enumerate(positions):
            older = self._past_of.get(position, ())
            self._past_of[position] = ((kept, row), *older[: PAST - 1])

    def _past(
        self, positions: tuple[int, ...], like: Float["M V"]
    ) -> tuple[tuple[Float["M V"], ...], torch.Tensor]:
        """Return the last distributions of each position, newest first, and how many are real."""
        each = [self._past_of.get(position, ()) for position in positions]
        seen = torch.tensor([len(past) for past in each], device=like.device)
        depth = max(len(past) for past in each)
        past = tuple(_taken([rows[at] if at < len(rows) else None for rows in each], like) for at in range(depth))
        return past, seen

    def _seen(
        self, positions: tuple[int, ...], log_probs: Float["M V"], ids: torch.Tensor,
        probs: torch.Tensor, entropies: torch.Tensor, scores: dict[str, torch.Tensor],
    ) -> Seen:
        id_rows, prob_rows = ids.tolist(), probs.tolist()
        best = [1 if row[0] == self._mask_id else 0 for row in id_rows]
        k = min(self._top_k, ids.shape[1])
        return Seen(
            positions,
            tokens=tuple(row[at] for row, at in zip(id_rows, best, strict=True)),
            probs=tuple(row[at] for row, at in zip(prob_rows, best, strict=True)),
            entropies=tuple(entropies.tolist()),
            log_probs=log_probs,
            scores={name: _numbers(values) for name, values in scores.items()},
            candidates=Candidates(
                positions,
                tuple(tuple(row[:k]) for row in id_rows),
                tuple(tuple(row[:k]) for row in prob_rows),
            ),
        )


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


def _top(logits: Float["M V"], k: int) -> tuple[Float["M K"], torch.Tensor]:
    """Return the k largest logits and their ids, falling; equal logits by rising id.

    topk leaves open which of several equal values it takes and in which order, so the rows where
    that matters, up to and including the cut, are sorted in full.
    """
    top, ids = logits.topk(min(k + 1, logits.shape[1]), dim=1)
    tied = (top[:, 1:] == top[:, :-1]).any(dim=1)
    top, ids = top[:, :k], ids[:, :k]
    if bool(tied.any()):
        rising = logits[tied].sort(dim=1, descending=True, stable=True)
        top[tied], ids[tied] = rising.values[:, :k], rising.indices[:, :k]
    return top, ids


def _numbers(values: torch.Tensor) -> tuple[float | None, ...]:
    return tuple(None if value != value else value for value in values.tolist())


def _nothing(logits: Float["M V"], measures: Sequence[Measure]) -> Seen:
    """Return what a pass says that computed no masked position."""
    return Seen((), (), (), (), logits, {measure.name: () for measure in measures}, Candidates())


def glance(logits: Float["M V"], positions: tuple[int, ...], mask_id: int) -> Seen:
    """Return what a decoder sees of ``logits`` that are not recorded: no scores, no past."""
    return Observer(mask_id, 2, ()).observe(logits, positions)
