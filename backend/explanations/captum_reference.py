"""Integrated gradients by Captum, one call per target: the reference that is always there.

Slower than our own path and kept beside it, so that a doubt can be settled on the spot. Source:
Captum 0.9, ``IntegratedGradients`` with Gauss-Legendre nodes on ``inputs_embeds``.
"""

from __future__ import annotations

import torch

from backend.explanations.base import Explaining, Progress, Shares
from backend.explanations.gradients import fitted
from backend.explanations.objectives import Canvas, Target


class CaptumReference:
    """The path integral, Captum's way."""

    name = "captum_integrated_gradients"
    title = "Integrated gradients (Captum)"
    mark = "sourced"
    source = "Captum 0.9, IntegratedGradients."
    help = "The same quantity from the reference library: slower, for comparison."
    needs = frozenset({"gradients"})
    signed = complete = True

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress per target and return Captum's attributions, summed over the width."""
        found = []
        for number, target in enumerate(canvas.targets):
            yield Progress(number, len(canvas.targets))
            found.append(fitted(lambda _, of=target: _attributions(canvas, of), 1, canvas))
        yield Progress(len(found), len(found))
        parts = torch.stack(found)
        return Shares(parts.sum(dim=-1).cpu(), parts.norm(dim=-1).cpu())


def _attributions(canvas: Canvas, target: Target) -> torch.Tensor:
    from captum.attr import IntegratedGradients  # here: the catalogue must not wait for it

    def objective(embeds: torch.Tensor) -> torch.Tensor:
        return target.value(canvas.model.logits(inputs_embeds=embeds)[:, target.position])

    found = IntegratedGradients(objective).attribute(
        canvas.embeds[None], canvas.absent[None], n_steps=canvas.n_steps,
        internal_batch_size=max(1, canvas.rows // canvas.length))
    return found[0].detach().float()
