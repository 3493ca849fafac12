"""The examples: real prompts from every task, the same at every start."""

from __future__ import annotations

import pytest

from backend.tasks.catalogue import TASKS, find_task
from components.examples import PER_TASK, described, menu, openings, prompt_of

EVERY_MODEL = {task.model for task in TASKS}


def test_every_task_has_several_examples_that_it_recognises() -> None:
    offered = openings(EVERY_MODEL)
    assert [opening.task for opening in offered] == [task for task in TASKS for _ in range(PER_TASK)]
    assert all(find_task(opening.prompt) is opening.task for opening in offered)


def test_the_examples_are_the_same_at_every_start() -> None:
    assert openings(EVERY_MODEL) == openings(EVERY_MODEL)


def test_a_model_that_is_not_here_has_no_examples() -> None:
    assert openings(set()) == ()
    assert {opening.task.model for opening in openings({"tiny-diffusion"})} == {"tiny-diffusion"}


def test_the_menu_is_grouped_by_task_and_escaped() -> None:
    markup = menu(openings(EVERY_MODEL))
    assert markup.count("<optgroup") == len(TASKS)
    assert markup.count("<option") == len(TASKS) * PER_TASK + 1
    assert 'value="0"' in markup and "${" not in markup and "{{" not in markup


@pytest.mark.parametrize(("model", "stranger"), [
    ("tiny-diffusion", False), ("tiny-causal", False), ("tiny-words", True), ("/models/mine", False), ("", False),
])
def test_the_hint_says_when_an_embedded_model_was_trained_on_other_tasks(model: str, stranger: bool) -> None:
    assert described("sum: 1+2=", model).endswith("was not trained on this task.") is stranger


@pytest.mark.parametrize("typed", ["ids:" + "1" * 60 + "x", "ids:" + "1," * 100_000 + "x", "ids:" + " " * 100_000 + "x", " " * 100_000])
def test_a_prompt_that_is_almost_a_list_of_ids_is_read_in_one_go(typed: str) -> None:
    assert prompt_of(typed) == (typed, None)  # a pattern that tries every way would not come back
