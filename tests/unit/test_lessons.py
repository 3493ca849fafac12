"""A lesson's claims hold for the run it shows, and no number in its text is typed by hand."""

from __future__ import annotations

import json
import math
import random
import re
import string
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from backend import AttributionRequest, attribute, load_model, replay, run, run_many
from backend.canvas import end_of, start_of, steps_of
from backend.decoders.catalogue import find_decoder
from backend.events import Event, RunRequest, Step
from backend.lessons.base import MODEL, Lesson, LessonStep, Shown, Survey, figure
from backend.lessons.bits import told
from backend.lessons.catalogue import LESSONS
from backend.models.catalogue import MODELS, find_model
from backend.tasks.catalogue import TASKS, find_task
from components.lessons_view import lessons_object, request_of
from components.links import read

ROOT = Path(__file__).resolve().parents[2]
TRAINED = {card.name for card in MODELS}
OFFERED = [lesson for lesson in LESSONS if lesson.models <= TRAINED]
PAGES = [pytest.param(lesson, step, id=f"{lesson.name}-{number}")
         for lesson in OFFERED for number, step in enumerate(lesson.steps, 1)]

model_of = cache(load_model)


_RUNS: dict[tuple[str, str], tuple[Event, ...]] = {}


def events_of(shown: Shown) -> tuple[Event, ...]:
    """Return the run of ``shown``, made once."""
    key = shown.model, repr(shown.request)
    if key not in _RUNS:
        _RUNS[key] = tuple(run(model_of(shown.model), shown.request))
    return _RUNS[key]


def probability(value: float) -> str:
    """Write a probability as the page does."""
    if 0.9995 <= value < 1:
        return ">.999"
    return "1" if value >= 1 else f"{value:.3f}".removeprefix("0")


class Facts:
    """What is true of a run at the place that a lesson points at, in the words that its texts use."""

    def __init__(self, shown: Shown) -> None:
        self.events = events_of(shown)
        self.begun, self.ended, self.steps = start_of(self.events), end_of(self.events), steps_of(self.events)
        self.model = model_of(shown.model)
        self.at = self.steps[min(shown.step or len(self.steps), len(self.steps)) - 1]
        self.position = self.begun.prompt_length + (shown.position or 0)
        self.verdict = find_task(shown.request.prompt).check(shown.request.prompt, self.ended.text)

    def write(self, position: int) -> tuple[Step, int, float]:
        return next((step, token, prob) for step in self.steps for place, token, prob in step.writes if place == position)

    def text(self, token: int) -> str:
        return self.model.token(token)

    @property
    def best(self) -> tuple[int, float]:
        kept = self.at.candidates
        place = kept.positions.index(self.position)
        return kept.ids[place][0], kept.probabilities[place][0]

    def bits_of(self, step: Step) -> float:
        return sum(math.log2(1 / prob) for _, _, prob in step.writes)

    @cache
    def attribution(self, method: str) -> object:
        step, token, _ = self.write(self.position)
        ids = replay(self.events, step.index - 1)
        return attribute(self.model, AttributionRequest(ids=ids, position=self.position, token=token, method=method, n_steps=256))

    def value(self, name: str) -> object:
        """Return the fact ``name``, worked out from the events or the model."""
        simple: dict[str, Callable[[], object]] = {
            "free": lambda: sum(token == self.begun.model.mask_id for token in self.begun.canvas),
            "passes": lambda: self.ended.totals.passes,
            "right": lambda: self.verdict.right,
            "why": lambda: self.verdict.why,
            "answer": lambda: self.ended.text,
            "step": lambda: self.at.index,
            "step_of": lambda: self.write(self.position)[0].index,
            "prob": lambda: probability(self.write(self.position)[2]),
            "neighbour": lambda: probability(self.write(self.position - 1)[2]),
            "first": lambda: len(self.steps[0].writes),
            "left": lambda: len(self.at.masked) - len(self.at.writes),
            "best": lambda: self.text(self.best[0]),
            "best_prob": lambda: probability(self.best[1]),
            "consistency": lambda: probability(self.at.scores["consistency"][self.at.masked.index(self.position)]),
            "bits": lambda: f"{sum(map(self.bits_of, self.steps)):.2f} bits",
            "bits_1": lambda: f"{self.bits_of(self.steps[0]):.2f} bits",
            "bits_2": lambda: f"{self.bits_of(self.steps[1]):.2f} bits",
            "occlusion_6": lambda: f"{self.attribution('occlusion').scores[11]:.2f}",
            "occlusion_1": lambda: f"{self.attribution('occlusion').scores[self.position + 1]:.2f}",
            "delta": lambda: f"{abs(self.attribution('integrated_gradients').delta):.1f}",
            "change": lambda: f"{self.attribution('integrated_gradients').value - self.attribution('integrated_gradients').baseline_value:.2f}",
        }
        if name == "token":
            return self.text(self.write(self.position)[1])
        return simple[name]()


