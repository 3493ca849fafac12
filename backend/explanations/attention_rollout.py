"""Attention rollout: attention weights multiplied through the layers, half of each step staying.

R = A'_{N-1} ... A'_0 with A' = (mean over heads of attention + I) / 2, rows brought to 1; the row from which
the target is read. Source: Abnar and Zuidema, "Quantifying attention flow in transformers" (2020). Read:
a share of where the model looked, not of why it chose: it knows nothing of the token, of values or
of signs.
"""

from __future__ import annotations

import torch

from backend.explanations.base import Explaining, Progress, Shares
from backend.explanations.objectives import Canvas
from backend.explanations.reading import read_position
from backend.shapes import Float


class AttentionRollout:
    """The product of the layers' attention."""

    name = "attention_rollout"
    title = "Attention rollout"
    mark = "sourced"
    source = "Abnar and Zuidema 2020."
    help = "Where the model looked, multiplied through its layers. The same for every token of a position."
    needs = frozenset({"attention"})
    signed = complete = False

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress and return the rolled-out row of every target."""
        yield Progress(0, 1)
        rows = _rows(canvas)
        yield Progress(1, 1)
        return Shares(rows, rows)


@torch.no_grad()
def _rows(canvas: Canvas) -> Float["T L"]:
    project = torch.zeros(1, canvas.length, dtype=torch.bool)
    output = canvas.model.forward(torch.tensor([canvas.ids]), project=project, attentions=True)
    reading = [read_position(canvas.model, target.position) for target in canvas.targets]
    rows = torch.eye(canvas.length)[reading]  # [T, L]
    for weights in reversed(output.attentions):
        step = (weights[0].float().mean(dim=0).cpu() + torch.eye(canvas.length)) / 2
        rows = rows @ (step / step.sum(dim=-1, keepdim=True))
    return rows
