"""An answer ends at the first of any token that ends one: end of sequence, or end of turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend import RunRequest, run
from backend.canvas import answer_ids, steps_of
from backend.events import from_json, to_json
from tests.app.fakes import recorded
from tests.conftest import FakeCausal, FakeModel

TURN, AT = 10, 20


@pytest.mark.parametrize(("stops", "eos", "answer", "tail"), [
    ((1, 7), 1, (), 3), ((6,), None, (7,), 2), ((), 1, (7, 6), 1), ((), None, (7, 6, 1), 0),
])
def test_the_answer_is_cut_at_the_first_of_any(stops, eos, answer, tail):
    start = recorded()[0]
    begun = replace(start, model=replace(start.model, eos_id=eos, stop_ids=stops))
    assert answer_ids((4, 5, 7, 6, 1), begun) == (answer, tail)


def test_a_file_written_before_there_were_stop_ids_is_read():
    record = to_json(recorded()[0])
    del record["model"]["stop_ids"]
    assert from_json(record).model.stop_ids == ()


def turning(model: FakeModel) -> FakeModel:
    """Return the model with a token that ends a turn, which it writes at position ``AT`` and nowhere else."""
    model.stop_ids = frozenset({model.eos_id, TURN})
    model._at[:, [TURN, model.eos_id]] -= 1000.0
    model._at[AT, TURN] += 2000.0
    return model


@pytest.mark.parametrize("decoder", ["greedy", "sample", "contrastive_search", "beam"])
def test_a_causal_decoder_stops_at_the_end_of_a_turn(decoder):
    events = tuple(run(turning(FakeCausal()), RunRequest(decoder, prompt="2+2=", length=32, top_k=2)))
    written = [(at, token) for step in steps_of(events) for at, token, _ in step.writes]
    assert events[-1].reason == "done" and written[-1] == (AT, TURN) and max(at for at, _ in written) == AT


@pytest.mark.parametrize("decoder", ["block_diffusion", "wedlm"])
def test_a_decoder_that_commits_from_the_left_stops_after_the_end_of_a_turn(decoder):
    settings = {"block_length": 8} if decoder == "block_diffusion" else {"window": 8}
    events = tuple(run(turning(FakeModel()), RunRequest(decoder, prompt="2+2=", length=64, settings=settings)))
    assert events[-1].totals.written < 64 and events[-1].totals.answer_tokens == AT - 4
