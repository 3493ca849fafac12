"""Whole runs against the published samplers, id for id at every state (see data/README.md)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file

from backend import RunRequest, replay, run, scores
from backend.canvas import steps_of
from tests.conftest import GOLDEN

RUNS = json.loads((GOLDEN / "trajectories.json").read_text())
TENSORS = load_file(GOLDEN / "trajectories.safetensors")
ROWS = [pytest.param(item, row, id=f"{item['id']}[{row}]")
        for item in RUNS for row in range(len(item["prompts"]))]


class Recorded:
    """The reference's own draws, in place of the draws keyed by the seed."""

    def __init__(self, run_id: str) -> None:
        self._token_draws = TENSORS.get(f"{run_id}/noise")
        self._order_draws = TENSORS.get(f"{run_id}/random")

    def uniform(self, stream: int, step: int, position: int, size: int) -> np.ndarray:
        draws = self._order_draws if self._token_draws is None else self._token_draws
        return draws[step - 1, 0, position].double().reshape(size).numpy()


def request_of(item: dict, row: int) -> RunRequest:
    """Return the request that asks for a golden run's row, unpadded."""
    given = item["settings"]
    length = given.get("gen_length") or given["max_new_tokens"]
    settings = {"block_length": given.get("block_length") or given["block_size"], "steps": given["steps"]}
    if item["sampler"] == "llada.generate":
        settings |= {name: given[name] for name in ("cfg_scale", "remasking", "temperature") if given.get(name)}
        decoder = "llada"
    else:
        settings |= {"threshold": given.get("threshold"), "factor": given.get("factor")}
        decoder = "fast_dllm"
    return RunRequest(decoder, prompt_ids=tuple(item["prompts"][row]), length=length, settings=settings)


def events_of(models: dict, item: dict, row: int) -> tuple:
    """Return the events of our run of a golden run's row."""
    drawn = any(f"{item['id']}/{name}" in TENSORS for name in ("noise", "random"))
    noise = Recorded(item["id"]) if drawn else None
    return tuple(run(models[item["checkpoint"]], request_of(item, row), noise=noise))


def test_every_golden_folder_and_every_kind_of_run_is_here():
    assert len(RUNS) == 15 + 6 + 3
    assert sum("cfg" in item["id"] for item in RUNS) == 5
    assert sum(len(item["prompts"]) > 1 for item in RUNS) == 3


@pytest.mark.parametrize(("item", "row"), ROWS)
def test_every_state_has_the_ids_of_the_reference(golden_models, item, row):
    states = TENSORS[f"{item['id']}/x"][:, row]
    events = events_of(golden_models, item, row)
    assert events[-1].reason == "done", events[-1].message
    assert len(steps_of(events)) == len(states) - 1
    for number, state in enumerate(states):
        canvas = replay(events, number)
        assert canvas == tuple(state[-len(canvas):].tolist()), f"state {number}"


@pytest.mark.parametrize(("item", "row"), [param for param in ROWS if "random" not in param.id and "temp" not in param.id])
def test_the_recorded_confidence_is_that_of_the_reference(golden_models, item, row):
    events = events_of(golden_models, item, row)
    got = scores(events, "confidence").numpy()
    want = TENSORS[f"{item['id']}/confidence"][:, row, -got.shape[1]:].numpy()
    candidate = np.isfinite(want)
    assert candidate.any(axis=1).all()
    np.testing.assert_allclose(got[candidate], want[candidate], atol=5e-5, rtol=0)


@pytest.mark.parametrize(("item", "row"), [param for param in ROWS if "random" not in param.id])
def test_a_write_carries_the_probability_of_the_token_it_wrote(golden_models, item, row):
    events = events_of(golden_models, item, row)
    length = len(replay(events, 0))
    want = TENSORS[f"{item['id']}/confidence"][:, row, -length:]
    for number, step in enumerate(steps_of(events)):
        for position, _, probability in step.writes:
            assert probability == pytest.approx(float(want[number, position]), abs=5e-5)
