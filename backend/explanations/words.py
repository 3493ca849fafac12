"""Scores of sub-words merged to words: sums, so that they still add up to what they explain."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

CONTINUES = "##"
"""WordPiece's mark of a token that goes on with the word before it."""


def word_ranges(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return half-open ranges of tokens that make one word each; all together they cover ``texts``.

    Letters directly after letters go on with the word; digits and signs stand alone, as do tokens in
    brackets such as [MASK].
    """
    starts = [at for at in range(len(texts)) if at == 0 or not _goes_on(texts[at - 1], texts[at])]
    return tuple(pairwise([*starts, len(texts)]))


def merged(values: Sequence[float], ranges: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """Return the sum of ``values`` over each range."""
    return tuple(float(sum(values[begin:end])) for begin, end in ranges)


def _goes_on(before: str, text: str) -> bool:
    if text.startswith(CONTINUES):
        return True
    return bool(before and text) and before[-1].isalpha() and text[0].isalpha()
