"""The examples of every task: held-out prompts, drawn once with a fixed seed."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.models.catalogue import find_model
from backend.tasks.base import Task
from backend.tasks.catalogue import TASKS, find_task
from components.html import Markup, tag

PER_TASK = 4
# Possessive: a long text that is almost a list of ids must not be tried in every other way.
_IDS, _ID = re.compile(r"\s*+ids:((?:[\s,]*+\d{1,9}+(?!\d))*+[\s,]*+)"), re.compile(r"\d+")
_SHOWN = 56
"""Characters of a prompt that the menu shows."""


@dataclass(frozen=True)
class Opening:
    """One example as it opens in the page: its prompt, model and answer length."""

    task: Task
    prompt: str

    @property
    def label(self) -> str:
        """The prompt without the task's name, shortened."""
        shown = self.prompt.partition(": ")[2].rstrip("=") or self.prompt
        return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"

    @property
    def hint(self) -> str:
        """What the task asks for."""
        return f"{self.task.title}: {self.task.help}"


def openings(models: Collection[str], tasks: Sequence[Task] = TASKS) -> tuple[Opening, ...]:
    """Return the examples of the tasks that one of ``models`` was trained on, task by task."""
    return tuple(
        Opening(task, task.generate(rng, "test").prompt)
        for task in tasks if task.model in models
        for rng in [random.Random(f"examples of {task.name}")]
        for _ in range(PER_TASK)
    )


def opening_of(model: str) -> Opening | None:
    """Return the example that an embedded model opens with: the one of its recorded run."""
    card = find_model(model)
    task = find_task(card.example_prompt) if card else None
    return Opening(task, card.example_prompt) if task else None


def described(prompt: str | None, model: str = "") -> str:
    """Return what the task of ``prompt`` asks for, or that nothing can judge an answer to it.

    An embedded ``model`` that was trained on other tasks is said to be.
    """
    prompt = prompt or ""
    task = find_task(prompt)
    if task:
        return Opening(task, prompt).hint + (f" {model} was not trained on this task." if _untrained(model, task) else "")
    if _IDS.fullmatch(prompt):
        return "Token ids, given to the model as they are."
    return "No program here can judge an answer to this prompt; it is decoded all the same." if prompt.strip() else ""


def _untrained(model: str, task: Task) -> bool:
    """Tell whether an embedded model was trained on other tasks: a twin is trained on those of its sister."""
    card = find_model(model)
    own = find_task(card.example_prompt) if card else None
    return own is not None and own.model != task.model


def prompt_of(typed: str) -> tuple[str | None, tuple[int, ...] | None]:
    """Return the prompt as text, or as token ids where it is written ``ids: 1, 2, 3``."""
    listed = _IDS.fullmatch(typed or "")
    return (None, tuple(map(int, _ID.findall(listed[1])))) if listed else (typed, None)


class Chooser(gr.HTML):
    """A menu of examples grouped by task; picking one fires ``pick`` with its ``index``."""

    def __init__(self, offered: Sequence[Opening] = (), **shared: Any) -> None:
        fixed = dict(
            value=menu(offered),
            apply_default_css=False,
            js_on_load="""
            element.addEventListener("change", (event) => {
              trigger("pick", { index: Number(event.target.value) });
            });""",
            elem_id="examples",
        )
        super().__init__(**{**shared, **fixed})

    def api_info(self) -> dict[str, Any]:
        """Say that the value is text."""
        return {"type": "string"}


def menu(offered: Sequence[Opening]) -> Markup:
    """Return the menu's markup; an option's value is its place in ``offered``."""
    groups: dict[str, list[Markup]] = {}
    for index, opening in enumerate(offered):
        groups.setdefault(opening.task.title, []).append(tag("option", opening.label, value=index))
    return tag(
        "label",
        tag("span", "Examples"),
        tag(
            "select",
            tag("option", "Choose an example …", value="", disabled=True, selected=True),
            *(tag("optgroup", *options, label=title) for title, options in groups.items()),
        ),
    )
