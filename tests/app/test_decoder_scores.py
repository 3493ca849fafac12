"""Scores that a decoder adds reach the page: declared at the start, packed over their own range."""

from __future__ import annotations

import base64

import numpy
import pytest

from backend import RunRequest, run
from backend.canvas import steps_of
from backend.decoders.catalogue import find_decoder
from backend.measures.catalogue import MEASURES
from components import wire
from tests.conftest import FakeModel

ADDED = [
    ("ccd", {}, "disagreement"), ("dream", {}, "dream_entropy"), ("dream", {"alg": "topk_margin"}, "dream_topk_margin"),
    ("fast_dllm", {"cache": "dual", "audit": True}, "cache_drift"), ("focus", {}, "focus_delta"),
]


@pytest.mark.parametrize(("decoder", "settings", "name"), ADDED)
def test_a_score_of_the_decoder_is_listed_and_packed_over_its_range(fake: FakeModel, decoder: str, settings: dict, name: str) -> None:
    events = list(run(fake, RunRequest(decoder, "abc", length=12, settings=settings)))
    sent = wire.Encoder("x").encode(events)
    declared = {item["name"]: item for item in sent[0]["measures"]}
    assert list(declared) == [*(measure.name for measure in MEASURES), name]
    low, high = declared[name]["low"], declared[name]["high"]
    assert declared[name]["help"] == next(score.help for score in find_decoder(decoder).scores if score.name == name)
    seen = 0
    for step, packet in zip(steps_of(events), sent[1:-1], strict=True):
        if name not in packet["scores"]:
            continue
        row = numpy.frombuffer(base64.b64decode(packet["scores"][name]), dtype="<u2")
        for position, value in zip(step.masked, step.scores[name], strict=True):
            if value is None:
                assert row[position] == wire.NO_SCORE
            else:
                seen += 1
                shown = low + row[position] / 65534 * (high - low)
                assert shown == pytest.approx(min(high, max(low, value)), abs=(high - low) / 131068 + 1e-9)
    assert seen


def test_a_score_that_these_settings_do_not_record_is_not_listed(fake: FakeModel) -> None:
    for decoder, settings in (("fast_dllm", {}), ("fast_dllm", {"cache": "dual"}), ("dream", {"alg": "origin"}), ("ccd", {"mode": "release"}), ("llada", {})):
        begun = next(run(fake, RunRequest(decoder, "abc", length=12, settings=settings)))
        assert [item["name"] for item in wire.measures(begun)] == [measure.name for measure in MEASURES]
