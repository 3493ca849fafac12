"""A run as text for other programs: events as JSON lines, scores as a table, and code that repeats it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

from backend.canvas import start_of, steps_of
from backend.events import Event, Fork, RunRequest, Step, to_lines


def lines(events: Sequence[Event]) -> str:
    """Return one line of JSON per event, as ``python -m backend run`` prints them."""
    return "".join(f"{line}\n" for line in to_lines(events))


def scores_table(events: Sequence[Event]) -> str:
    """Return the scores as CSV: a row per step and masked position; an empty field is no value there.

    ``written`` is the id of the token that this step wrote at the position. Numbers only: no text of a
    model stands in a cell, where a spreadsheet could take it for a formula.
    """
    names = sorted({name for step in steps_of(events) for name in step.scores})
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("step", "passes", "position", "written", *names))
    for step in steps_of(events):
        rows.writerows(_rows(step, names))
    return file.getvalue()


def _rows(step: Step, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
    written = {position: token for position, token, _ in step.writes}
    for at, position in enumerate(step.masked):
        values = (step.scores.get(name, ())[at : at + 1] for name in names)
        yield step.index, step.passes, position, written.get(position, ""), *("" if not one or one[0] is None else repr(one[0]) for one in values)


def snippet(events: Sequence[Event]) -> str:
    """Return Python that repeats the run from its request and compares the two."""
    begun = start_of(events)
    model = begun.model
    return f'''"""Repeats one run of Unmask: from the project's folder, python repeat.py"""

from backend import RunRequest, load_model, run{_more_imports(begun.request)}

WEIGHTS = {model.weights_hash!r}
"""The weights that the run was made with; others may give another run."""

model = load_model({model.name!r})
if model.weights_hash != WEIGHTS:
    print(f"These are other weights: {{model.weights_hash}}.")

request = RunRequest({_arguments(begun.request)})
events = list(run(model, request))
print(events[-1].text)
'''


def _more_imports(request: RunRequest) -> str:
    return "\nfrom backend.events import Edit, Fork" if request.forks else ""


def _arguments(request: RunRequest) -> str:
    """Return the arguments of a request as Python, those at their defaults left out."""
    plain = RunRequest(request.decoder)
    given = [f"{name}={_plain(getattr(request, name))!r}" for name in ("prompt", "prompt_ids", "length", "settings", "seed", "fixed", "top_k", "forks")
             if getattr(request, name) != getattr(plain, name)]
    return ", ".join([repr(request.decoder), *given])


def _plain(value: object) -> object:
    if isinstance(value, tuple) and value and isinstance(value[0], Fork):
        return tuple(replace(fork, settings=dict(fork.settings)) for fork in value)
    return dict(value) if hasattr(value, "items") else value
