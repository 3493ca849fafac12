"""Every decoder that fits a model, on every task of it: right answers, passes, time, as a table and a page.

    python -m benchmarks.decoders                       # 100 held-out prompts a task, one setting a decoder
    python -m benchmarks.decoders --full                # 300 prompts, every setting: long, for the night
    python -m benchmarks.decoders --report-only         # the page again, from the table

The same held-out prompts for every decoder, decoded in shared passes. Each cell is written as soon as
it is measured, and what is already in the table (same weights, prompts, settings) is not run again,
so the command can be stopped and started. ``docs/decoders.csv`` is the table, ``docs/decoders.html``
the page.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from backend import End, Model, RequestError, RunRequest, Step, load_model, run_many
from backend.decoders.catalogue import DECODERS
from backend.models.catalogue import MODELS
from backend.requests import prepare
from backend.tasks.base import Example, Task
from backend.tasks.catalogue import TASKS
from backend.training.evaluate import wilson
from backend.training.quick_check import held_out
from benchmarks.decoders_report import write_report

OUT = Path(__file__).resolve().parents[1] / "docs"
TOGETHER = 50
"""Runs that share forward passes."""
SEED = 2
"""Of the held-out prompts."""

TWIN_OF = {"tiny-causal": "tiny-diffusion"}
"""A model that was trained on another one's tasks."""

Given = Callable[[int], Mapping[str, Any]]
"""Settings for an answer of some length."""


def _fixed(**given: Any) -> Given:
    return lambda length: given


