"""Occlusion: what the choice loses when one position is replaced by the baseline.

o_j = f(canvas) - f(canvas with position j replaced). Replacing by the mask keeps the canvas one that the
model was trained on. Source: Zeiler and Fergus 2014, for tokens. Read: positive = the token helped;
a position equal to the baseline gets exactly 0. Needs no gradients.
"""

from __future__ import annotations

import torch

from backend.explanations.base import Explaining, Progress, Shares
from backend.explanations.gradients import fitted
from backend.explanations.objectives import Canvas
from backend.shapes import Float


class Occlusion:
    """One pass per visible token, without it."""

    name = "occlusion"
    title = "Occlusion"
    mark = "sourced"
    source = "Zeiler and Fergus 2014."
    help = "How much this choice loses when one token is masked again, one token at a time."
    needs: frozenset[str] = frozenset()
    signed, complete = True, False

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress and return the loss at every visible position."""
        scores = torch.zeros(len(canvas.targets), canvas.length)
        whole = canvas.values(canvas.embeds[None])  # [T, 1]
        per_pass = max(1, canvas.rows // canvas.length)
        for begin in range(0, len(canvas.visible), per_pass):
            yield Progress(begin, len(canvas.visible))
            hidden = canvas.visible[begin : begin + per_pass]
            # Losses are put at their own columns, so that the parts of a chunk can be added up.
            scores += fitted(lambda part, hidden=hidden: _losses(canvas, hidden[part], whole), len(hidden), canvas)
        yield Progress(len(canvas.visible), len(canvas.visible))
        return Shares(scores, scores.abs())


def _losses(canvas: Canvas, hidden: tuple[int, ...], whole: Float["T 1"]) -> Float["T L"]:
    columns = torch.tensor(hidden)
    without = canvas.embeds.repeat(len(hidden), 1, 1)
    without[torch.arange(len(hidden)), columns] = canvas.absent[columns]
    losses = torch.zeros(len(canvas.targets), canvas.length)
    losses[:, columns] = whole - canvas.values(without)
    return losses
