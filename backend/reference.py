"""The reference page of the documentation, written from what the catalogues declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from backend.decoders.base import CAPABILITIES, Decoder, Score
from backend.decoders.catalogue import DECODERS
from backend.explanations.base import BASELINES, OBJECTIVES
from backend.explanations.catalogue import METHODS
from backend.measures.catalogue import MEASURES
from backend.models.catalogue import CARDS
from backend.settings import Settings, limits_text
from backend.tasks.catalogue import TASKS


def markdown() -> str:
    """Return the page: decoders with settings, scores, attributions, tasks, models, server settings."""
    parts = [_head(), *_decoders(), *_requests(), *_measures(), *_explanations(), *_tasks(), *_models(), *_settings()]
    return "\n".join(parts) + "\n"


def default_text(item: Any) -> str:
    """Return a setting's default in words: its value, what stands for it, or ``off``."""
    option = item.metadata["option"]
    if item.default is None:
        return option.auto or "off"
    return str(item.default) or "empty"


def range_text(item: Any) -> str:
    """Return a setting's range in words."""
    option = item.metadata["option"]
    if option.kind == "text":
        return f"at most {option.high} characters"
    if option.kind == "bool":
        return "true or false"
    if option.choices:
        return " or ".join(option.choices)
    high = option.high if isinstance(option.high, str) else f"{option.high:g}"
    return f"{option.low:g} to {high}"


def needs_text(decoder: Decoder) -> str:
    """Return what a decoder needs of a model, in words that follow "a model that"."""
    return " and ".join(CAPABILITIES[name] for name in CAPABILITIES if name in decoder.needs) or "can be run at all"


def when_text(score: Score) -> str:
    """Return under which settings a decoder records a score; nothing when it always does."""
    parts = (f"`{name}` is {' or '.join(map(str, values))}" for name, values in score.when.items())
    return f" where {' and '.join(parts)}" if score.when else ""


def _head() -> str:
    return (
        "# Reference\n\n"
        "Written from the catalogues by `python -m backend docs`; a test compares the two.\n"
    )


def _decoders() -> Iterator[str]:
    yield "## Decoders\n"
    for decoder in DECODERS:
        yield f"### `{decoder.name}`: {decoder.title}\n"
        yield f"{decoder.summary}\n"
        yield f"*{decoder.mark.capitalize()}.* {decoder.source}\n"
        yield f"A step costs: {decoder.cost} It needs a model that {needs_text(decoder)}.\n"
        for score in decoder.scores:
            yield f"It also records `{score.name}`{when_text(score)}, in {score.unit}, {score.low:.3g} to {score.top:.3g}; higher means {score.higher}. {score.help}\n"
        yield "| setting | default | range | meaning |\n| --- | --- | --- | --- |"
        for item in fields(decoder.Settings):
            yield f"| `{item.name}` | {default_text(item)} | {range_text(item)} | {item.metadata['option'].help} |"
        yield ""


def _requests() -> Iterator[str]:
    yield "## Branches, comparisons, answers with blanks\n"
    yield ("A branch is a request with one `Fork` more than its parent's: the run repeats the parent up to `step` (same seed, noise keyed "
           "by step and position, whatever the decoder remembers) and goes on with the fork's `edits` made. "
           "`branch(model, events, at, edits=(), decoder=None, settings=None)` decodes it; steps count from 1, positions are those of the canvas.\n")
    yield "| edit | meaning |\n| --- | --- |"
    yield "| `(\"write\", position, token)` | the token is put there in step `at`, whatever the decoder wrote; the position must have been masked before the step |"
    yield "| `(\"erase\", position)` | the position is masked again after step `at`; the decoder begins anew on what is masked |"
    yield "| `(\"forbid\", position, token)` | the token's probability there is 0 from step `at` on |"
    yield ("\nWith `decoder` or `settings`, that decoder begins after step `at` on the canvas as it stands. A decoder with a loop of its own (search, "
           "drafts, caches) begins anew after a `write`; one that only chooses keeps what it remembers, and with no change the branch is its parent, exactly.\n")
    yield ("`compare(events_a, events_b, at_a=None, at_b=None, unit=\"passes\")` says place by place how two runs differ: `same`, `moved` (with `by`, A's moment minus "
           "B's), `differs`, `only_a`, `only_b`, `open`; Kendall's tau-b of the orders of writing, the first step at which they part, and both costs.\n")
    yield ("An answer with blanks is typed as `The ▢▢▢ sea`: `▢` or `_` is one masked place, `_{12}` twelve, `\\_` the sign itself. The words between become `fixed`, "
           "which every decoder keeps; the length follows.\n")


def _measures() -> Iterator[str]:
    yield "## Scores\n"
    yield (
        "Recorded at every step for the positions that were masked when its pass ran, from the "
        "distribution after guidance and before temperature.\n"
    )
    yield "| score | unit | higher means | meaning |\n| --- | --- | --- | --- |"
    for measure in MEASURES:
        yield f"| `{measure.name}` | {measure.unit} | {measure.higher} | {measure.help} |"
    yield ""


def _explanations() -> Iterator[str]:
    yield "## Attributions\n"
    yield (
        f"Of one written token to the positions of its canvas, for an objective ({', '.join(OBJECTIVES)}) against a baseline "
        f"({', '.join(BASELINES)}). Where the scores add up, they add up to the objective on the canvas minus that on the "
        "baseline. Temperature and guidance of the run are not part of it.\n"
    )
    yield "| method | needs | scores | adds up | source | meaning |\n| --- | --- | --- | --- | --- | --- |"
    for method in METHODS:
        needs = ", ".join(sorted(method.needs)) or "nothing"
        scores = "signed" if method.signed else "shares"
        yield (f"| `{method.name}`: {method.title} | {needs} | {scores} | {'yes' if method.complete else 'no'} | "
               f"*{method.mark.capitalize()}.* {method.source} | {method.help} |")
    yield ""


def _tasks() -> Iterator[str]:
    yield "## Tasks\n"
    yield "| task | model | meaning |\n| --- | --- | --- |"
    for task in TASKS:
        yield f"| `{task.name}`: {task.title} | `{task.model}` | {task.help} |"
    yield ""


def _models() -> Iterator[str]:
    yield "## Models\n"
    yield "| model | meaning |\n| --- | --- |"
    for card in CARDS:
        yield f"| `{card.name}`: {card.title} | {card.help} |"
    yield ""


def _settings() -> Iterator[str]:
    yield "## Server settings\n"
    yield (
        "Each is an option of `app.py` (`--max-running 2`) and an environment variable "
        "(`UNMASK_MAX_RUNNING=2`); the command line wins.\n"
    )
    yield "| setting | default | range | meaning |\n| --- | --- | --- | --- |"
    for item in fields(Settings):
        yield f"| `{item.name}` | `{item.default}` | {limits_text(item) or 'text'} | {item.metadata['help']} |"