def _share(tokens: int, **given: Any) -> Given:
    return lambda length: {"steps": max(1, length // tokens), **given}


SETTINGS: dict[str, tuple[Given, ...]] = {
    "llada": (_fixed(), _share(2), _share(4), _fixed(remasking="random"), _fixed(cfg_scale=0.5)),
    "dream": (_fixed(), _share(2), _fixed(alg="maskgit_plus"), _fixed(alg="topk_margin"), _fixed(alg="origin")),
    "mdlm": (_share(2), _share(4)),
    "fast_dllm": (_fixed(), _fixed(threshold=0.7), _fixed(factor=1.0), _fixed(cache="prefix"), _fixed(cache="dual")),
    "block_diffusion": (_fixed(block_length=8), _fixed(block_length=16)),
    "llada2": (_fixed(block_length=8), _fixed(block_length=16, threshold=0.8)),
    "entropy_bound": (_fixed(), _fixed(gamma=0.01), _fixed(gamma=0.5)),
    "klass": (_fixed(), _fixed(confidence=0.6, kl=0.015), _fixed(history=1)),
    "ccd": (_fixed(), _fixed(adaptive=False), _fixed(mode="release"), _fixed(mode="release", adaptive=False)),
    "order_token_search": (_fixed(), _fixed(beams=1), _fixed(beams=2), _fixed(beams=8), _fixed(search="token_only"), _fixed(search="order_only")),
    "explore_then_exploit": (_fixed(), _fixed(explore=0), _fixed(explore=0, window=1), _fixed(lookahead=4), _fixed(trigger="always")),
    "focus": (_fixed(), _fixed(alpha=1.0), _fixed(alpha=4.0), _fixed(mode="faithful"), _fixed(mode="faithful", alpha=1000.0)),
    "assd": (_fixed(temperature=0.0), _fixed(temperature=0.0, order="entropy"), _fixed()),
    "wedlm": (_fixed(), _fixed(window=8), _fixed(entropy_threshold=0.1)),
    "left_to_right": (_fixed(), _fixed(tokens_per_step=2)),
    "random_order": (_fixed(), _fixed(tokens_per_step=2)),
    "greedy": (_fixed(),),
    "sample": (_fixed(), _fixed(temperature=0.5)),
    "beam": (_fixed(), _fixed(beams=8)),
    "contrastive_search": (_fixed(), _fixed(alpha=0.2)),
}
"""Per decoder its settings; the first one alone makes the default table."""


@dataclass(frozen=True)
class Row:
    """One decoder and setting on one task."""

    model: str
    weights_hash: str
    task: str
    decoder: str
    settings: str
    prompts: int
    right: int
    percent: float
    low: float
    high: float
    """95 % Wilson interval of ``percent``."""
    passes: float
    rows: float
    tokens_per_pass: float
    """Answer tokens before the end of sequence per forward pass."""
    seconds: float
    """Wall time per answer, decoded in shared passes."""
    consistency: float | None
    """Mean recorded agreement of beliefs with their recent past; None for causal models."""
    passes_sd: float | None = None
    """Standard deviation of ``passes`` over the prompts."""

    @property
    def key(self) -> tuple[str, ...]:
        """What must agree for a measured row to stand."""
        return (self.weights_hash, self.task, self.decoder, self.settings, str(self.prompts))


@dataclass(frozen=True)
class Cell:
    """One row to be measured."""

    model: Model
    task: Task
    decoder: str
    settings: Mapping[str, Any]
    prompts: int

    @property
    def key(self) -> tuple[str, ...]:
        """The key of the row that it becomes."""
        return (self.model.weights_hash, self.task.name, self.decoder, json.dumps(self.settings, sort_keys=True), str(self.prompts))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing and write the table and the page."""
    arguments = _arguments(argv)
    torch.set_num_threads(arguments.threads)
    table, page = arguments.out / "decoders.csv", arguments.out / "decoders.html"
    rows = {row.key: row for row in read_table(table)}
    if not arguments.report_only:
        cells = [cell for model in _models(arguments.models) for cell in cells_of(model, arguments)]
        missing = [cell for cell in cells if cell.key not in rows]
        for cell in tqdm(missing, desc="decoders", unit="cell", initial=len(cells) - len(missing), total=len(cells)):
            rows[cell.key] = measured(cell)
            write_table(table, list(rows.values()))
    write_report(page, [asdict(row) for row in rows.values()])


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default="", help="comma separated; every embedded model that is there when not given")
    parser.add_argument("--tasks", default="", help="comma separated names; all when not given")
    parser.add_argument("--decoders", default="", help="comma separated names; all that fit when not given")
    parser.add_argument("--prompts", type=int, help="held-out prompts per task (default: 100, with --full 300)")
    parser.add_argument("--full", action="store_true", help="every setting of every decoder")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the table and the page")
    parser.add_argument("--report-only", action="store_true", help="write the page from the table that is there")
    return parser.parse_args(argv)


def _models(names: str) -> Iterator[Model]:
    ready = [card.name for card in MODELS if (card.folder / "model.safetensors").is_file()]
    for name in names.split(",") if names else ready:
        yield load_model(name)


def cells_of(model: Model, arguments: argparse.Namespace) -> list[Cell]:
    """Return the cells of a model: its tasks x the decoders and settings that it can run."""
    prompts = arguments.prompts or (300 if arguments.full else 100)
    tasks = [task for task in TASKS if task.model in (model.name, TWIN_OF.get(model.name)) and _asked(task.name, arguments.tasks)]
    found = []
    for task in tasks:
        for decoder in DECODERS:
            given = SETTINGS.get(decoder.name, ()) if _asked(decoder.name, arguments.decoders) else ()
            for settings in given if arguments.full else given[:1]:
                cell = Cell(model, task, decoder.name, settings(task.length), prompts)
                if runs(cell):
                    found.append(cell)
    return found


def _asked(name: str, names: str) -> bool:
    return not names or name in names.split(",")


def runs(cell: Cell) -> bool:
    """Tell whether the model can run the cell's decoder with its settings at the task's length."""
    try:
        prepare(cell.model, RunRequest(cell.decoder, prompt_ids=(0,), length=cell.task.length, settings=cell.settings, top_k=1))
    except RequestError:
        return False
    return True


def measured(cell: Cell) -> Row:
    """Run the cell's prompts and return its row."""
    examples = held_out(cell.task, cell.prompts, SEED)
    ends: list[End] = []
    consistencies: list[float] = []
    begin = time.perf_counter()
    for start in range(0, len(examples), TOGETHER):
        ends += _decoded(cell, examples[start : start + TOGETHER], start, consistencies)
    seconds = time.perf_counter() - begin
    right = sum(cell.task.check(example.prompt, end.text).right for example, end in zip(examples, ends, strict=True))
    low, high = wilson(right, len(examples))
    return Row(
        cell.model.name, cell.model.weights_hash, cell.task.name, cell.decoder, cell.key[3], cell.prompts, right,
        round(100 * right / len(examples), 1), round(low, 1), round(high, 1),
        passes=round(statistics.mean(end.totals.passes for end in ends), 2),
        rows=round(statistics.mean(end.totals.rows for end in ends), 1),
        tokens_per_pass=round(statistics.mean(end.totals.answer_tokens_per_pass for end in ends), 3),
        seconds=round(seconds / len(examples), 4),
        consistency=round(statistics.mean(consistencies), 4) if consistencies else None,
        passes_sd=round(statistics.stdev(end.totals.passes for end in ends), 3) if len(ends) > 1 else None,
    )


def _decoded(cell: Cell, examples: Sequence[Example], start: int, consistencies: list[float]) -> list[End]:
    requests = [RunRequest(cell.decoder, example.prompt, length=cell.task.length, settings=cell.settings, seed=seed, top_k=1)
                for seed, example in enumerate(examples, start)]
    ends: dict[int, End] = {}
    for number, event in run_many(cell.model, requests):
        if isinstance(event, Step):
            consistencies += [value for value in event.scores.get("consistency", ()) if value is not None]
        elif isinstance(event, End):
            ends[number] = event
    return [ends[number] for number in range(len(requests))]


def read_table(path: Path) -> list[Row]:
    """Return the rows of a table, none where there is no file."""
    if not path.exists():
        return []
    kinds = {item.name: item.type for item in fields(Row)}
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{name: _typed(kinds[name], value) for name, value in line.items()}) for line in csv.DictReader(file)]


def _typed(kind: str, value: str) -> Any:
    if kind == "str":
        return value
    if kind == "int":
        return int(value)
    return float(value) if value else None


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the table beside and move it in place, so that a stop leaves a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".csv.tmp")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [item.name for item in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    os.replace(beside, path)


if __name__ == "__main__":
    main()
