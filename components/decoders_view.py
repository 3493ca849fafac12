"""The Decoders page: a card per decoder from its declaration, the measured table, the claims that were tried."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

from backend.decoders.base import CAPABILITIES, Decoder, Option, Score
from backend.decoders.catalogue import DECODERS
from backend.errors import AppError
from backend.tasks.catalogue import TASKS
from components import measured
from components.controls import described
from components.html import Markup, document, join, tag
from components.markdown import rendered
from components.measured import Row
from components.summary_view import mark_line

HOW_TO_READ = (
    "Up is right more often, left is cheaper. A bar is the 95 % interval: where two overlap widely, the difference may be "
    "chance. The stepped line joins what no other decoder beats at as few passes."
)
COLUMNS = (
    ("decoder", "Decoder"), ("percent", "Right, %"), ("passes", "Passes"), ("rows", "Rows"), ("rate", "Tokens per pass"),
    ("seconds", "Seconds"), ("consistency", "Consistency"),
)


def decoders_page(look: dict[str, Any], modules: tuple[str, ...]) -> Markup:
    """Return the page; ``look`` and ``modules`` as in ``document``."""
    return document(
        "Unmask: decoders",
        tag(
            "main",
            tag("h1", "Decoders"),
            tag("p", "What each method does, where its rule comes from, what it costs, and how it did on tasks whose answers a program "
                     "can check. ", tag("a", "Measured", href="#measured"), " · ", tag("a", "Claims", href="#claims"), " · ",
                tag("a", "Many runs at once", href="./many")),
            tag("nav", *(tag("a", decoder.name, href=f"#{decoder.name}") for decoder in DECODERS), class_="names", aria_label="Decoders"),
            tag("div", *(card(decoder) for decoder in DECODERS), class_="cards"),
            tag("section", tag("h2", "Measured"), _measured(), id="measured"),
            tag("section", tag("h2", "Claims of the sources, tried here"), _claims(), id="claims"),
            class_="wide",
        ),
        modules=modules, **look,
    )


def card(decoder: Decoder) -> Markup:
    """Return what a decoder declares about itself."""
    facts = [
        ("Source", decoder.source), ("Cost of a step", decoder.cost), ("Needs", needs_line(decoder)),
        ("Chance", chance_line(decoder)), *((f"Adds {score.title.lower()}", _score(score)) for score in decoder.scores),
    ]
    settings = fields(decoder.Settings)
    count = f"{len(settings)} setting{'' if len(settings) == 1 else 's'}"
    return tag(
        "section",
        tag("h3", decoder.title, " ", tag("code", decoder.name)),
        tag("p", decoder.summary),
        tag("p", mark_line(decoder), class_="marked"),
        tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts"),
        tag("details", tag("summary", count), tag("dl", *(_setting(item) for item in settings))) if settings
        else tag("p", "Nothing to set."),
        class_="card", id=decoder.name,
    )


def needs_line(decoder: Decoder) -> str:
    """Return what a model must offer, and what some settings ask for on top."""
    parts = [f"a model that {capable(decoder.needs)}" if decoder.needs else "any model"]
    parts += [f"{capable(more)} where {name} is {value}" for name, value, more in _extra(decoder)]
    return "; ".join(parts) + "."


def chance_line(decoder: Decoder) -> str:
    """Return whether the seed matters."""
    if decoder.draws(decoder.Settings()):
        return "Draws by lot: another seed gives another run."
    if not _may_draw(decoder):
        return "Draws nothing by lot."
    temperature = any(item.name == "temperature" for item in fields(decoder.Settings))
    return "Draws nothing by lot unless set to" + (", by a temperature for example." if temperature else ".")


def _may_draw(decoder: Decoder) -> bool:
    return any(decoder.draws(settings) for _, _, settings in _variants(decoder))


def _variants(decoder: Decoder) -> Iterable[tuple[str, Any, Any]]:
    """Yield (setting, value, settings) with one setting changed from its default."""
    for item in fields(decoder.Settings):
        option: Option = item.metadata["option"]
        values = {"choice": option.choices, "bool": (True, False), "float": (option.high,)}.get(option.kind, ())
        for value in values:
            yield item.name, value, decoder.Settings(**{item.name: value})


def _extra(decoder: Decoder) -> list[tuple[str, str, frozenset[str]]]:
    found: dict[tuple[str, frozenset[str]], list[str]] = {}
    for name, value, settings in _variants(decoder):
        more = decoder.wants(settings) - decoder.needs
        if more:
            found.setdefault((name, more), []).append(str(value).lower())
    return [(name, " or ".join(values), more) for (name, more), values in found.items()]


def capable(names: Iterable[str]) -> str:
    """Return what a model of these capabilities does, in words that follow "a model that"."""
    return " and ".join(CAPABILITIES[name] for name in CAPABILITIES if name in names)


def _score(score: Score) -> str:
    when = " and ".join(f"{name} is {' or '.join(map(str, values)).lower()}" for name, values in score.when.items())
    return f"{score.help} In {score.unit}; higher means {score.higher}." + (f" Recorded where {when}." if when else "")


def _setting(item: Any) -> Markup:
    option: Option = item.metadata["option"]
    default = option.auto or "off" if item.default in (None, MISSING) else _plain(item.default)
    choices = f" One of {', '.join(option.choices)}." if option.choices else ""
    return join(
        tag("dt", option.title or item.name, " ", tag("code", item.name)),
        tag("dd", described(option), f"{choices} Default: {default}."),
    )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() or "empty"


def _measured() -> Markup:
    try:
        rows = measured.measured()
    except AppError as error:
        return tag("p", str(error), class_="bad")
    if not rows:
        return tag("p", "Nothing has been measured here yet. The table is written by ", tag("code", measured.COMMAND),
                   " and shown when the page is opened again.")
    groups = measured.by_task(rows)
    fronts = {row for group in groups.values() for row in measured.front(group)}
    return join(
        tag("p", f"{len(rows)} rows: exact answers to held-out prompts, judged by a program; 95 % Wilson intervals. ",
            tag("a", "Download as CSV", href="./decoders.csv")),
        tag("div", _chooser(groups), class_="form-row"),
        tag("p", HOW_TO_READ, class_="how"),
        tag("div", id="measured-chart", class_="chart", role="figure",
            aria_label="Right answers against forward passes; the table below holds every value"),
        table(rows, fronts),
    )


def _chooser(groups: dict[tuple[str, str], tuple[Row, ...]]) -> Markup:
    titles = {task.name: task.title for task in TASKS}
    tasks = [tag("option", f"{titles.get(task, task)} · {model} · {rows[0].prompts} prompts", value=f"{model}/{task}")
             for (model, task), rows in groups.items()]
    names = sorted({row.decoder for rows in groups.values() for row in rows})
    pointed = [tag("option", "the Pareto front", value=""), *(tag("option", name, value=name) for name in names)]
    return join(
        tag("label", "Task", tag("select", *tasks, id="measured-task")),
        tag("label", "Point out", tag("select", *pointed, id="measured-decoder")),
    )


def table(rows: Iterable[Row], fronts: set[Row]) -> Markup:
    """Return the table that the chart is drawn from; a script narrows and sorts it."""
    head = tag("thead", tag("tr", *(tag("th", tag("button", title, type="button"), scope="col", data_key=key) for key, title in COLUMNS)))
    body = tag("tbody", *(_line(row, row in fronts) for row in rows))
    return tag(
        "div", tag("table", tag("caption", "A dot marks the Pareto front."), head, body, id="measured-table"),
        class_="scrolled", tabindex="0", role="region", aria_label="Measured table",
    )


def _line(row: Row, leads: bool) -> Markup:
    cells = (
        (f"{row.percent:.1f} ", tag("small", f"{row.low:.0f}–{row.high:.0f}")), (f"{row.passes:.1f}",), (f"{row.rows:,.0f}",),
        (f"{row.tokens_per_pass:.2f}",), (f"{row.seconds:.3f}",), ("–" if row.consistency is None else f"{row.consistency:.3f}",),
    )
    dot = tag("span", " ●", title="on the Pareto front", class_="leads") if leads else None
    return tag(
        "tr",
        tag("th", tag("a", row.decoder, href=f"#{row.decoder}"), dot, tag("small", settings_text(row.settings)), scope="row"),
        *(tag("td", *cell) for cell in cells),
        data_group=f"{row.model}/{row.task}", data_decoder=row.decoder, data_settings=settings_text(row.settings),
        data_percent=row.percent, data_low=row.low, data_high=row.high, data_passes=row.passes, data_rows=row.rows,
        data_rate=row.tokens_per_pass, data_seconds=row.seconds, data_consistency=row.consistency, data_front=leads,
    )


def settings_text(settings: str) -> str:
    """Return the settings of a row in words: those that differ from the defaults."""
    try:
        given = json.loads(settings)
    except ValueError:
        return settings
    if not isinstance(given, dict):
        return settings
    shown = (f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items())
    return ", ".join(shown) or "defaults"


def _claims() -> Markup:
    if not measured.CLAIMS.is_file():
        return tag("p", "No claim has been tried here yet. The page is written by ", tag("code", measured.CLAIMS_COMMAND), ".")
    source = measured.CLAIMS.read_text(encoding="utf-8")
    title, _, rest = source.partition("\n")
    return tag("div", rendered(rest if title.startswith("# ") else source), class_="prose")  # the section has a title already
