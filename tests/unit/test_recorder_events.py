"""What the recorder writes is an ordinary run, also when a loop hands over tensors of one number."""

from __future__ import annotations

import torch

from backend import Recorder, load_run, save_run


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
