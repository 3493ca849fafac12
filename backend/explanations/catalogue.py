"""The attribution methods, in the order of the menu. A new one is one file and one line here."""

from __future__ import annotations

from backend.explanations.attention_rollout import AttentionRollout
from backend.explanations.base import Method
from backend.explanations.captum_reference import CaptumReference
from backend.explanations.flow_relevance import FlowRelevance
from backend.explanations.gradient_x_input import GradientXInput
from backend.explanations.integrated_gradients import IntegratedGradients
from backend.explanations.occlusion import Occlusion

METHODS: tuple[Method, ...] = (
    IntegratedGradients(),
    CaptumReference(),
    GradientXInput(),
    Occlusion(),
    AttentionRollout(),
    FlowRelevance(),
)


def find_method(name: str) -> Method | None:
    """Return the method of that name, or None."""
    return next((method for method in METHODS if method.name == name), None)
