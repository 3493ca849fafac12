"""Accuracy of an exported model per task and decoder, through the same runs that visitors see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend import End, Model, RunRequest, run_many
from backend.ensemble import wilson
from backend.tasks.base import Example, Task
from backend.training.quick_check import held_out

ACCURACY = "accuracy.json"
TOGETHER = 50  # runs that share forward passes
SEED = 1  # of the held-out prompts; the checks while training use seed 0


@dataclass(frozen=True)
class Decoding:
    """One column of the table: a decoder and its settings for an answer of some length."""

    label: str
    decoder: str
    settings: Callable[[int], Mapping[str, Any]] = lambda length: {}


def _llada(tokens: int) -> Decoding:
    return Decoding(f"llada, {tokens} per step", "llada", lambda length: {"steps": max(1, length // tokens)})


DECODINGS: tuple[Decoding, ...] = (
    _llada(1),
    _llada(2),
    _llada(4),
    _llada(8),
    Decoding("left_to_right", "left_to_right"),
    Decoding("random_order", "random_order"),
    Decoding("fast_dllm, threshold 0.9", "fast_dllm", lambda length: {"threshold": 0.9, "block_length": length}),
    Decoding("entropy_bound, gamma 0.1", "entropy_bound", lambda length: {"gamma": 0.1}),
)

CAUSAL_DECODINGS: tuple[Decoding, ...] = (Decoding("greedy", "greedy"),)


@dataclass(frozen=True)
class Cell:
    """Right answers of one decoder on one task."""

    task: str
    decoder: str  # label of a ``Decoding``
    right: int
    count: int
    passes: float  # mean forward passes of a run

    @property
    def percent(self) -> float:
        """Share of right answers, 0 to 100."""
        return 100 * self.right / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of ``percent``."""
        return wilson(self.right, self.count)


def evaluate(model: Model, tasks: Iterable[Task], count: int) -> Iterator[Cell]:
    """Yield one cell per task and decoding, on the same ``count`` held-out prompts of each task."""
    for task in tasks:
        examples = held_out(task, count, SEED)
        for decoding in CAUSAL_DECODINGS if model.kind == "causal" else DECODINGS:
            ends = [end for part in _parts(examples) for end in _ends(model, task, part, decoding)]
            answers = zip(examples, ends, strict=True)
            right = sum(task.check(example.prompt, end.text).right for example, end in answers)
            yield Cell(task.name, decoding.label, right, count, sum(end.totals.passes for end in ends) / count)


def _parts(examples: Sequence[Example]) -> Iterator[tuple[int, Sequence[Example]]]:
    for start in range(0, len(examples), TOGETHER):
        yield start, examples[start : start + TOGETHER]


def _ends(model: Model, task: Task, part: tuple[int, Sequence[Example]], decoding: Decoding) -> list[End]:
    start, examples = part
    settings = decoding.settings(task.length)
    requests = [
        RunRequest(decoding.decoder, example.prompt, length=task.length, settings=settings, seed=seed, top_k=1)
        for seed, example in enumerate(examples, start)
    ]
    ends = {number: event for number, event in run_many(model, requests) if isinstance(event, End)}
    return [ends[number] for number in range(len(requests))]


def read_cells(folder: Path, weights_hash: str) -> dict[tuple[str, str], Cell]:
    """Return what is known about these weights, by task and decoder; nothing about other weights."""
    path = folder / ACCURACY
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("weights_hash") != weights_hash:
        return {}
    names = Cell.__dataclass_fields__
    cells = [Cell(**{name: cell[name] for name in names}) for cell in known["cells"]]
    return {(cell.task, cell.decoder): cell for cell in cells}


def write_cells(folder: Path, weights_hash: str, cells: Iterable[Cell]) -> None:
    """Write the machine readable table."""
    rows = [asdict(cell) | {"percent": round(cell.percent, 1), "interval": _rounded(cell)} for cell in cells]
    text = json.dumps({"weights_hash": weights_hash, "cells": rows}, indent=1)
    beside = folder / (ACCURACY + ".tmp")
    beside.write_text(text + "\n")
    beside.replace(folder / ACCURACY)


def _rounded(cell: Cell) -> list[float]:
    return [round(value, 1) for value in cell.interval]
