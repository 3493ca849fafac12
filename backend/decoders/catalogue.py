"""The decoders, in the order of the menu. A new decoder is one file and one line here.

A decoder of your own need not live in this package: ``register_decoder`` adds one to the end of the menu. A
module that calls it is named to the server (``--decoders my_module``) and imported at start. Nothing
is ever discovered by itself: what runs here was named by whoever started the server.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass

from backend.decoders.base import CAPABILITIES, Decoder, Option, Score, checked
from backend.decoders.assd import Assd
from backend.decoders.beam import BeamSearch
from backend.decoders.block_diffusion import BlockDiffusion
from backend.decoders.ccd import Ccd
from backend.decoders.contrastive_search import ContrastiveSearch
from backend.decoders.diffusion_canvas import DiffusionCanvas
from backend.decoders.dream import Dream
from backend.decoders.entropy_bound import EntropyBound
from backend.decoders.explore_then_exploit import ExploreThenExploit
from backend.decoders.fast_dllm import FastDllm
from backend.decoders.focus import Focus
from backend.decoders.greedy import Greedy
from backend.decoders.klass import Klass
from backend.decoders.left_to_right import LeftToRight
from backend.decoders.llada import Llada
from backend.decoders.llada2 import Llada2
from backend.decoders.manual import Manual
from backend.decoders.mdlm import Mdlm
from backend.decoders.order_token_search import OrderTokenSearch
from backend.decoders.random_order import RandomOrder
from backend.decoders.sample import Sample
from backend.decoders.wedlm import Wedlm
from backend.errors import AppError, Problem, RequestError



class Catalogue(Sequence[Decoder]):
    """A list that only ``register_decoder`` may lengthen; whoever holds it sees what is added later."""

    def __init__(self, *decoders: Decoder) -> None:
        self._decoders = list(decoders)

    def __len__(self) -> int:
        """Return how many decoders there are."""
        return len(self._decoders)

    def __getitem__(self, at: int | slice) -> Decoder | Sequence[Decoder]:
        """Return the decoder at a place of the menu, or some of them."""
        return self._decoders[at]

    def add(self, decoder: Decoder) -> None:
        """Put a decoder at the end."""
        self._decoders.append(decoder)

    def remove(self, decoder: Decoder) -> None:
        """Take a decoder out again; raises ``ValueError`` when it is not there."""
        self._decoders.remove(decoder)


DECODERS = Catalogue(
    Llada(),
    Dream(),
    Mdlm(),
    FastDllm(),
    BlockDiffusion(),
    Llada2(),
    EntropyBound(),
    Klass(),
    Ccd(),
    OrderTokenSearch(),
    ExploreThenExploit(),
    Focus(),
    Assd(),
    Wedlm(),
    LeftToRight(),
    RandomOrder(),
    Manual(),
    Greedy(),
    Sample(),
    BeamSearch(),
    ContrastiveSearch(),
    DiffusionCanvas(),
)


def find_decoder(name: str) -> Decoder | None:
    """Return the decoder of that name, or None."""
    return next((decoder for decoder in DECODERS if decoder.name == name), None)


def register_decoder(decoder: Decoder) -> Decoder:
    """Add a decoder of your own to the menu, and return it.

    Raises ``RequestError`` that lists everything in its declaration that is wrong or missing.
    """
    problems = list(_problems(decoder))
    if find_decoder(getattr(decoder, "name", "")):
        problems.append(Problem("name", f"{decoder.name!r} is taken; choose another name."))
    if problems:
        raise RequestError(problems)
    DECODERS.add(decoder)
    return decoder


def register_modules(names: str) -> None:
    """Import these modules, comma separated, each of which calls ``register_decoder``.

    Raises ``AppError`` for a module that cannot be imported or adds no decoder.
    """
    for name in filter(None, (part.strip() for part in names.split(","))):
        before = len(DECODERS)
        try:
            module = importlib.import_module(name)
        except Exception as error:  # anything may go wrong in a module that is not ours
            raise AppError(f"Decoder module {name!r} cannot be imported: {error}.",
                           "Name a module that Python finds (PYTHONPATH), and mend what it says.") from error
        if len(DECODERS) == before and not any(type(item).__module__ == module.__name__ for item in DECODERS):
            raise AppError(f"Module {name!r} adds no decoder.", "End it with register_decoder(MyDecoder()), from backend import register_decoder.")


_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MARKS = ("sourced", "reconstructed", "own")
"""Where a rule may come from; see ``Decoder.mark``."""

_TEXTS = ("title", "source", "summary", "cost")
_KINDS = ("int", "float", "bool", "choice", "text")
_RECORDED = frozenset({"confidence", "entropy", "margin", "drift", "consistency"})
"""Scores of every run, whose names a decoder's own may not take; a test compares them with the measures."""


def _problems(decoder: Decoder) -> Iterator[Problem]:
    """Yield what is wrong with a declaration, so that it fails here and not in a visitor's face."""
    name = getattr(decoder, "name", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Problem("name", f"{name!r} is not a name; give 1 to 40 lower-case letters, digits and underscores, a letter first.")
    for text in _TEXTS:
        value = getattr(decoder, text, "")
        if not isinstance(value, str) or not value.strip():
            yield Problem(text, "is empty; " + ("begin the module, or the class, with a docstring." if text == "summary" else "give a sentence."))
    if getattr(decoder, "mark", "") not in MARKS:
        yield Problem("mark", f"{getattr(decoder, 'mark', '')!r} is not a mark; give {', '.join(MARKS[:-1])} or {MARKS[-1]}.")
    unknown = set(getattr(decoder, "needs", ())) - set(CAPABILITIES)
    if unknown:
        yield Problem("needs", f"{', '.join(sorted(unknown))} is unknown; a model can offer {', '.join(CAPABILITIES)}.")
    if not any(callable(getattr(decoder, rule, None)) for rule in ("choose", "decode")):
        yield Problem("choose", "is missing; write choose(view, settings, state), or decode(world).")
    yield from _settings_problems(getattr(decoder, "Settings", None))
    yield from _score_problems(getattr(decoder, "scores", ()))


def _settings_problems(settings: type | None) -> Iterator[Problem]:
    if not (isinstance(settings, type) and is_dataclass(settings) and settings.__dataclass_params__.frozen):
        yield Problem("Settings", "is not a frozen dataclass; give one, with no fields where there is nothing to set.")
        return
    for item in fields(settings):
        declared = item.metadata.get("option")
        if not isinstance(declared, Option) or declared.kind not in _KINDS or not declared.help:
            yield Problem(f"settings.{item.name}", f"is not declared; write option(default, kind, help, ...), kind one of {', '.join(_KINDS)}.")
        elif item.default is MISSING:
            yield Problem(f"settings.{item.name}", "has no default; the page starts with one.")
        else:
            _, problem = checked(declared, item.name, item.default, 64)
            if problem:
                yield Problem(problem.field, f"the default {problem.message}")


def _score_problems(scores: Sequence[Score]) -> Iterator[Problem]:
    for score in scores:
        if not isinstance(score, Score) or not score.low < score.top or not (score.help and score.title):
            yield Problem("scores", f"{score!r} is not declared; give Score(name, title, help, unit, higher, low, top), low below top.")
        elif score.name in _RECORDED or not _NAME.fullmatch(score.name):
            yield Problem("scores", f"{score.name!r} is not free; {', '.join(sorted(_RECORDED))} are recorded for every run.")
