"""Muon for the matrices of the blocks, AdamW for embeddings and norms.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) keeps a momentum of the
gradient and replaces it by the nearest half-orthogonal matrix before each step, with a few
Newton-Schulz iterations. Matrices of one shape are orthogonalised in one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

# Coefficients of the quintic iteration, from the reference implementation of Muon.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Return the nearest half-orthogonal matrices of a batch, roughly. Float[n, rows, columns]."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Optimiser:
    """Both optimisers over the named parameters of one model."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        muon_rate: float,
        adam_rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ):
        self._matrices = {name: p for name, p in parameters.items() if ".layers." in name and p.ndim == 2}
        others = {name: p for name, p in parameters.items() if name not in self._matrices}
        self._muon_rate, self._adam_rate = muon_rate, adam_rate
        self._momentum, self._weight_decay = momentum, weight_decay
        self._velocity = {name: torch.zeros_like(p) for name, p in self._matrices.items()}
        self._names = tuple(others)
        self._adam = torch.optim.AdamW(others.values(), lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Update all parameters with both rates multiplied by ``scale``, and drop the gradients."""
        self._adam.param_groups[0]["lr"] = self._adam_rate * scale
        self._adam.step()
        self._adam.zero_grad()
        groups = defaultdict(list)
        for name, parameter in self._matrices.items():
            groups[parameter.shape].append(name)
        for shape, names in groups.items():
            self._muon_step(names, self._muon_rate * scale, max(1.0, shape[0] / shape[1]) ** 0.5)

    def _muon_step(self, names: list[str], rate: float, shape_factor: float) -> None:
        directions = []
        for name in names:
            parameter, velocity = self._matrices[name], self._velocity[name]
            velocity.lerp_(parameter.grad, 1 - self._momentum)
            directions.append(parameter.grad.lerp(velocity, self._momentum))  # Nesterov
            parameter.grad = None
        for name, update in zip(names, orthogonalised(torch.stack(directions)), strict=True):
            parameter = self._matrices[name]
            parameter.mul_(1 - rate * self._weight_decay).sub_(update, alpha=rate * shape_factor)

    def state(self) -> dict[str, Tensor]:
        """Return everything needed to go on, as named tensors."""
        tensors = {f"muon.{name}": velocity for name, velocity in self._velocity.items()}
        for index, values in self._adam.state_dict()["state"].items():
            tensors |= {f"adam.{self._names[index]}.{key}": value for key, value in values.items()}
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what ``state`` returned."""
        for name, velocity in self._velocity.items():
            velocity.copy_(tensors[f"muon.{name}"])
        whole = self._adam.state_dict()
        keys = ("step", "exp_avg", "exp_avg_sq")
        whole["state"] = {
            index: {key: tensors[f"adam.{name}.{key}"].clone() for key in keys}
            for index, name in enumerate(self._names)
        }
        self._adam.load_state_dict(whole)
