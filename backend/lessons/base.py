"""What a lesson is: steps of text, each with a prepared run, where to look, and perhaps a question.

Numbers are never typed into a text. What is said about a run stands in ``facts`` and is filled in
where the text says ``{name}``; a test runs the request and compares every fact. How often something
happens over many prompts comes from the model's own ``accuracy.json`` (``figure``) or from a
``Survey`` that a test repeats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from backend.events import RunRequest
from backend.models.catalogue import find_model

MODEL = "tiny-diffusion"


@dataclass(frozen=True)
class Shown:
    """A prepared run and where to look in it.

    ``step`` is None at the end of the run; ``position`` counts from the start of the answer;
    ``play`` lets the run play from that step on. ``facts`` is what the texts say about the run.
    """

    request: RunRequest
    model: str = MODEL
    step: int | None = None
    position: int | None = None
    layer: str = "order"
    play: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One possible answer, whether it is right, and what is said to whoever picks it."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Question:
    """A question with at least two choices, one of them right."""

    ask: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class LessonStep:
    """One page of a lesson; a step without a run of its own goes on with the one before."""

    title: str
    text: tuple[str, ...]
    shown: Shown | None = None
    question: Question | None = None

    def filled(self, text: str) -> str:
        """Return ``text`` with the facts of this step's run in their places."""
        return text.format(**self.shown.facts) if self.shown else text


@dataclass(frozen=True)
class Survey:
    """How a decoder did over many held-out prompts: repeated by a test, not by the page.

    The prompts are the first ``count`` test prompts of the task from ``random.Random("lessons <task>")``.
    """

    task: str
    decoder: str
    right: int
    passes: float
    """Mean forward passes, one digit after the point."""
    count: int = 60
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.right} of {self.count} right, {self.passes:.1f} passes"


@dataclass(frozen=True)
class Lesson:
    """A short sequence of steps under one name, which is also its link."""

    name: str
    title: str
    summary: str
    steps: tuple[LessonStep, ...]
    surveys: tuple[Survey, ...] = ()

    @property
    def models(self) -> frozenset[str]:
        """The models that its runs need."""
        return frozenset(step.shown.model for step in self.steps if step.shown)


def asked(prompt: str, decoder: str, length: int, **settings: Any) -> RunRequest:
    """Return the request of a prepared run, with seed 0."""
    return RunRequest(decoder, prompt=prompt, length=length, settings=settings)


def figure(task: str, decoder: str, model: str = MODEL) -> str:
    """Return the share of right answers that the model's evaluation found, as "79 %"; "?" where there is none."""
    cell = _cells(model).get((task, decoder))
    return f"{cell['percent']:.4g} %" if cell else "?"


def mean_passes(task: str, decoder: str, model: str = MODEL) -> str:
    """Return the mean number of forward passes of that evaluation; "?" where there is none."""
    cell = _cells(model).get((task, decoder))
    return f"{cell['passes']:.3g}" if cell else "?"


@cache
def _cells(model: str) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    card = find_model(model)
    path = card.folder / "accuracy.json" if card else None
    if path is None or not path.is_file():
        return {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {(cell["task"], cell["decoder"]): cell for cell in cells}
