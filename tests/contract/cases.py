"""The cases of the contract tests: every decoder, and settings that reach each of its branches."""

from __future__ import annotations

import functools
import json
from dataclasses import fields

import pytest

from backend import RunRequest, replay, run
from backend.canvas import OPEN, steps_of
from backend.decoders.catalogue import DECODERS, find_decoder
from tests.conftest import FakeModel, fake_for

LENGTH = 16
FIXED = {3: 65, 9: 66}
NAMES = tuple(decoder.name for decoder in DECODERS if "uniform_diffusion" not in decoder.needs)
"""Masked and causal ones; a canvas of random tokens has tests of its own."""


def options_of(name: str) -> dict:
    """Return the declared options of a decoder by name."""
    return {item.name: item.metadata["option"] for item in fields(find_decoder(name).Settings)}


def variants(name: str) -> list[dict]:
    """Return settings that reach every branch a decoder declares, drawn from its options."""
    options = options_of(name)
    found: list[dict] = [{}]
    for key, option in options.items():
        if option.kind == "choice":
            found += [{key: choice} for choice in option.choices if choice != "wait"]  # that run ends unfinished
        elif option.kind == "bool":
            found += [{key: True}, {key: False}]
        elif option.kind == "int" and option.high == "length":
            found.append({key: LENGTH // 2})
        elif option.kind == "float":
            found.append({key: min(option.high, option.low + 0.8)})
    if "block_length" in options:
        found.append({"block_length": 4})
    if {"threshold", "steps"} <= options.keys():
        found.append({"threshold": None, "steps": LENGTH // 2})
    if {"temperature", "cfg_scale", "block_length"} <= options.keys():
        found.append({"temperature": 0.8, "cfg_scale": 1.5, "block_length": 8})
    return found


CASES = [pytest.param(name, given, id=f"{name}-{given}") for name in NAMES for given in map(json.dumps, variants(name))]


def warm(name: str) -> dict:
    """Return settings that draw tokens, where the decoder can."""
    return {"temperature": 0.9} if "temperature" in options_of(name) else {}


def mask_of(model) -> int:
    """Return the id of an open position on the canvas."""
    return OPEN if model.mask_id is None else model.mask_id


def fits(name: str, model) -> bool:
    """Tell whether a model offers what a decoder needs."""
    return find_decoder(name).needs <= model.capabilities


@functools.cache
def recorded(name: str, given: str, fixed: bool = False) -> tuple[FakeModel, tuple]:
    """Return a run of settings given as JSON, with the model that it counted on; each is run once."""
    model = fake_for(name)
    return model, tuple(run(model, request_of(name, json.loads(given), fixed=FIXED if fixed else None)))


def states(events) -> list[tuple[int, ...]]:
    """Return the canvas before the first step and after each one."""
    return [replay(events, n) for n in range(len(steps_of(events)) + 1)]


def request_of(name: str, given: dict, seed: int = 1, fixed: dict | None = None, prompt: str = "What? ") -> RunRequest:
    """Return the request that these tests run."""
    return RunRequest(name, prompt=prompt, length=LENGTH, settings=given, seed=seed, fixed=fixed or {})


def requests_for_all() -> list[RunRequest]:
    """Return one request per decoder and way of drawing, on prompts of two lengths."""
    found = []
    for number, name in enumerate(NAMES):
        if "causal" in find_decoder(name).needs:
            continue
        ids = tuple(range(20, 26 + number % 2))
        for given in ({}, warm(name), *([{"cfg_scale": 1.0}] if "cfg_scale" in options_of(name) else ())):
            found.append(RunRequest(name, prompt_ids=ids, length=LENGTH, settings=given, seed=7))
    return found
