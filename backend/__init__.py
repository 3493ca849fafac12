"""Unmask's engine room: models, decoders, measures, events, and the one loop that joins them.

Names are loaded when they are first used: opening the page must not wait for PyTorch.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# PyTorch's idle threads otherwise spin while they wait. Beside any other busy process that made
# a small forward pass a hundred times slower; it must be set before PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "backend.events": (
        "RunRequest", "Edit", "Fork", "Start", "Step", "Branch", "End", "Candidates", "ModelInfo", "Totals",
        "to_json", "from_json",
    ),
    "backend.canvas": ("replay", "scores", "same_run"),
    "backend.comparing": ("compare", "Comparison"),
    "backend.runner": ("run", "run_many"),
    "backend.forks": ("branch",),
    "backend.models.loading": ("load_model",),
    "backend.models.base": ("Model", "ModelOutput"),
    "backend.likelihood": ("log_likelihood",),
    "backend.store": ("save_run", "load_run"),
    "backend.recorder": ("Recorder",),
    # The one name that renders: found by name when it is asked for, so that nothing here knows the page.
    "components.export_view": ("show",),
    "backend.decoders.catalogue": ("register_decoder",),
    "backend.explanations.base": ("AttributionRequest", "Attribution", "FlowRequest"),
    "backend.explanations.attribution": ("attribute", "attribution_matrix"),
    "backend.explanations.flow_routes": ("flow_routes",),
    "backend.errors": (
        "AppError", "RequestError", "ModelError", "RunFileError", "BusyError", "CapabilityError",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"backend has no {name!r}; it has {', '.join(__all__)}.")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
