"""The canvas at one step as a table: for screen readers, exports, and pages without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.canvas import replay, start_of, steps_of
from backend.events import Event
from components.html import Markup, tag


@dataclass(frozen=True)
class Cell:
    """One position at one step: its text, and the write that put it there, if any."""

    position: int
    text: str
    state: str
    """``prompt``, ``masked``, ``written`` or ``fixed``."""
    step: int | None = None
    probability: float | None = None

    @property
    def label(self) -> str:
        """The cell as a sentence."""
        if self.state == "masked":
            return f"position {self.position}, masked"
        if self.step is None:
            return f"position {self.position}, {self.text!r}, {self.state}"
        return (f"position {self.position}, {self.text!r}, written at step {self.step}, "
                f"probability {self.probability:.2f}")


def cells(events: Sequence[Event], step: int) -> tuple[Cell, ...]:
    """Return the canvas after ``step`` steps.

    Raises ``ValueError`` when the run has no such step.
    """
    begun = start_of(events)
    names = _texts(events)
    writes = _writes(events, step)
    return tuple(
        _cell(position, token, names, writes, begun.prompt_length, begun.model.mask_id)
        for position, token in enumerate(replay(events, step))
    )


def table(events: Sequence[Event], step: int) -> Markup:
    """Return the canvas after ``step`` steps as a table, a row per position."""
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Position", "Token", "State", "Step", "Probability")))
    return tag(
        "table",
        tag("caption", f"Canvas after step {step} of {len(steps_of(events))}"),
        tag("thead", head),
        tag("tbody", *(_row(cell) for cell in cells(events, step))),
        class_="canvas-table",
    )


def _row(cell: Cell) -> Markup:
    shown = "" if cell.state == "masked" else cell.text
    return tag(
        "tr",
        tag("th", cell.position, scope="row"),
        tag("td", tag("code", shown)),
        tag("td", cell.state),
        tag("td", "" if cell.step is None else cell.step),
        tag("td", "" if cell.probability is None else f"{cell.probability:.3f}"),
        class_=cell.state,
    )


def _cell(
    position: int, token: int, names: Mapping[int, str], writes: Mapping[int, tuple[int, float]],
    prompt_length: int, mask_id: int | None,
) -> Cell:
    shown = names.get(token, f"⟨{token}⟩")
    if token == mask_id:
        return Cell(position, shown, "masked")
    if position < prompt_length:
        return Cell(position, shown, "prompt")
    step, probability = writes.get(position, (None, None))
    return Cell(position, shown, "fixed" if step is None else "written", step, probability)


def _texts(events: Sequence[Event]) -> dict[int, str]:
    names = dict(start_of(events).texts)
    for step in steps_of(events):
        names |= step.texts
    return names


def _writes(events: Sequence[Event], count: int) -> dict[int, tuple[int, float]]:
    """Return position -> (step, probability) of the last write; positions move where masks come in."""
    last: dict[int, tuple[int, float]] = {}
    for step in steps_of(events)[:count]:
        for at, grown in step.grows:
            last = {place + grown * (place >= at): write for place, write in last.items()}
        for place in step.erases:
            last.pop(place, None)
        last |= {place: (step.index, probability) for place, _, probability in step.writes}
    return last
