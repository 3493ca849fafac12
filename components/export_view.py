"""A run as one HTML file: plays from disk with the network off, by the same modules as the page.

1. The modules that the player needs are collected from ``assets`` by following their imports.
2. Each becomes a ``data:`` address in an import map; relative imports are rewritten to the map's names.
3. The run travels as JSON that nothing executes; ``assets/standalone.js`` answers the player from it.

The file forbids itself the network and every script but these (a policy by hash), so that a token that
looks like markup stays text even if it were printed as such.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from backend.canvas import start_of, steps_of
from backend.events import Event
from components import wire
from components.canvas_view import table
from components.html import Markup, frame, script, style, tag, whole_page
from components.summary_view import run_line

ASSETS = Path(__file__).resolve().parents[1] / "assets"
ENTRY = "app.js"
HOME = "https://unmask.invalid/assets/"
"""Where an inlined module believes it lies; no request leaves for there, ``.invalid`` leads nowhere."""

STYLES = ("style.css", "dark.css", "standalone.css")
RUN = "example"
"""The id under which the player asks for the run that it opens with."""

_IMPORT = re.compile(r"""((?:\bfrom|\bimport)\s*\(?\s*)(["'])\./([\w/-]+\.js)\2""")


class Player:
    """A run that shows itself in a notebook; ``html`` is the file that plays it anywhere."""

    def __init__(self, events: Iterable[Event], height: int = 760) -> None:
        self.html = export_page(tuple(events))
        self._height = height

    def _repr_html_(self) -> str:
        """Return the player in a frame that may run its own scripts and reach nothing else."""
        return frame(self.html, title="A recorded run", height=self._height)


def show(events: Iterable[Event], height: int = 760) -> Player:
    """Return the app's player for these events: a notebook renders it inline, ``height`` pixels high.

    ``show(events).html`` is the standalone file. Raises ``ValueError`` when the events hold no ``Start``.
    """
    return Player(events, height)


def export_page(events: Sequence[Event]) -> Markup:
    """Return a whole page that plays the run without a server; without scripts it is a table."""
    begun = start_of(events)
    scripts = {"importmap": import_map(), "text/javascript": _asset("standalone.js"), "module": f'import "unmask/{ENTRY}";'}
    return whole_page(
        f"{begun.request.decoder} on {begun.model.name}",
        tag("main", tag("div", id="unmask"), tag("noscript", run_line(events), table(events, len(steps_of(events))))),
        script(_data(events), "application/json", id="unmask-run"),
        *(script(source, kind) for kind, source in scripts.items()),
        policy=_policy(scripts.values()),
        styles=tuple(style(_asset(name)) for name in STYLES),
    )


def _data(events: Sequence[Event]) -> str:
    steps = steps_of(events)
    texts = {str(token): shown for step in steps for token, shown in step.texts.items()}
    return wire.dumps({"run": RUN, "events": wire.Encoder(RUN).encode(events),
                       "steps": {str(step.index): wire.candidates(step) for step in steps}, "texts": texts})


@cache
def import_map() -> str:
    """Return the import map of the player's modules, each inlined as a ``data:`` address."""
    inlined = {f"unmask/{name}": "data:text/javascript;base64," + base64.b64encode(source.encode()).decode()
               for name, source in modules().items()}
    return json.dumps({"imports": inlined}, separators=(",", ":"))


@cache
def modules() -> dict[str, str]:
    """Return the modules that the player is made of, by name, their imports rewritten."""
    found: dict[str, str] = {}
    waiting = [ENTRY]
    while waiting:
        name = waiting.pop()
        if name not in found:
            source = _asset(name)
            found[name] = rewritten(source, name)
            waiting += [match[3] for match in _IMPORT.finditer(source)]
    return found


def rewritten(source: str, name: str) -> str:
    """Return a module with its imports by the map's names, and an address of its own that is no file's."""
    source = _IMPORT.sub(lambda match: f"{match[1]}{match[2]}unmask/{match[3]}{match[2]}", source)
    return source.replace("import.meta.url", json.dumps(HOME + name))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _policy(sources: Iterable[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'" for source in sources)
    return f"default-src 'none'; script-src data: {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
