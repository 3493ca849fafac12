"""Gradient x input: the slope at the canvas times the way from the baseline.

grad_j . (e_j - b_j); with the baseline of zeros this is the usual grad_j . e_j (Captum's ``InputXGradient``).
One forward and one backward: a preview. Read: a first-order guess of what removing a token would
change; nothing promises that the scores add up.
"""

from __future__ import annotations

import torch

from backend.explanations.base import Explaining, Shares
from backend.explanations.gradients import mean_gradients
from backend.explanations.integrated_gradients import spread
from backend.explanations.objectives import Canvas


class GradientXInput:
    """The slope at the canvas itself: integrated gradients with one node, at its end."""

    name = "gradient_x_input"
    title = "Gradient x input"
    mark = "sourced"
    source = "Shrikumar, Greenside, Kundaje 2017 (grad x input, with a baseline)."
    help = "The slope of this choice at each token, times how far the token is from the baseline. Fast, and local."
    needs = frozenset({"gradients"})
    signed, complete = True, False

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress and return the gradient at the canvas times (e - b)."""
        gradients = yield from mean_gradients(canvas, torch.ones(1), torch.ones(1))
        return spread(canvas, gradients)
