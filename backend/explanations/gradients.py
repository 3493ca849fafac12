"""Gradients of objectives to the embedded canvas along a line, in chunks that fit memory.

1. Gauss-Legendre nodes on [0, 1] (tables in float64); for a baseline of zeros, on panels whose ends
   fall by half-decades to 1e-12, because a network with RMSNorm does not see the size of its input
   and changes on exponentially small ones.
2. The points of a chunk are one batch; one forward serves all targets of the canvas, then one
   backward per target. Only the rows of the targets are projected to the vocabulary.
3. Weights and sum in float32. A chunk that does not fit memory is retried in quarters, once.
4. On a processor, chunks run side by side (``side_by_side``); they are added in the order of the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import numpy as np
import torch

from backend.explanations.base import Explaining, Progress
from backend.explanations.objectives import Canvas, MemoryFull
from backend.explanations.side_by_side import places, side_by_side
from backend.out_of_memory import is_memory
from backend.shapes import Float

PANEL_ENDS = np.concatenate(([0.0], 10.0 ** np.arange(-12, 0.25, 0.5)))
"""25 panels, found necessary on bias-free models of three layers; each takes a quarter of the nodes."""
PANEL_NODES = 8

Found = TypeVar("Found")


def nodes(n_steps: int, baseline: str) -> tuple[Float["n"], Float["n"]]:
    """Return quadrature nodes and weights on [0, 1], float32; the weights add up to 1."""
    if baseline != "zero":
        at, weight = _panel(n_steps, 0.0, 1.0)
    else:
        per_panel = max(PANEL_NODES, n_steps // 4)
        parts = [_panel(per_panel, low, high) for low, high in zip(PANEL_ENDS[:-1], PANEL_ENDS[1:], strict=True)]
        at, weight = (np.concatenate(side) for side in zip(*parts, strict=True))
    return torch.from_numpy(at).float(), torch.from_numpy(weight).float()


def _panel(count: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    at, weight = np.polynomial.legendre.leggauss(count)
    return low + (at + 1) / 2 * (high - low), weight / 2 * (high - low)


def mean_gradients(canvas: Canvas, at: Float["n"], weight: Float["n"]) -> Explaining[Float["T L D"]]:
    """Return the weighted mean gradient of every target along the line from baseline to canvas."""
    total = torch.zeros(len(canvas.targets), *canvas.embeds.shape, device=canvas.embeds.device)
    count = places(canvas.rows, canvas.embeds.device)
    passes = math.ceil(len(at) / max(1, canvas.rows // count // canvas.length))
    # Passes of one size, as many on every place: a small last one would cost as much time per row.
    per_pass = math.ceil(len(at) / (math.ceil(passes / count) * count))
    chunks = [slice(begin, begin + per_pass) for begin in range(0, len(at), per_pass)]
    _ = canvas.absent  # made here, before passes side by side ask for it

    def work(chunk: slice) -> Float["T L D"]:
        return fitted(lambda part: _gradients(canvas, at[chunk][part], weight[chunk][part]), len(at[chunk]), canvas)

    yield Progress(0, len(at))
    with closing(side_by_side(work, chunks, count)) as found:
        for chunk, gradients in zip(chunks, found, strict=True):
            total += gradients
            yield Progress(min(chunk.stop, len(at)), len(at))
    return total


def fitted(work: Callable[[slice], Found], count: int, canvas: Canvas) -> Found:
    """Return ``work`` over ``count`` items, or the sum over quarters of them when memory is full.

    Raises ``MemoryFull`` when a quarter does not fit either.
    """
    cause = None
    for step in (count, max(1, count // 4)):
        try:
            return sum(work(slice(begin, min(count, begin + step))) for begin in range(0, count, step))
        except Exception as error:
            if not is_memory(error):
                raise
            cause = error.with_traceback(None)  # its frames hold the tensors that were too many
    raise MemoryFull(
        f"Memory is full: a pass of {step} x {canvas.length} positions of {canvas.model.name} does not fit.",
        f"Lower rows (now {canvas.rows}) to {canvas.length}, or explain a shorter canvas.") from cause


def _gradients(canvas: Canvas, at: Float["n"], weight: Float["n"]) -> Float["T L D"]:
    at, weight = at.to(canvas.embeds.device), weight.to(canvas.embeds.device)
    # In Captum's order of operations: where the path is steep, another rounding of the points is seen in the fifth digit.
    points = (canvas.absent + at[:, None, None] * (canvas.embeds - canvas.absent)).requires_grad_()  # [n, L, D]
    with torch.enable_grad():
        objectives = canvas.objectives(points)
        last = len(canvas.targets) - 1
        found = [
            torch.autograd.grad(objectives[number], points, weight, retain_graph=number < last)[0].sum(dim=0)
            for number in range(last + 1)
        ]
    return torch.stack(found)
