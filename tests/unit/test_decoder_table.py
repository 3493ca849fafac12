"""The decoder table: its cells, its file, and its page."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace

from backend.decoders.catalogue import DECODERS
from backend.tasks.catalogue import TASKS
from benchmarks.decoders import SETTINGS, Cell, Row, cells_of, measured, read_table, write_table
from benchmarks.decoders_report import page, pareto

ROW = Row("m", "h" * 16, "sum", "llada", "{}", 100, 90, 90.0, 82.6, 94.5, 12.5, 300.0, 0.8, 0.01, 0.97)


def asked(**given) -> argparse.Namespace:
    """Return the arguments of a command."""
    return argparse.Namespace(**{"prompts": 2, "full": False, "tasks": "", "decoders": "", **given})


def test_every_decoder_but_manual_has_settings_in_the_table():
    assert set(SETTINGS) == {decoder.name for decoder in DECODERS} - {"manual"}


def test_a_table_survives_the_file(tmp_path):
    rows = [ROW, replace(ROW, decoder="greedy", consistency=None, settings='{"a": "b, \\"c\\""}')]
    write_table(tmp_path / "decoders.csv", rows)
    assert read_table(tmp_path / "decoders.csv") == rows
    assert read_table(tmp_path / "missing.csv") == []


def test_cells_are_what_a_model_can_run(tiny):
    cells = cells_of(tiny, asked())
    assert {cell.task.name for cell in cells} == {task.name for task in TASKS if task.model == tiny.name}
    names = {cell.decoder for cell in cells}
    assert "llada" in names and "greedy" not in names
    assert len(cells_of(tiny, asked(full=True))) > 2 * len(cells)


def test_a_cell_is_measured_on_held_out_prompts(tiny):
    task = next(task for task in TASKS if task.name == "sudoku4")
    row = measured(Cell(tiny, task, "fast_dllm", {}, 2))
    assert row.key == Cell(tiny, task, "fast_dllm", {}, 2).key
    assert 0 <= row.low <= row.percent <= row.high <= 100 and row.passes >= 1 and row.rows >= row.passes
    assert 0 < row.consistency <= 1 and row.seconds > 0


def test_the_front_holds_what_no_cheaper_row_matches():
    rows = [asdict(replace(ROW, passes=passes, percent=percent)) for passes, percent in ((4, 50.0), (8, 40.0), (8, 70.0), (16, 70.0), (20, 90.0))]
    assert [(row["passes"], row["percent"]) for row in pareto(rows)] == [(4, 50.0), (8, 70.0), (20, 90.0)]


def test_the_page_escapes_what_it_shows():
    text = page([asdict(replace(ROW, decoder="<b>x</b>", settings="<script>alert(1)</script>"))])
    assert "<script>alert(1)" not in text and "&lt;b&gt;x&lt;/b&gt;" in text
