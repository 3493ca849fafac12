"""The scores recorded at every step, in the order of the menu. A new one is one file and one line."""

from __future__ import annotations

from backend.measures.base import Measure
from backend.measures.confidence import Confidence
from backend.measures.consistency import Consistency
from backend.measures.drift import Drift
from backend.measures.entropy import Entropy
from backend.measures.margin import Margin

MEASURES: tuple[Measure, ...] = (
    Confidence(),
    Entropy(),
    Margin(),
    Drift(),
    Consistency(),
)
