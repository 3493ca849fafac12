"""One safetensors file that holds a training run: weights, optimiser and how far it has come."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MODEL_PREFIX = "model."


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    step: int = 0  # finished steps
    minutes: float = 0.0  # processor time spent in training
    examples: Mapping[str, int] | None = None  # seen per task
    tokens: int = 0


def save_checkpoint(path: Path, model: nn.Module, optimiser: Mapping[str, Tensor], progress: Progress) -> None:
    """Write everything into ``path``; a kill at any moment leaves the old or the new file whole."""
    tensors = {MODEL_PREFIX + name: p.detach().contiguous() for name, p in model.named_parameters()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    save_file(tensors | dict(optimiser), beside, {"progress": json.dumps(vars(progress))})
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(path)


def load_checkpoint(path: Path, model: nn.Module) -> tuple[dict[str, Tensor], Progress]:
    """Copy the weights of ``path`` into ``model``; return the optimiser's tensors and the progress."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        progress = Progress(**json.loads(file.metadata()["progress"]))
    weights = {name: tensors.pop(MODEL_PREFIX + name) for name, _ in model.named_parameters()}
    model.load_state_dict(weights, strict=False)
    return tensors, progress
