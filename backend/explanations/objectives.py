"""What is explained: the objective of a target, on a canvas, against a baseline.

A target is a token at a position. Its objective is read from the logits *for* that position, which
``Model.forward`` shifts where the family needs it: log softmax(z)[v], z[v], or z[v] - z[u] (which equals
the difference of their log-probabilities, for the normaliser cancels). The softmax is over the whole
vocabulary and without temperature or guidance, as in the recorded confidence of an unguided run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from backend.errors import AppError
from backend.explanations.base import ROWS
from backend.models.base import Model
from backend.shapes import Float, Int

VOCABULARY_BLOCK = 16384


class MemoryFull(AppError):
    """Memory ran out, even with smaller passes."""

    code = "memory"


@dataclass(frozen=True)
class Target:
    """A token at a position, and the objective that is read there."""

    position: int
    token: int
    objective: str = "log_prob"
    against: int | None = None

    def value(self, logits: Float["n V"]) -> Float["n"]:
        """Return the objective for n rows of logits, float32."""
        logits = logits.float()
        if self.objective == "log_prob":
            return logits[:, self.token] - logits.logsumexp(dim=-1)
        if self.objective == "logit":
            return logits[:, self.token]
        return logits[:, self.token] - logits[:, self.against]


@dataclass(frozen=True)
class Canvas:
    """One canvas with its targets: what a method is given."""

    model: Model
    ids: tuple[int, ...]
    targets: tuple[Target, ...]
    baseline: str = "mask"
    n_steps: int = 32
    rows: int = ROWS

    @property
    def length(self) -> int:
        """L."""
        return len(self.ids)

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of the targets, each once, rising."""
        return tuple(sorted({target.position for target in self.targets}))

    @cached_property
    def embeds(self) -> Float["L D"]:
        """The embedded canvas."""
        return embedded(self.model, torch.tensor(self.ids))

    @cached_property
    def absent(self) -> Float["L D"]:
        """The embedded baseline: what stands for "nothing" at every position."""
        return baseline_of(self.model, self.baseline, self.length)

    @cached_property
    def visible(self) -> tuple[int, ...]:
        """The positions that differ from the baseline."""
        differs = (self.embeds != self.absent).any(dim=1)
        return tuple(differs.nonzero()[:, 0].tolist())

    def objectives(self, embeds: Float["n L D"]) -> Float["T n"]:
        """Return every target's objective on n embedded canvases, in one pass; gradients flow."""
        places = self.positions
        project = torch.zeros(embeds.shape[:2], dtype=torch.bool)
        project[:, list(places)] = True
        logits = self.model.forward(inputs_embeds=embeds, project=project).logits.unflatten(0, (-1, len(places)))
        return torch.stack([target.value(logits[:, places.index(target.position)]) for target in self.targets])

    def values(self, embeds: Float["n L D"]) -> Float["T n"]:
        """Return the objectives without gradients, as float32 on the processor."""
        with torch.no_grad():
            return self.objectives(embeds).float().cpu()


@torch.no_grad()
def embedded(model: Model, ids: Int["L"]) -> Float["L D"]:
    """Return the input embeddings of one canvas."""
    return model.embed(ids[None])[0].float()


@torch.no_grad()
def baseline_of(model: Model, name: str, length: int) -> Float["L D"]:
    """Return the embedded baseline of that name: mask, pad, zero or mean at every position."""
    if name in ("mask", "pad"):
        token = model.mask_id if name == "mask" else model.pad_id
        return embedded(model, torch.full((length,), token))
    if name == "zero":
        return torch.zeros_like(embedded(model, torch.zeros(length, dtype=torch.long)))
    return _mean_embedding(model).expand(length, -1)


def _mean_embedding(model: Model) -> Float["D"]:
    """Return the mean row of the embedding matrix, read in blocks and added in float64."""
    blocks = torch.arange(model.vocab_size).split(VOCABULARY_BLOCK)
    return (sum(embedded(model, block).double().sum(dim=0) for block in blocks) / model.vocab_size).float()
