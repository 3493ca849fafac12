"""The request of a link or a lesson: read, checked, and turned into what the page's fields show.

What a link holds is a stranger's text. A model is chosen only among those that are offered (a link
never opens one), settings only among those that the decoder declares; whatever cannot be used falls
back to its default, and a sentence says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import gradio as gr

from backend.decoders.base import Decoder, checked
from backend.decoders.catalogue import DECODERS, find_decoder
from backend.engine import Engine, RunHandle
from backend.events import RunRequest
from backend.models.catalogue import ModelCard
from backend.tasks.catalogue import find_task
from components.controls import Control, Number, whole
from components.examples import prompt_of

TEXT_MAX = 16_000
"""Characters of a prompt or a template in a link."""

_GONE = "The run of this link is not kept here any more, and the link holds no request to repeat it."
_ALONE = "The run beside it is not kept here any more, and the link holds no request to repeat it: lane A is shown alone."
_EMPTY = ("", "null")
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True)
class Asked:
    """What a link asks for, as far as it can be used, and what is said about the rest."""

    model: str | None
    decoder: Decoder | None
    prompt: str
    """As it is typed: a text, or ``ids: 1, 2, 3``."""
    length: int
    seed: int
    settings: Mapping[str, Any]
    """Those that differ from the decoder's defaults."""
    template: str = ""
    """The answer with blanks, where tokens of it are fixed."""
    notices: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether a run of it is what the link meant: model and decoder are those it names."""
        return self.model is not None and self.decoder is not None

    @property
    def request(self) -> RunRequest:
        """The request that the page will hand in, what is fixed by a template aside."""
        text, ids = prompt_of(self.prompt)
        return RunRequest(self.decoder.name, prompt=text, prompt_ids=ids, length=self.length,
                          settings=self.settings, seed=self.seed)


def read(sent: Any, cards: Sequence[ModelCard]) -> Asked:
    """Return what the browser ``sent`` (names to texts, ``settings`` by name) asks for."""
    given = {name: value for name, value in sent.items() if isinstance(value, str)} if isinstance(sent, Mapping) else {}
    said: list[str] = []
    prompt = _prompt(given, said)
    task = find_task(prompt)
    length = _count(given.get("length"), task.length if task else 64, "answer length", said)
    decoder = _decoder(given.get("decoder"), said)
    settings = sent.get("settings") if isinstance(sent, Mapping) else None
    chosen = _settings(decoder, settings if isinstance(settings, Mapping) else {}, length, said) if decoder else {}
    return Asked(_model(given.get("model"), cards, said), decoder, prompt, length,
                 _count(given.get("seed"), 0, "seed", said), chosen, _text_of(given, "template", said), tuple(said))


@dataclass(frozen=True)
class Opened:
    """What a link opens: the request of lane A, that of lane B where it compares, and which of the runs are kept."""

    asked: Asked
    kept: bool
    second: Asked | None = None
    second_kept: bool = False


def opened(sent: Mapping[str, Any], engine: Engine) -> Opened:
    """Return what a link asks for, and whether the runs that it names are still there and are those requests'.

    A link that names a run and no request (a branch cannot be written as one) asks for the run's own.
    """
    request = sent.get("request")
    handle, beside = _named(sent, "run", engine), _named(sent, "vs", engine)
    if isinstance(request, Mapping) and {"decoder", "prompt", "ids"} & set(request):
        asked = read(request, engine.models())
        kept = _is_of(handle, asked)
    elif handle is not None:
        asked, kept = of_run(handle), True
    else:
        return Opened(replace(read(request, engine.models()), decoder=None, notices=(_GONE,)), False)
    second, said = _second(sent, engine)
    second_kept = _is_of(beside, second) if second else kept and beside is not None
    if sent.get("vs") and second is None and not second_kept:
        said = (*said, _ALONE)
    return Opened(replace(asked, notices=(*asked.notices, *said)), kept, second, second_kept)


def _second(sent: Mapping[str, Any], engine: Engine) -> tuple[Asked | None, tuple[str, ...]]:
    """Return what lane B is asked for, and what is said about it: it answers lane A's prompt with lane A's seed."""
    request, given = sent.get("request"), sent.get("second")
    if not isinstance(request, Mapping) or not isinstance(given, Mapping):
        return None, ()
    shared = {name: request[name] for name in ("prompt", "ids", "length", "seed", "template") if name in request}
    known = read(shared, engine.models()).notices
    second = read({**shared, **given}, engine.models())
    said = tuple(f"Lane B: {sentence}" for sentence in second.notices if sentence not in known)
    return (second if second.runs else None), said


def _named(sent: Mapping[str, Any], name: str, engine: Engine) -> RunHandle | None:
    """Return the kept run that a link names, if it is over."""
    handle = engine.find(sent[name]) if isinstance(sent.get(name), str) else None
    return handle if handle is not None and handle.ended else None


def _is_of(handle: RunHandle | None, asked: Asked) -> bool:
    """Tell whether a kept run is that of a request; what a template fixes is not compared."""
    return (handle is not None and asked.runs and handle.model_name == asked.model
            and replace(handle.request, fixed={}) == asked.request)


def of_run(handle: RunHandle) -> Asked:
    """Return the request of a kept run, as far as fields can show it."""
    request = handle.request
    prompt = f"ids: {', '.join(map(str, request.prompt_ids))}" if request.prompt is None else request.prompt
    return Asked(handle.model_name, find_decoder(request.decoder), prompt, request.length, request.seed, request.settings)


def shown(asked: Asked, controls: Sequence[Control]) -> list[Any]:
    """Return the values of prompt, model, decoder, length, seed, template, lane B and every setting; those not asked for stay."""
    settings = [
        gr.skip() if asked.decoder is None or control.decoder != asked.decoder.name
        else _field(control, asked.settings.get(control.name, control.default))
        for control in controls
    ]
    return [asked.prompt, asked.model or gr.skip(), asked.decoder.name if asked.decoder else gr.skip(),
            str(asked.length), str(asked.seed), asked.template, "", *settings]


def answer(number: Any, found: Opened) -> str:
    """Return what the opener carries back: which request this answers, whether it runs, what lane B is, what is said."""
    number = number if isinstance(number, int) else 0
    beside = found.second
    second = None if beside is None else {"model": beside.model, "decoder": beside.decoder.name, "settings": dict(beside.settings)}
    return json.dumps({"n": number, "runs": found.asked.runs, "kept": found.kept, "second": second,
                       "second_kept": found.second_kept, "notices": found.asked.notices})


def _prompt(given: Mapping[str, str], said: list[str]) -> str:
    return f"ids: {_text_of(given, 'ids', said)}" if "ids" in given else _text_of(given, "prompt", said)


def _text_of(given: Mapping[str, str], name: str, said: list[str]) -> str:
    text = given.get(name, "")
    if len(text) <= TEXT_MAX:
        return text
    said.append(f"The {name} of this link has {len(text)} characters; the limit is {TEXT_MAX}. It is left out.")
    return ""


def _model(name: str | None, cards: Sequence[ModelCard], said: list[str]) -> str | None:
    if name is None:
        return cards[0].name if cards else None
    found = next((card.name for card in cards if name in (card.name, card.title)), None)
    if found is None:
        said.append(f"The model {_short(name)} of this link is not offered here, and a link opens none. "
                    "Choose one and press Run.")
    return found


def _decoder(name: str | None, said: list[str]) -> Decoder | None:
    if name is None:
        return DECODERS[0]
    found = find_decoder(name)
    if found is None:
        said.append(f"There is no decoder {_short(name)}. Choose one and press Run.")
    return found


def _count(text: str | None, default: int, what: str, said: list[str]) -> int:
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 19:
        return int(text)
    said.append(f"The {what} {_short(text)} of this link is not a whole number; {default} stands for it.")
    return default


def _settings(decoder: Decoder, given: Mapping[str, Any], length: int, said: list[str]) -> dict[str, Any]:
    options = {item.name: item for item in fields(decoder.Settings)}
    unknown = [_short(name) for name in given if name not in options]
    if unknown:
        said.append(f"{decoder.title} has no setting {', '.join(unknown[:5])}; left out.")
    chosen = {}
    for name, item in options.items():
        if not isinstance(given.get(name), str):
            continue
        value, problem = checked(item.metadata["option"], name, _value(item.metadata["option"].kind, given[name]), length)
        if problem:
            said.append(f"{item.metadata['option'].title or name}: {problem.message} The default stands for it.")
        elif value != item.default:
            chosen[name] = whole(value)
    return chosen


def _value(kind: str, text: str) -> Any:
    """Return a setting's text as the kind of value it is; what cannot be read stays a text, to be refused as one."""
    if kind in ("choice", "text"):
        return _short_text(text)
    if text in _EMPTY:
        return None
    if kind == "bool":
        return _BOOLS.get(text, _short_text(text))
    try:
        return whole(float(text))
    except ValueError:
        return _short_text(text)


def _field(control: Control, value: Any) -> Any:
    """Return ``value`` as its input shows it."""
    if isinstance(control.widget, Number):
        return "" if value is None else str(value)
    return value


def _short_text(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _short(text: str) -> str:
    return f"“{_short_text(text, 40)}”"