@pytest.mark.parametrize(("lesson", "step"), PAGES)
def test_what_a_lesson_says_about_its_run_is_true(lesson: Lesson, step: LessonStep) -> None:
    if step.shown is None:
        return
    facts = Facts(step.shown)
    said = {name: str(value).strip("“”") if isinstance(value, str) else value for name, value in step.shown.facts.items()}
    assert said == {name: facts.value(name) for name in said}


@pytest.mark.parametrize(("lesson", "step"), PAGES)
def test_the_place_that_a_lesson_points_at_exists(lesson: Lesson, step: LessonStep) -> None:
    if step.shown is None:
        return
    shown, events = step.shown, events_of(step.shown)
    assert end_of(events).reason == "done"
    assert shown.step is None or 0 <= shown.step <= len(steps_of(events))
    assert shown.position is None or 0 <= shown.position < shown.request.length
    assert shown.layer == "order" or shown.layer in steps_of(events)[0].scores


@pytest.mark.parametrize(("lesson", "step"), PAGES)
def test_every_fact_is_used_and_every_place_for_one_is_filled(lesson: Lesson, step: LessonStep) -> None:
    texts = [*step.text, *([] if step.question is None else [step.question.ask, *(part for choice in step.question.choices for part in (choice.text, choice.why))])]
    named = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}
    facts = set(step.shown.facts) if step.shown else set()
    assert named <= facts
    assert facts - named <= {"right"}  # "the answer is right" is a word, not a number
    filled = [step.filled(text) for text in texts]
    assert not re.search(r"[{}]| \?[ ,.;]", " ".join(filled)), "a figure is missing"


@pytest.mark.parametrize("lesson", OFFERED, ids=lambda lesson: lesson.name)
def test_a_lesson_says_right_and_wrong_as_the_checker_does(lesson: Lesson) -> None:
    for step in lesson.steps:
        text = " ".join(step.text)
        for words, right in (("answer is right", True), ("is wrong", False)):
            if words in text:
                assert step.shown.facts["right"] is right


@pytest.mark.parametrize("lesson", OFFERED, ids=lambda lesson: lesson.name)
def test_every_question_has_one_right_choice_and_a_word_for_each(lesson: Lesson) -> None:
    for step in lesson.steps:
        if step.question:
            assert [choice.right for choice in step.question.choices].count(True) == 1
            assert all(choice.why and choice.text for choice in step.question.choices)
            assert len({choice.text for choice in step.question.choices}) == len(step.question.choices) >= 2


@pytest.mark.parametrize("lesson", OFFERED, ids=lambda lesson: lesson.name)
def test_a_lessons_request_survives_the_way_through_the_page(lesson: Lesson) -> None:
    for step in lesson.steps:
        if step.shown:
            asked = read(request_of(step.shown), MODELS)
            assert asked.notices == () and (asked.model, asked.decoder.name) == (step.shown.model, step.shown.request.decoder)
            defaults = {name: value for name, value in vars(find_decoder(step.shown.request.decoder).Settings()).items()}
            assert {**defaults, **asked.settings} == {**defaults, **step.shown.request.settings}
            assert (asked.prompt, asked.length, asked.seed) == (step.shown.request.prompt, step.shown.request.length, step.shown.request.seed)


