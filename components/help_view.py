"""The help page, written from the catalogues, so that it cannot fall behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.decoders.catalogue import DECODERS
from backend.models.catalogue import MODELS
from backend.tasks.catalogue import TASKS
from components.html import Markup, document, join, tag
from components.summary_view import decoder_line

if TYPE_CHECKING:
    from backend.measures.base import Measure

_IDEA = (
    "A masked diffusion language model starts from a row of masks and fills them in any order. At every "
    "forward pass it gives, for every masked position at once, a probability to every token. It does not "
    "say which of them to write now: a decoder decides that. Unmask shows each of these decisions.",
    "Type a prompt or choose an example, choose a decoder, and press Run. The canvas fills as the model "
    "decides. Then go back to any step, and point at a token to see what else the model considered there.",
)
_KEYS = (
    ("Space", "play or pause"), ("← →", "one step back or forward, with Shift ten"),
    ("Home End", "first and last step"), ("[ ]", "slower, faster"), ("Enter", "pin a token"),
    ("P", "pause a live run, or let it go on"), (". B", "one step of a paused run; set a breakpoint"),
    ("Esc", "unpin"), ("Page Up, Page Down", "in a lesson: one step back or on"),
)


def help_page(stylesheets: tuple[str, ...], dark: str | None = None, home: str | None = None) -> Markup:
    """Return the help as a page of its own; the sheets and the way home as in ``document``."""
    return document(
        "Unmask: help",
        tag(
            "main",
            tag("h1", "What is this?"),
            *(tag("p", paragraph) for paragraph in _IDEA),
            tag("h2", "Keys"),
            tag("dl", *(join(tag("dt", keys), tag("dd", what)) for keys, what in _KEYS)),
            tag("h2", "Decoders"),
            tag("p", "Each with its source, cost, settings and measured accuracy: ", tag("a", "the decoders", href="./decoders"),
                ". What one run cannot show: ", tag("a", "many runs at once", href="./many"), "."),
            tag("dl", *(join(tag("dt", tag("a", decoder.title, href=f"./decoders#{decoder.name}")), tag("dd", decoder_line(decoder)))
                        for decoder in DECODERS)),
            tag("h2", "Scores"),
            tag("dl", *(_measure(measure) for measure in _measures())),
            tag("h2", "Tasks whose answers are checked"),
            tag("dl", *(join(tag("dt", task.title), tag("dd", task.help)) for task in TASKS)),
            tag("h2", "Models"),
            tag("dl", *(join(tag("dt", card.title), tag("dd", card.help)) for card in MODELS)),
        ),
        stylesheets=stylesheets, dark=dark, home=home,
    )


def _measure(measure: Measure) -> Markup:
    return join(
        tag("dt", measure.title, " ", tag("code", measure.name)),
        tag("dd", f"{measure.help} In {measure.unit}; higher means {measure.higher}."),
    )


def _measures() -> tuple[Measure, ...]:
    from backend.measures.catalogue import MEASURES  # pulls in torch: not at page start

    return MEASURES
