"""The measure under routes, against a slow one that holds every part, and its bounded form."""

from __future__ import annotations

import pytest
import torch

from backend.explanations import contributions as module
from backend.explanations.contributions import FLOOR, contributions
from backend.models.base import LayerParts


def parts_of(length=9, width=16, heads=4, groups=2, rows=(0, 3, 8), seed=1, dtype=torch.float32) -> LayerParts:
    """Random parts whose sums hold a bias that is no part; ``groups`` value heads."""
    source = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=source, dtype=torch.float64)  # noqa: E731
    weights = draw(heads, len(rows), length).mul(2).softmax(dim=-1)
    values, output, before = draw(groups, length, 8), draw(heads, 8, width) / 3, draw(len(rows), width)
    mixed = torch.einsum("hrj,hje,hed->rd", weights, values.repeat_interleave(heads // groups, dim=0), output)
    mid = before + mixed + 0.1 * draw(width)
    return LayerParts(*(value.to(dtype) for value in (before, weights, values, output, mid, mid, draw(len(rows), width))))


def naive(parts: LayerParts) -> tuple[torch.Tensor, torch.Tensor]:
    """Every part of attention held at once, one plain loop, float64."""
    parts = LayerParts(**{name: value.double() for name, value in vars(parts).items()})
    heads, rows, length = parts.weights.shape
    shares, residuals = torch.zeros(heads, rows, length, dtype=torch.float64), torch.zeros(rows, dtype=torch.float64)
    for row in range(rows):
        whole = parts.mid[row]

        def near(part, whole=whole):
            return max(FLOOR, float(whole.abs().sum() - (whole - part).abs().sum()))

        residuals[row] = near(parts.before[row])
        for head in range(heads):
            values = parts.values[head // (heads // parts.values.shape[0])]
            for source in range(length):
                shares[head, row, source] = near(parts.weights[head, row, source] * (values[source] @ parts.output[head]))
    total = residuals + shares.sum(dim=(0, 2))
    return shares / total[None, :, None], residuals / total


@pytest.mark.parametrize("tile", [1, 16, 50, 1 << 18])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_tiles_of_any_size_give_the_naive_result(monkeypatch, tile, groups):
    monkeypatch.setattr(module, "TILE_ELEMENTS", tile)
    parts = parts_of(groups=groups, dtype=torch.float64)
    got, (heads, residual) = contributions(parts, exact=True), naive(parts)
    torch.testing.assert_close(got.heads, heads, atol=1e-12, rtol=0)
    torch.testing.assert_close(got.residual, residual, atol=1e-12, rtol=0)
    assert got.error == 0


def test_shares_of_every_row_add_up_to_one():
    got = contributions(parts_of())
    torch.testing.assert_close(got.sources.sum(dim=1) + got.residual, torch.ones(3))
    torch.testing.assert_close(got.mlp + got.mlp_residual, torch.ones(3))


@pytest.mark.parametrize("skip", [0.0, 1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_the_bounded_form_is_within_the_error_that_it_states(monkeypatch, skip, seed):
    monkeypatch.setattr(module, "SKIP", skip)
    parts = parts_of(length=40, width=32, seed=seed, dtype=torch.float64)
    exact, bounded = contributions(parts, exact=True), contributions(parts, exact=False)
    off = (exact.sources - bounded.sources).abs().max(), (exact.residual - bounded.residual).abs().max()
    assert max(off) <= bounded.error + 1e-12
    assert bounded.error > 0 or skip == 0


def test_a_large_layer_is_bounded_and_a_small_one_exact(monkeypatch):
    parts = parts_of()
    assert contributions(parts).error == 0
    monkeypatch.setattr(module, "EXACT_ELEMENTS", parts.weights.numel())
    monkeypatch.setattr(module, "SKIP", 0.3)
    assert contributions(parts).error > 0


def test_scaling_all_parts_changes_nothing_but_through_the_floor():
    parts = parts_of(dtype=torch.float64)
    scaled = LayerParts(**{
        name: value if name in ("weights", "output") else 1000 * value for name, value in vars(parts).items()})
    torch.testing.assert_close(contributions(scaled).heads, contributions(parts).heads, atol=1e-5, rtol=0)


def test_half_precision_is_measured_in_float32():
    got = contributions(parts_of(dtype=torch.bfloat16))
    assert got.heads.dtype == torch.float32


def test_where_nothing_is_above_the_limit_all_shares_are_zero():
    got = contributions(parts_of()).above(0.99)
    assert bool((got.heads == 0).all()) and bool((got.residual == 0).all())
    assert not bool(torch.cat([got.mlp, got.mlp_residual]).isnan().any())
