"""The measured table of decoders, as ``benchmarks/decoders.py`` writes it, and what it says about each task."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from backend.errors import AppError

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLE, CLAIMS = DOCS / "decoders.csv", DOCS / "claims.md"
COMMAND, CLAIMS_COMMAND = "python -m benchmarks.decoders", "python -m benchmarks.claims"


@dataclass(frozen=True)
class Row:
    """One decoder with one choice of settings on one task of one model."""

    model: str
    task: str
    decoder: str
    settings: str
    prompts: int
    percent: float
    """Exact answers in 100, with ``low`` to ``high`` as 95 % interval."""
    low: float
    high: float
    passes: float
    rows: float
    tokens_per_pass: float
    seconds: float
    """Wall time per answer, decoded in shared passes."""
    consistency: float | None


def measured(path: Path | None = None) -> tuple[Row, ...]:
    """Return the rows of the table (``TABLE``), best of each task first; none where it was never measured.

    Raises ``AppError`` when the file is not such a table.
    """
    path = path or TABLE
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rows = [_row(line) for line in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError) as error:
            raise AppError(f"{path.name} cannot be read ({error}).", f"Measure it again: {COMMAND}") from error
    return tuple(sorted(rows, key=lambda row: (row.model, row.task, -row.percent, row.passes, row.decoder)))


def front(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the Pareto front by rising passes: rows that no other matches with fewer passes or beats with as few."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.passes, -row.percent)):
        if not kept or row.percent > kept[-1].percent:
            kept.append(row)
    return tuple(kept)


def by_task(rows: Iterable[Row]) -> dict[tuple[str, str], tuple[Row, ...]]:
    """Return the rows of every (model, task)."""
    groups: dict[tuple[str, str], tuple[Row, ...]] = {}
    for row in rows:
        groups[row.model, row.task] = (*groups.get((row.model, row.task), ()), row)
    return groups


def _row(line: dict[str, str]) -> Row:
    kinds = {"str": str, "int": int, "float": float}
    return Row(**{
        item.name: (float(line[item.name]) if line[item.name] else None) if "None" in item.type else kinds[item.type](line[item.name])
        for item in fields(Row)
    })