def test_there_are_lessons_with_names_of_their_own_and_the_page_offers_those_whose_models_are_there() -> None:
    assert len({lesson.name for lesson in LESSONS}) == len(LESSONS) >= 6
    offered = lessons_object(LESSONS, MODELS)["lessons"]
    assert [item["name"] for item in offered] == [lesson.name for lesson in OFFERED]
    assert lessons_object(LESSONS, ())["lessons"] == []


def test_figures_come_from_the_models_own_evaluation() -> None:
    assert figure("sudoku4", "left_to_right") == f"{_percent('sudoku4', 'left_to_right'):.4g} %"
    assert figure("sudoku4", "no such decoder") == "?" and figure("sudoku4", "left_to_right", "no such model") == "?"


def _percent(task: str, decoder: str, model: str = MODEL) -> float:
    cells = json.loads((find_model(model).folder / "accuracy.json").read_text(encoding="utf-8"))["cells"]
    return next(100 * cell["right"] / cell["count"] for cell in cells if (cell["task"], cell["decoder"]) == (task, decoder))


@pytest.mark.skipif("tiny-causal" not in TRAINED, reason="the causal twin is not trained")
def test_what_the_lessons_say_in_words_about_accuracy_is_what_was_measured() -> None:
    sure = {task: _percent(task, "llada, 1 per step") for task in ("sudoku4", "sudoku6", "tail", "sum", "shuffle")}
    twin = {task: _percent(task, "greedy", "tiny-causal") for task in sure}
    assert [task for task in sure if sure[task] > twin[task]] == ["sudoku4", "sudoku6", "tail"]
    assert twin["sum"] == twin["shuffle"] == 100
    assert _percent("sum", "left_to_right") > sure["sum"] and _percent("sudoku4", "left_to_right") < sure["sudoku4"]
    assert _percent("shuffle", "llada, 2 per step") < 5 and _percent("sudoku4", "fast_dllm, threshold 0.9") > _percent("sudoku4", "llada, 8 per step") + 30


def test_what_the_lessons_say_about_faithfulness_is_what_the_report_says() -> None:
    report = (ROOT / "docs" / "faithfulness.md").read_text(encoding="utf-8")
    for method, both in (("Occlusion", 4), ("Integrated gradients", 2), ("Gradient x input", 0)):
        line = next(line for line in report.splitlines() if line.startswith(f"- **{method}**"))
        listed = line.split("in both on ")[1].rstrip(".")
        assert (0 if listed == "none" else len(listed.split(", "))) == both, line
    assert "Running sum from the right 1.6, Addition 0.98" in report  # "about 1 to 1.6 nats"


@pytest.mark.parametrize(("rule", "exploring", "sentence"), [
    ((49, 3.9), (46, 3.8), "On this task it saves 0.1 passes an answer and loses 3 of 60 answers."),
    ((46, 3.8), (49, 3.9), "On this task it costs 0.1 passes an answer and wins 3 of 60 answers."),
    ((49, 3.9), (49, 3.9), "On this task it saves no pass and gets as many right."),
])
def test_what_exploring_changes_is_told_in_the_numbers_of_the_surveys(rule: tuple, exploring: tuple, sentence: str) -> None:
    assert told(*(Survey("tail", "any", right, passes) for right, passes in (rule, exploring))) == sentence


@pytest.mark.nightly
@pytest.mark.parametrize("survey", [survey for lesson in LESSONS for survey in lesson.surveys], ids=lambda survey: f"{survey.task}-{survey.decoder}")
def test_a_survey_repeated_gives_the_numbers_that_a_lesson_tells(survey: Survey) -> None:
    task = next(item for item in TASKS if item.name == survey.task)
    rng = random.Random(f"lessons {task.name}")
    prompts = [task.generate(rng, "test").prompt for _ in range(survey.count)]
    ends = ends_of([RunRequest(survey.decoder, prompt=prompt, length=task.length, settings=survey.settings) for prompt in prompts])
    assert sum(task.check(prompt, end.text).right for prompt, end in zip(prompts, ends, strict=True)) == survey.right
    assert round(sum(end.totals.passes for end in ends) / len(ends), 1) == survey.passes


def ends_of(requests: Sequence[RunRequest]) -> list[object]:
    ends: dict[int, object] = {}
    for number, event in run_many(model_of(MODEL), requests):
        ends[number] = event
    return [ends[number] for number in range(len(requests))]
