"""The objectives: hide some tokens of a row and predict them from all others, or predict the next one.

Masked diffusion: per row a number of hidden tokens is drawn uniformly from 1 to all of them, and the loss is the mean
cross-entropy over these. This is the low-variance form of "mask with probability t ~ U(0, 1), weight
by 1/t" (LLaDA, Nie et al., 2025). Numbers are stratified over the batch; rows weigh the same whatever
their length. A causal model learns every token of the answer from those before it, weighed the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.training.corpus import Block
from backend.training.network import FlatForward, Shape
from backend.training.tokenizer import MASK


@dataclass(frozen=True)
class Batch:
    """A flat row of tokens, and what to predict where."""

    ids: Tensor  # Int[n], hidden tokens replaced by [MASK]
    shapes: tuple[Shape, ...]
    read: Tensor  # Int[m], positions in the flat row whose states predict the targets
    targets: Tensor  # Int[m]
    rows: Tensor  # Int[m], the row of each target, counted over all blocks
    tasks: tuple[str, ...]  # per row


def masked_batch(blocks: Sequence[Block], mask_prompt: float, generator: torch.Generator) -> Batch:
    """Hide tokens of every answer, and of the prompt too in a share ``mask_prompt`` of the rows."""
    count = sum(len(block.rows) for block in blocks)
    shares = (torch.randperm(count, generator=generator) + torch.rand((), generator=generator)) / count
    whole = torch.rand(count, generator=generator) < mask_prompt
    ids, masks, start = [], [], 0
    for block in blocks:
        rows = slice(start, start + len(block.rows))
        tokens = torch.tensor(block.rows)
        first = torch.where(whole[rows], 0, block.prompt_length)[:, None]
        free = torch.arange(block.row_length) >= first
        numbers = (shares[rows, None] * free.sum(1, keepdim=True)).floor() + 1
        order = torch.rand(tokens.shape, generator=generator).masked_fill(~free, 2.0).argsort(1).argsort(1)
        ids.append(tokens.flatten())
        masks.append((order < numbers).flatten())
        start += len(block.rows)
    clear, mask = torch.cat(ids), torch.cat(masks)
    lengths = torch.tensor([block.row_length for block in blocks for _ in block.rows])
    hidden = mask.nonzero()[:, 0]
    return Batch(
        ids=clear.masked_fill(mask, MASK),
        shapes=tuple((len(block.rows), block.row_length) for block in blocks),
        read=hidden,
        targets=clear[hidden],
        rows=torch.arange(count).repeat_interleave(lengths)[hidden],
        tasks=tuple(block.task for block in blocks for _ in block.rows),
    )


def next_token_batch(blocks: Sequence[Block]) -> Batch:
    """Predict every token of every answer from the token before it; the first of a row has none."""
    ids, wanted = [], []
    for block in blocks:
        tokens = torch.tensor(block.rows)
        ids.append(tokens.flatten())
        answer = torch.arange(block.row_length) >= max(block.prompt_length, 1)
        wanted.append(answer.repeat(len(block.rows)))
    clear = torch.cat(ids)
    targets = torch.cat(wanted).nonzero()[:, 0]
    lengths = torch.tensor([block.row_length for block in blocks for _ in block.rows])
    return Batch(
        ids=clear,
        shapes=tuple((len(block.rows), block.row_length) for block in blocks),
        read=targets - 1,
        targets=clear[targets],
        rows=torch.arange(len(lengths)).repeat_interleave(lengths)[targets],
        tasks=tuple(block.task for block in blocks for _ in block.rows),
    )


def row_losses(forward: FlatForward, batch: Batch) -> Tensor:
    """Return the mean cross-entropy over the targets of each row, in nats. Float[rows]."""
    states = forward(batch.ids, batch.shapes)
    losses = F.cross_entropy(forward.logits(states[batch.read]), batch.targets, reduction="none")
    total = torch.zeros(len(batch.tasks)).index_add(0, batch.rows, losses)
    return total / torch.zeros(len(batch.tasks)).index_add(0, batch.rows, torch.ones_like(losses))
