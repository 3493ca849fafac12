"""Forward passes as runs ask for them, and how those of several runs become one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from backend.errors import ModelError
from backend.models.base import Cache, Evict, Model, ModelOutput
from backend.observing import BLOCK_ELEMENTS, Seen, Watch, observe_together
from backend.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Pass:
    """A forward pass that a run asks for; the fields mean what they mean to ``Model.forward``.

    ``project`` always chooses the rows whose logits come back, [R, V] in row-major order.
    """

    canvases: Int["B L"]
    project: Bool["B L"]
    allowed: Bool["B L L"] | None = None
    """Which column each row may see."""
    compute: tuple[int, ...] | None = None
    cache: Cache | None = None
    keep_cache: bool = False
    hidden_states: bool = False
    attentions: bool = False
    conditioning: Float["B R V"] | None = None
    """Logits of the pass before, for a model that conditions on itself."""
    evict: Evict | None = None
    """Leaves rows out from the second layer on; such a pass runs alone."""
    watch: Watch | None = None
    """Who observes the projected rows, so that runs which share the pass are observed together."""

    @property
    def rows(self) -> int:
        """Sequences x positions that this pass computes."""
        count, length = self.canvases.shape
        return count * (length if self.compute is None else len(self.compute))

    @property
    def kind(self) -> Hashable:
        """Passes of one kind can be run as one batch."""
        return (
            self.canvases.shape[1], self.compute, self.allowed is None,
            None if self.cache is None else self.cache.length, self.keep_cache, self.hidden_states, self.attentions,
            self.conditioning is None, self.watch is None, None if self.evict is None else id(self.evict),
        )


@dataclass(frozen=True)
class Reply(ModelOutput):
    """What a pass gave; ``seen`` where its rows were observed in the pass (``logits`` are then overwritten)."""

    seen: Seen | None = None


@torch.no_grad()
def forward_together(model: Model, passes: Sequence[Pass]) -> list[Reply]:
    """Return what each of these passes, all of one kind, gives; the model is called once."""
    first = passes[0]
    project = torch.cat([item.project for item in passes])
    output = model.forward(
        torch.cat([item.canvases for item in passes]),
        attention_mask=None if first.allowed is None else torch.cat([item.allowed for item in passes]),
        compute=None if first.compute is None else torch.tensor(first.compute),
        project=project,
        cache=None if first.cache is None else _joined([item.cache for item in passes]),
        **({} if first.conditioning is None else {"conditioning": torch.cat([item.conditioning for item in passes])}),
        **({} if first.evict is None else {"evict": first.evict}),
        keep_cache=first.keep_cache, hidden_states=first.hidden_states, attentions=first.attentions,
    )
    if first.evict is not None:
        return [_part(output, slice(None), output.logits, None)]
    counts = [int(item.project.sum()) for item in passes]
    _refuse_other_shapes(model, output.logits, sum(counts))
    seen = _observed(passes, output.logits)
    logits = output.logits.split(counts)
    parts, begin = [], 0
    for item, rows, found in zip(passes, logits, seen, strict=True):
        end = begin + len(item.canvases)
        parts.append(_part(output, slice(begin, end), rows, found))
        begin = end
    return parts


def _refuse_other_shapes(model: Model, logits: torch.Tensor, rows: int) -> None:
    if tuple(logits.shape) != (rows, model.vocab_size):
        raise ModelError(f"The model gave scores of the shape {list(logits.shape)}; [{rows}, {model.vocab_size}] was asked for.",
                         "Its network does not do what its config.json says: check both.")


def _observed(passes: Sequence[Pass], logits: Float["R V"]) -> list[Seen | None]:
    """Return what each run saw; None for those that look themselves.

    They do where the logits are many, since reading those together would save nothing and hold all of
    them at once, and where some are not finite: that is the affair of the run that has them.
    """
    alone: list[Seen | None] = [None] * len(passes)
    if passes[0].watch is None or logits.numel() > BLOCK_ELEMENTS or not bool(logits.isfinite().all()):
        return alone
    return list(observe_together([item.watch for item in passes], logits))


def repeated(cache: Cache, count: int) -> Cache:
    """Return a cache of one sequence for ``count`` copies of it, without copying."""
    return Cache(
        tuple(item.expand(count, -1, -1, -1) for item in cache.keys),
        tuple(item.expand(count, -1, -1, -1) for item in cache.values),
    )


def _joined(caches: Sequence[Cache]) -> Cache:
    if len(caches) == 1:
        return caches[0]
    return Cache(
        tuple(torch.cat(layer) for layer in zip(*(item.keys for item in caches), strict=True)),
        tuple(torch.cat(layer) for layer in zip(*(item.values for item in caches), strict=True)),
    )


def _part(output: ModelOutput, rows: slice, logits: torch.Tensor, seen: Seen | None) -> Reply:
    cache = output.cache and Cache(
        tuple(item[rows] for item in output.cache.keys), tuple(item[rows] for item in output.cache.values)
    )
    return Reply(
        logits, cache, tuple(item[rows] for item in output.hidden_states),
        tuple(item[rows] for item in output.attentions), output.kept, seen,
    )
