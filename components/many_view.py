"""The page of many runs at once: its form, drawn from what decoders declare, and the room for what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from backend.crowd import ManyRequest
from backend.decoders.base import Decoder, Option
from backend.decoders.catalogue import DECODERS
from backend.ensemble import Ensemble, Spread
from backend.models.catalogue import ModelCard
from backend.settings import Settings
from backend.tasks.catalogue import TASKS
from components.controls import described, field_id
from components.html import Markup, document, tag

_EITHER = (
    ("seeds", "One prompt, many seeds", "What chance does to one answer."),
    ("prompts", "Many prompts of one task", "Held-out prompts, each with its own seed: what a decoder does on the whole."),
)
READING = {
    "order": "Each dot is the mean step at which the runs wrote that place of the answer, its bar one standard deviation, the pale band "
             "the earliest and latest. Writing strictly from left to right would follow the dashed line.",
    "tau": "Each bar counts runs. 1 is strictly from left to right, -1 from right to left, 0 neither; tokens written in one step count as "
           "ties (Kendall's tau-b of steps against places, up to the first end of sequence).",
    "scores": "Each bar counts written tokens of all runs by the score they had at the step that wrote them.",
}


def many_page(settings: Settings, models: Sequence[ModelCard], look: dict[str, Any], modules: tuple[str, ...]) -> Markup:
    """Return the page; ``look`` and ``modules`` as in ``document``."""
    return document(
        "Unmask: many runs at once",
        tag(
            "main",
            tag("h1", "Many runs at once"),
            tag("p", "One run is an anecdote. Here the same request runs under many seeds, or one decoder on many prompts, and you see in which "
                     "order the places are written, how sure the model was, and how often the answer is right. ",
                tag("a", "The decoders", href="./decoders")),
            _form(settings, models),
            tag("div", tag("p", id="many-status", role="status"), tag("progress", id="many-progress", hidden=True, aria_label="Runs that are over"),
                class_="form-row"),
            _results(),
            class_="wide",
        ),
        modules=modules, **look,
    )


def _form(settings: Settings, models: Sequence[ModelCard]) -> Markup:
    decoders = [tag("option", f"{item.title} · {item.mark}", value=item.name) for item in DECODERS]
    shown = next((card for card in models if card.name == settings.model), models[0])
    tasks = [tag("option", task.title, value=task.name, data_model=task.model, data_length=task.length) for task in TASKS]
    cards = [tag("option", card.title, value=card.name, selected=card.name == settings.model) for card in models]
    choices = (_choice(*item, number == 0) for number, item in enumerate(_EITHER))
    return tag(
        "form",
        tag("fieldset", tag("legend", "What differs from run to run"), *choices, class_="either"),
        tag("div",
            _labelled("prompt", "Prompt", tag("textarea", shown.example_prompt or "", rows="2", id="field-prompt", name="prompt")),
            _labelled("task", "Task", tag("select", *tasks, id="field-task", name="task"), hidden=True), class_="form-row what"),
        tag("div",
            _labelled("model", "Model", tag("select", *cards, id="field-model", name="model")),
            _labelled("decoder", "Decoder", tag("select", *decoders, id="field-decoder", name="decoder"), tag("small", id="many-unfit", role="status")),
            _labelled("length", "Answer length", _number("length", TASKS[0].length)),
            _labelled("seed", "First seed", _number("seed", 0)),
            _labelled("runs", f"Runs (2 to {settings.many_runs})", _number("runs", min(16, settings.many_runs))),
            tag("button", "Run", type="submit", class_="button main", id="many-run"),
            tag("button", "Stop", type="button", class_="button", id="many-stop", disabled=True),
            class_="form-row"),
        tag("details", tag("summary", "Settings of this decoder"), *(_settings(item) for item in DECODERS), id="many-settings"),
        id="many-form", novalidate=True,
    )


def _choice(value: str, title: str, help: str, chosen: bool) -> Markup:
    return tag("label", tag("input", type="radio", name="vary", value=value, checked=chosen), tag("span", title, " ", tag("small", help)))


def _labelled(field: str, title: str, entry: Markup, *after: Markup, **more: Any) -> Markup:
    return tag("label", title, entry, *after, data_field=field, **more)


def _number(field: str, value: object) -> Markup:
    return tag("input", id=f"field-{field}", name=field, value=value, inputmode="numeric", autocomplete="off", size="6")


def _settings(decoder: Decoder) -> Markup:
    entries = [_setting(decoder, item) for item in fields(decoder.Settings)]
    return tag("div", *(entries or [tag("p", "Nothing to set.")]), class_="settings-of", data_decoder=decoder.name, hidden=decoder is not DECODERS[0])


def _setting(decoder: Decoder, item: Any) -> Markup:
    option: Option = item.metadata["option"]
    default = None if item.default is MISSING else item.default
    shared = {"id": field_id(decoder.name, item.name), "data_setting": item.name, "data_kind": option.kind}
    if option.kind == "bool":
        entry = tag("input", type="checkbox", checked=bool(default), data_default=str(bool(default)).lower(), **shared)
    elif option.kind == "choice":
        choices = (tag("option", choice.replace("_", " "), value=choice, selected=choice == default) for choice in option.choices)
        entry = tag("select", *choices, data_default=default, **shared)
    else:
        value = "" if default is None else f"{default:g}" if isinstance(default, int | float) else default
        hint = f"auto: {option.auto}" if option.auto else "off" if option.nullable else ""
        entry = tag("input", value=value, data_default=value, placeholder=hint, autocomplete="off", **shared)
    return tag("label", option.title or item.name, entry, tag("small", described(option)), data_field=f"settings.{item.name}")


def _results() -> Markup:
    charts = (("order", "Order of writing"), ("tau", "How far from left to right"), ("scores", "How sure"))
    return tag(
        "div",
        tag("h2", "What came out"),
        tag("ul", id="many-sentences"),
        *(_figure(*item) for item in charts),
        tag("details", tag("summary", "The order as a table"), _grid("many-places", "Steps of writing by place",
            ("Place", "Mean step", "Deviation", "Earliest", "Latest", "Runs"))),
        tag("h3", "The runs"),
        tag("p", tag("a", "Download as CSV", id="many-csv", class_="button", hidden=True, download="runs.csv")),
        _grid("many-table", "The runs", ("Run", "Seed", "Answer", "Verdict", "Steps", "Passes", "Tau", "Displaced", "Confidence")),
        id="many-results", hidden=True,
    )


def _figure(name: str, title: str) -> Markup:
    choice = tag("div", tag("label", "Score", tag("select", id="many-score")), class_="form-row") if name == "scores" else None
    room = tag("div", id=f"many-{name}", class_="chart", role="figure",
               aria_label=f"{title}; the tables below and the sentences above hold its values")
    return tag("section", tag("h3", title), choice, tag("p", READING[name], class_="how"), room, class_="figure")


def _grid(name: str, label: str, titles: Sequence[str]) -> Markup:
    """Return an empty table that a script fills."""
    head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in titles)))
    return tag("div", tag("table", head, tag("tbody"), id=name), class_="scrolled", tabindex="0", role="region", aria_label=label)


def sentences(view: Ensemble, asked: ManyRequest, draws: bool) -> tuple[str, ...]:
    """Return what the runs say, in words: whether they differ at all, their order, their verdicts."""
    return tuple(filter(None, (_difference(view, asked, draws), _order(view), _verdicts(view))))


def _difference(view: Ensemble, asked: ManyRequest, draws: bool) -> str:
    count = len(view.rows)
    if asked.prompt is None:
        return f"{count} held-out prompts, {view.orders} different orders of writing."
    if view.alike and not draws:
        return (f"All {count} runs are the same, token for token: with these settings the decoder draws nothing by lot, so another seed changes "
                "nothing. Where a spread is shown below as zero, that is why. Set a temperature above 0, or take a decoder that draws.")
    if view.alike:
        return f"All {count} runs took the same decisions, although these settings draw by lot: no draw was strong enough to change one."
    if not draws:
        return (f"The {count} runs differ although nothing is drawn by lot: numbers were rounded differently in shared passes "
                f"({view.answers} different answers, {view.orders} orders).")
    return f"{count} runs gave {view.answers} different answer{'' if view.answers == 1 else 's'} in {view.orders} different orders of writing."


def _order(view: Ensemble) -> str:
    if view.tau is None or view.displacement is None:
        return "No order can be told: every answer was written in one step."
    return (f"Against reading order: tau {_plus(view.tau)}, {view.displacement.mean:.1f} places displaced on average "
            f"(0 is left to right; a random order would have {view.by_chance:.1f}).")


def _plus(spread: Spread) -> str:
    return f"{spread.mean:.2f} ± {spread.deviation:.2f}"


def _verdicts(view: Ensemble) -> str:
    left = len(view.rows) - view.judged
    others = f" {left} could not be judged." if left else ""
    if not view.judged:
        return "No program can judge these answers, or none was finished."
    low, high = view.interval
    share = 100 * view.right / view.judged
    return (f"{view.right} of {view.judged} answers are right: {share:.0f} %, 95 % interval {low:.0f} to {high:.0f} %."
            f"{others}")
