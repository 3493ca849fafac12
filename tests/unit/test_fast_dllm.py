"""Fast-dLLM on a schedule, with a cache, on a family that predicts from the row before.

The reference (Fast-dLLM, ``generation_utils_block.py``) writes one token from each block's opening pass,
which counts as a pass of the block; what is left is written in the block's other passes.
"""

from __future__ import annotations

import pytest

from backend import RunRequest, replay, run
from backend.canvas import steps_of


@pytest.mark.parametrize("cache", ["prefix", "dual"])
@pytest.mark.parametrize(("steps", "written"), [
    (16, [1] * 8), (8, [1, 3, 2, 2]), (6, [1, 4, 3]), (4, [1, 7]),
    (2, [1, 7]),  # one pass a block: it writes one token, so that another has to follow
])
def test_the_opening_pass_writes_one_token_and_the_other_passes_share_the_rest(golden_models, cache, steps, written):
    settings = {"threshold": None, "steps": steps, "block_length": 8, "cache": cache}
    events = tuple(run(golden_models["dream_gqa"], RunRequest("fast_dllm", prompt_ids=(5, 9, 11), length=16, settings=settings)))
    assert events[-1].reason == "done", events[-1].message
    assert [len(step.writes) for step in steps_of(events)] == written * 2
    assert golden_models["dream_gqa"].mask_id not in replay(events, len(written) * 2)


@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_a_block_whose_first_place_is_fixed_keeps_its_schedule(golden_models, cache):
    settings = {"threshold": None, "steps": 8, "block_length": 8, "cache": cache}
    request = RunRequest("fast_dllm", prompt_ids=(5, 9, 11), length=16, settings=settings, fixed={0: 7, 8: 7})
    events = tuple(run(golden_models["dream_gqa"], request))
    assert events[-1].reason == "done", events[-1].message
    assert [len(step.writes) for step in steps_of(events)] == [2, 2, 2, 1] * 2
