"""How much each part of a sum counts in it: the measure under information flow routes.

For y = z_1 + ... + z_m:  prox(z) = max(1e-5, |y|_1 - |y - z|_1),  imp(z) = prox(z) / sum of all prox.
Source: Ferrando and Voita, "Information flow routes" (2403.00824), as specified by its official tool.
Biases are part of the sum and never a part. The parts of attention are one vector per (row, source,
head): they are never all held. Per head, U = V W_O [L, D] is; then, for rows r and sources j,

1. exact: a tile alpha_rj U_j - y_r is written, its 1-norm read, and forgotten;
2. bounded: lin_rj = alpha_rj (sign(y_r) . U_j) >= prox comes from one matrix product; parts whose bound is
   under ``SKIP`` of the residual's prox keep the bound, the others are computed exactly. The bounds
   kept, as a share of their sum, are the largest error that this can make: it is returned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backend.models.base import LayerParts
from backend.shapes import Float

FLOOR = 1e-5
SKIP = 1e-4
TILE_ELEMENTS = 1 << 18
"""Elements of a tile: 1 MB of float32, within a processor's cache."""
EXACT_ELEMENTS = 1 << 28
"""Rows x heads x sources x width up to which a layer is computed exactly."""


@dataclass(frozen=True)
class Contributions:
    """Shares of one layer at R rows: ``heads`` and ``residual`` add up to 1, as do the last two.

    ``error``: the most that any share of attention can be off, 0 where computed exactly.
    """

    heads: Float["H R L"]
    residual: Float["R"]
    mlp: Float["R"]
    mlp_residual: Float["R"]
    error: float = 0.0

    @property
    def sources(self) -> Float["R L"]:
        """Attention's shares, summed over heads."""
        return self.heads.sum(dim=0)

    def above(self, limit: float) -> Contributions:
        """Return the shares with those up to ``limit`` set to 0 and the others divided by what remains.

        Where nothing remains all are 0.
        """
        heads, residual = _kept(self.heads, limit), _kept(self.residual, limit)
        mlp, mlp_residual = _kept(self.mlp, limit), _kept(self.mlp_residual, limit)
        attention, feed = heads.sum(dim=(0, 2)) + residual, mlp + mlp_residual
        return Contributions(
            heads / _whole(attention)[None, :, None], residual / _whole(attention),
            mlp / _whole(feed), mlp_residual / _whole(feed), self.error)


def contributions(parts: LayerParts, *, exact: bool | None = None) -> Contributions:
    """Return the shares of every part of a layer; ``exact`` None decides by size."""
    if exact is None:
        exact = parts.weights.numel() * parts.mid.shape[1] <= EXACT_ELEMENTS
    parts = _single(parts)
    residual = proximity(parts.before, parts.mid)
    heads, excess = attention_proximity(parts, residual, exact)
    total = residual + heads.sum(dim=(0, 2))
    after = parts.carried + parts.mlp
    mlp, carried = proximity(parts.mlp, after), proximity(parts.carried, after)
    return Contributions(
        heads / total[None, :, None], residual / total, mlp / (mlp + carried), carried / (mlp + carried),
        float((excess / total).max()))


def proximity(part: Float["... D"], whole: Float["... D"]) -> Float["..."]:
    """Return max(floor, |whole|_1 - |whole - part|_1)."""
    return (_length(whole) - _length(whole - part)).clamp_min(FLOOR)


def attention_proximity(parts: LayerParts, residual: Float["R"], exact: bool) -> tuple[Float["H R L"], Float["R"]]:
    """Return the proximity of every (head, row, source), and per row how far the skipped ones may be off."""
    group = parts.weights.shape[0] // parts.values.shape[0]
    found = torch.empty_like(parts.weights)
    excess = torch.zeros_like(residual)
    for head, weights in enumerate(parts.weights):
        vectors = parts.values[head // group] @ parts.output[head]  # U [L, D]
        if exact:
            _exact(weights, vectors, parts.mid, out=found[head])
        else:
            excess += _bounded(weights, vectors, parts.mid, residual, out=found[head])
    return found, excess


def _exact(weights: Float["R L"], vectors: Float["L D"], whole: Float["R D"], out: Float["R L"]) -> None:
    """Write the proximity of every part of one head."""
    length, width = vectors.shape
    sources = max(1, min(length, TILE_ELEMENTS // width))
    rows = max(1, TILE_ELEMENTS // (width * sources))
    lengths, opposite = _length(whole), -whole
    for top in range(0, len(whole), rows):
        for left in range(0, length, sources):
            tile = (slice(top, top + rows), slice(left, left + sources))
            rest = torch.addcmul(opposite[tile[0], None], weights[tile][:, :, None], vectors[None, tile[1]])
            out[tile] = (lengths[tile[0], None] - _length(rest)).clamp_min_(FLOOR)


def _bounded(
    weights: Float["R L"], vectors: Float["L D"], whole: Float["R D"], residual: Float["R"], out: Float["R L"]
) -> Float["R"]:
    """Write upper bounds where they are small and the proximity elsewhere; return the excess per row."""
    torch.mul(weights, whole.sign() @ vectors.T, out=out)
    out.clamp_min_(FLOOR)
    large = out > SKIP * residual[:, None]
    excess = (out - FLOOR).masked_fill_(large, 0).sum(dim=1)
    rows, sources = large.nonzero(as_tuple=True)
    lengths = _length(whole)
    for begin in range(0, len(rows), max(1, TILE_ELEMENTS // whole.shape[1])):
        chunk = slice(begin, begin + max(1, TILE_ELEMENTS // whole.shape[1]))
        at, source = rows[chunk], sources[chunk]
        rest = torch.addcmul(whole[at], weights[at, source, None], vectors[source], value=-1)
        out[at, source] = (lengths[at] - _length(rest)).clamp_min_(FLOOR)
    return excess


def _length(vectors: Float["... D"]) -> Float["..."]:
    return torch.linalg.vector_norm(vectors, ord=1, dim=-1)


def _kept(shares: Float["..."], limit: float) -> Float["..."]:
    return shares.masked_fill(shares <= limit, 0)


def _whole(total: Float["R"]) -> Float["R"]:
    return total.masked_fill(total == 0, 1)


def _single(parts: LayerParts) -> LayerParts:
    """Return the parts in float32 at least: sums over the width are too coarse in half precision."""
    if parts.mid.dtype in (torch.float32, torch.float64):
        return parts
    return LayerParts(**{name: value.float() for name, value in vars(parts).items()})
