"""Intervals and tests for what the benchmarks state, each a closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from backend.training.evaluate import wilson

Z = 1.959964
"""Standard deviations of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def difference(right_a: int, count_a: int, right_b: int, count_b: int) -> Estimate:
    """Return the difference of two shares, a - b, in points of percent.

    Newcombe's hybrid of two Wilson intervals for independent samples (Statistics in Medicine 17,
    1998, method 10). The same prompts under both would allow a narrower one: this one errs on the
    side of not deciding.
    """
    a, b = 100 * right_a / count_a, 100 * right_b / count_b
    low_a, high_a = wilson(right_a, count_a)
    low_b, high_b = wilson(right_b, count_b)
    return Estimate(a - b, a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b))


def ratio(mean_a: float, sd_a: float, count_a: int, mean_b: float, sd_b: float, count_b: int) -> Estimate:
    """Return the ratio of two positive means, a / b, by the delta method on its logarithm."""
    error = math.sqrt(sd_a**2 / (count_a * mean_a**2) + sd_b**2 / (count_b * mean_b**2))
    value = mean_a / mean_b
    return Estimate(value, value * math.exp(-Z * error), value * math.exp(Z * error))


def same_distribution(a: Mapping[str, int], b: Mapping[str, int], least: int = 10) -> tuple[float, int, float]:
    """Return (chi-square, degrees of freedom, p) of the test that two samples come from one distribution.

    Outcomes seen fewer than ``least`` times in both together are put into one class.
    """
    classes: dict[str | None, list[int]] = {}
    for outcome in sorted(set(a) | set(b)):
        pair = (a.get(outcome, 0), b.get(outcome, 0))
        held = classes.setdefault(outcome if sum(pair) >= least else None, [0, 0])
        held[0] += pair[0]
        held[1] += pair[1]
    scale = math.sqrt(sum(b.values()) / sum(a.values()))
    statistic = sum((scale * x - y / scale) ** 2 / (x + y) for x, y in classes.values())
    freedom = len(classes) - 1
    if freedom == 0:
        return statistic, 0, 1.0
    tail = torch.special.gammaincc(torch.tensor(freedom / 2, dtype=torch.float64), torch.tensor(statistic / 2, dtype=torch.float64))
    return statistic, freedom, float(tail)
