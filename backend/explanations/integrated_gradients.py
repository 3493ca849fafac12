"""Integrated gradients on the input embeddings, with the nodes of a step sharing their passes.

A_jk = (e_jk - b_jk) * integral_0^1 df(b + a (e - b))/de_jk da. Sources: Sundararajan, Taly, Yan, "Axiomatic
attribution for deep networks" (2017), as Captum computes it; the batching is ours and proven equal
to Captum's (``captum_reference``). Read: the scores add up to the objective on the canvas minus that on
the baseline; a position equal to the baseline gets exactly 0.
"""

from __future__ import annotations

from backend.explanations.base import Explaining, Shares
from backend.explanations.gradients import mean_gradients, nodes
from backend.explanations.objectives import Canvas
from backend.shapes import Float


class IntegratedGradients:
    """The path integral, our own way."""

    name = "integrated_gradients"
    title = "Integrated gradients"
    mark = "sourced"
    source = "Sundararajan, Taly, Yan 2017; quadrature as in Captum 0.9."
    help = "How many nats each visible token added to this choice, along a straight line from nothing to the canvas."
    needs = frozenset({"gradients"})
    signed = complete = True

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress and return (e - b) times the mean gradient, summed over the width."""
        gradients = yield from mean_gradients(canvas, *nodes(canvas.n_steps, canvas.baseline))
        return spread(canvas, gradients)


def spread(canvas: Canvas, gradients: Float["T L D"]) -> Shares:
    """Return gradients times the way from baseline to canvas, per position."""
    parts = gradients * (canvas.embeds - canvas.absent)
    return Shares(parts.sum(dim=-1).cpu(), parts.norm(dim=-1).cpu())
