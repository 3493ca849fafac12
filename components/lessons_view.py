"""Lessons as the browser reads them: texts with their facts filled in, requests as links hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from backend.lessons.base import Lesson, LessonStep, Question, Shown
from backend.models.catalogue import ModelCard


def lessons_object(lessons: Iterable[Lesson], cards: Sequence[ModelCard]) -> dict[str, Any]:
    """Return the lessons whose models are all among ``cards``."""
    names = {card.name for card in cards}
    return {"lessons": [_lesson(item) for item in lessons if item.models <= names]}


def request_of(shown: Shown) -> dict[str, Any]:
    """Return the request as a link holds it: every value a text."""
    asked = shown.request
    return {
        "model": shown.model, "decoder": asked.decoder, "prompt": asked.prompt, "length": str(asked.length),
        "seed": str(asked.seed), "settings": {name: _text(value) for name, value in asked.settings.items()},
    }


def _lesson(lesson: Lesson) -> dict[str, Any]:
    return {"name": lesson.name, "title": lesson.title, "summary": lesson.summary, "steps": [_step(step) for step in lesson.steps]}


def _step(step: LessonStep) -> dict[str, Any]:
    shown = step.shown
    return {
        "title": step.title,
        "text": [step.filled(text) for text in step.text],
        "run": None if shown is None else {
            "request": request_of(shown),
            "view": {"t": shown.step, "a": shown.position, "score": shown.layer, "play": shown.play},
        },
        "question": None if step.question is None else _question(step.question, step),
    }


def _question(question: Question, step: LessonStep) -> dict[str, Any]:
    return {
        "ask": step.filled(question.ask),
        "choices": [{"text": step.filled(choice.text), "right": choice.right, "why": step.filled(choice.why)} for choice in question.choices],
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
