"""The page of the decoder table: accuracy against forward passes per task, with a Pareto front, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
"""
COLUMNS = ("task", "decoder", "settings", "percent", "low", "high", "passes", "rows", "tokens_per_pass", "seconds", "consistency")


def write_report(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the page, one file that opens without a connection."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(rows), encoding="utf-8")


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page's markup; names and settings are escaped."""
    parts = ["<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Decoders compared</title>",
             f"<style>{STYLE}</style></head><body><h1>Decoders compared</h1>",
             "<p>Exact answers to held-out prompts, with 95 % Wilson intervals. The line joins the decoders that "
             "no other one beats with as few forward passes.</p>"]
    library: bool | str = True
    for model, task in sorted({(row["model"], row["task"]) for row in rows}):
        here = [row for row in rows if (row["model"], row["task"]) == (model, task)]
        parts.append(f"<h2>{escape(task)} <small>({escape(model)}, {here[0]['prompts']} prompts)</small></h2>")
        parts.append(plotly.io.to_html(figure(here), include_plotlyjs=library, full_html=False))
        library = False
        parts.append(_table(here))
    return "".join(parts) + "</body></html>\n"


def figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return accuracy against mean forward passes, a point per decoder and setting."""
    chart = go.Figure()
    for name in dict.fromkeys(row["decoder"] for row in rows):
        own = [row for row in rows if row["decoder"] == name]
        chart.add_scatter(
            x=[row["passes"] for row in own], y=[row["percent"] for row in own], name=name, mode="markers",
            error_y={"type": "data", "symmetric": False, "array": [row["high"] - row["percent"] for row in own],
                     "arrayminus": [row["percent"] - row["low"] for row in own], "thickness": 1},
            text=[escape(row["settings"]) for row in own], hovertemplate="%{text}<br>%{x} passes, %{y} %<extra>" + escape(name) + "</extra>",
        )
    front = pareto(rows)
    chart.add_scatter(x=[row["passes"] for row in front], y=[row["percent"] for row in front], name="Pareto front",
                      mode="lines", line={"shape": "hv", "dash": "dot", "color": "#888"}, hoverinfo="skip")
    chart.update_layout(xaxis_title="forward passes per answer", yaxis_title="exact answers, %", xaxis_type="log", height=460,
                        margin={"t": 20}, template="plotly_white")
    return chart


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows that none with as few passes matches in accuracy, by rising passes."""
    front: list[Mapping[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["passes"], -row["percent"])):
        if not front or row["percent"] > front[-1]["percent"]:
            front.append(row)
    return front


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape('' if row[name] is None else str(row[name]))}</td>" for name in COLUMNS) + "</tr>"
        for row in sorted(rows, key=lambda row: (-row["percent"], row["passes"]))
    )
    return f"<details><summary>Table</summary><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
