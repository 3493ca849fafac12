"""What the recorder writes is an ordinary run, also when a loop hands over tensors of one number."""

from __future__ import annotations

import pytest
import torch

from backend import Recorder, RequestError, load_run, save_run


def test_positions_and_tokens_as_tensors_become_plain_numbers(fake, tmp_path):
    recorder = Recorder(fake, fake.encode("2+2="), length=3)
    while recorder.masked:
        canvas = torch.tensor([recorder.canvas])
        logits = fake.logits(canvas)
        confidence, tokens = logits[0].softmax(-1).max(-1)
        at = torch.tensor(recorder.masked)[confidence[list(recorder.masked)].argmax()]
        recorder.step(logits, [(at, tokens[at])])
    recorder.step(fake.logits(torch.tensor([recorder.canvas])), [], erases=[torch.tensor(5)])
    events = recorder.events()
    assert load_run(save_run(events, tmp_path / "loop.unmask")) == events
    assert events[-1].totals.steps == 4 and recorder.masked == (5,)


def test_a_token_ruled_out_by_minus_infinity_has_no_probability_and_every_score_stays_a_number(fake):
    plain, barred = Recorder(fake, fake.encode("2+2="), length=3), Recorder(fake, fake.encode("2+2="), length=3)
    logits = fake.logits(torch.tensor([plain.canvas]))
    logits[..., fake.eos_id] = -1e9
    want = plain.step(logits, [(4, 65)])
    logits[..., fake.eos_id] = -torch.inf
    got = barred.step(logits, [(4, 65)])
    assert got.scores == want.scores and got.candidates == want.candidates
    assert all(value is not None for value in got.scores["entropy"])


@pytest.mark.parametrize(("writes", "erases", "field"), [([(-1, 65)], [], "writes"), ([(7, 65)], [], "writes"), ([(4, 258)], [], "writes"), ([], [9], "erases")])
def test_a_change_that_is_not_there_is_refused_and_nothing_is_recorded(fake, writes, erases, field):
    recorder = Recorder(fake, fake.encode("2+2="), length=3)
    with pytest.raises(RequestError, match=field):
        recorder.step(fake.logits(torch.tensor([recorder.canvas])), writes, erases=erases)
    assert len(recorder.events()) == 2
