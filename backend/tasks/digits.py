"""What the digit tasks share: the judgement of a row of digits and an easier form for training."""

from __future__ import annotations

import random
from collections.abc import Sequence

from backend.tasks.base import Verdict


def compare_digits(right: str, answer: str) -> Verdict:
    """Judge ``answer`` against the one right row of digits, naming the first digit that differs."""
    if len(answer) != len(right):
        return Verdict(False, f"the answer should have {len(right)} digits, not {len(answer)}")
    for place, (wanted, given) in enumerate(zip(right, answer, strict=True), 1):
        if wanted != given:
            return Verdict(False, f"digit {place} should be {wanted}, not {given}")
    return Verdict(True, f"all {len(right)} digits are right")


def thinned(digits: Sequence[int], rng: random.Random, share: float = 0.4) -> list[int]:
    """Return ``digits`` with, in ``share`` of the calls, a random part of them set to zero."""
    if rng.random() >= share:
        return list(digits)
    kept = rng.random()
    return [digit if rng.random() < kept else 0 for digit in digits]
