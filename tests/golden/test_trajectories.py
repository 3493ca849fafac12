"""Whole runs against the published samplers, id for id at every state (see data/README.md)."""

from __future__ import annotations

import json
from collections.abc import Callable

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
OTHER_STEPS = {
    "traj_fastdllm_factor/prefix_threshold0.4[0]", "traj_fastdllm_factor/dual_threshold0.4[0]",
    "traj_dllm_mdlm/infill_b2[0]", "traj_dllm_mdlm/infill_b2[1]", "traj_dllm_bd3lm/b2_g16_bl8_cfg1.5[0]", "traj_dllm_llada2/b2_g16_bl8_thr0.4[0]",
}
"""Runs whose reference has passes that ours has not, so that steps have other numbers."""
PROBABILITY = [param for param in ROWS if "random" not in param.id and "temp0.8" not in param.id
               and "topk_margin" not in param.id and "entropy" not in param.id and "origin" not in param.id
               and "topp" not in param.id and "topk" not in param.id
               and param.id not in OTHER_STEPS]
"""Runs whose recorded score is the plain probability of the proposed token."""


class Recorded:
    """The reference's own draws, in place of the draws keyed by the seed."""

    def __init__(self, run_id: str) -> None:
        self._draws = next(TENSORS[f"{run_id}/{name}"] for name in ("noise", "random", "uniform")
                           if f"{run_id}/{name}" in TENSORS)

    def uniform(self, stream: int, step: int, position: int, size: int) -> np.ndarray:
        return self._draws[step - 1, 0, position].double().reshape(size).numpy()


def request_of(item: dict, row: int) -> RunRequest:
    """Return the request that asks for a golden run's row, unpadded."""
    given, ids = item["settings"], tuple(item["prompts"][row])
    decoder, settings = {
        "llada.generate": llada, "dllm.MDLMSampler.sample": mdlm, "dllm.MDLMSampler.infill": mdlm,
        "dream.diffusion_generate": dream, "dllm.BD3LMSampler.sample": block_diffusion,
        "dllm.LLaDA2Sampler.sample": llada2,
    }.get(item["sampler"], fast_dllm)(item, given)
    settings = {name: value for name, value in settings.items() if value is not None}
    length = given.get("gen_length") or given.get("max_new_tokens")
    if length:
        return RunRequest(decoder, prompt_ids=ids, length=length, settings=settings | off(decoder, given))
    ids = state_of(item, row, 0)
    fixed = {at: token for at, token in enumerate(ids) if token != item["tokens"]["mask"]}
    return RunRequest(decoder, prompt_ids=(), length=len(ids), settings=settings, fixed=fixed)


def off(decoder: str, given: dict) -> dict:
    """Return the thresholds that a Fast-dLLM run switches off."""
    return {"threshold": given.get("threshold"), "factor": given.get("factor")} if decoder == "fast_dllm" else {}


def llada(item: dict, given: dict) -> tuple[str, dict]:
    names = ("steps", "block_length", "cfg_scale", "remasking", "temperature")
    return "llada", {name: given.get(name) or None for name in names}


def mdlm(item: dict, given: dict) -> tuple[str, dict]:
    return "mdlm", {"steps": given["steps"], "block_length": given.get("block_size"), "cfg_scale": given.get("cfg_scale")}


def dream(item: dict, given: dict) -> tuple[str, dict]:
    return "dream", {name: given.get(name) for name in ("alg", "steps", "eps", "alg_temp", "top_p", "top_k")}


def block_diffusion(item: dict, given: dict) -> tuple[str, dict]:
    return "block_diffusion", {"block_length": given["block_size"], "steps": given.get("steps"),
                               "steps_per_block": given.get("steps_per_block"), "cfg_scale": given.get("cfg_scale")}


def llada2(item: dict, given: dict) -> tuple[str, dict]:
    return "llada2", {"block_length": given["block_size"], "steps_per_block": given["steps_per_block"],
                      "threshold": given["threshold"]}


def fast_dllm(item: dict, given: dict) -> tuple[str, dict]:
    name = item["id"].split("/")[1]
    cache = next((kind for kind in ("prefix", "dual") if kind in name), "none")
    steps = None if "dream" in item["sampler"] else given["steps"]
    return "fast_dllm", {"block_length": given.get("block_length") or given["block_size"], "steps": steps, "cache": cache}


def state_of(item: dict, row: int, number: int) -> tuple[int, ...]:
    """Return a recorded state without padding; positions that do not exist yet are masks."""
    mask = item["tokens"]["mask"]
    state = [mask if token == -1 else token for token in TENSORS[f"{item['id']}/x"][number, row].tolist()]
    if item["sampler"].startswith("dllm.MDLM"):
        length = len(item["prompts"][row]) + (item["settings"].get("max_new_tokens") or 0)
        return tuple(state[:length])
    return tuple(state)


@pytest.fixture(scope="module")
def events_of(golden_models) -> Callable[[dict, int], tuple]:
    """Return a function that gives the events of our run of a golden run's row; each is run once."""
    found: dict[tuple[str, int], tuple] = {}

    def events(item: dict, row: int) -> tuple:
        if (item["id"], row) not in found:
            drawn = any(f"{item['id']}/{name}" in TENSORS for name in ("noise", "random", "uniform"))
            noise = Recorded(item["id"]) if drawn else None
            found[item["id"], row] = tuple(run(golden_models[item["checkpoint"]], request_of(item, row), noise=noise))
        return found[item["id"], row]

    return events


def without_repeats(states: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the states with passes that changed nothing left out."""
    return [state for at, state in enumerate(states) if at == 0 or state != states[at - 1]]


def test_every_golden_folder_and_every_kind_of_run_is_here():
    counts = {}
    for item in RUNS:
        folder = item["id"].split("/")[0]
        counts[folder] = counts.get(folder, 0) + 1
    assert counts == {
        "traj_llada_generate": 15, "traj_fastdllm_llada": 18, "traj_fastdllm_factor": 9, "traj_dllm_mdlm": 11,
        "traj_dream_generate": 15, "traj_dllm_bd3lm": 6, "traj_dllm_llada2": 5, "traj_fastdllm_dream": 6,
    }


@pytest.mark.parametrize(("item", "row"), ROWS)
def test_every_state_has_the_ids_of_the_reference(events_of, item, row):
    events = events_of(item, row)
    assert events[-1].reason == "done", events[-1].message
    ours = [replay(events, number) for number in range(len(steps_of(events)) + 1)]
    theirs = [state_of(item, row, number)[-len(ours[0]):] for number in range(len(TENSORS[f"{item['id']}/x"]))]
    in_batch = len(item["prompts"]) > 1
    if in_batch or "fastdllm_factor" in item["id"]:
        # A row of a batch waits for the others, and dLLM's port skips the pass over a full block.
        ours, theirs = without_repeats(ours), without_repeats(theirs)
    if item["sampler"] == "dllm.BD3LMSampler.sample" and in_batch:
        theirs = theirs[: len(ours)]  # the batch goes on until every row has ended
        assert len(ours) > 8
    assert ours == theirs


@pytest.mark.parametrize(("item", "row"), PROBABILITY)
def test_the_recorded_confidence_is_that_of_the_reference(events_of, item, row):
    events = events_of(item, row)
    got = scores(events, "confidence").numpy()
    want = TENSORS[f"{item['id']}/confidence"][:, row].numpy()
    want = want[:, : got.shape[1]] if item["sampler"].startswith("dllm.MDLM") else want[:, -got.shape[1]:]
    known = np.isfinite(want) & ~np.isnan(got)
    wrote = [bool(step.writes) for step in steps_of(events)]
    assert known[wrote].any(axis=1).all(), "every step that wrote has scores to compare"
    np.testing.assert_allclose(got[known], want[known], atol=5e-5, rtol=0)


@pytest.mark.parametrize(("item", "row"), [param for param in PROBABILITY if "traj_llada" in param.id or "nocache" in param.id])
def test_a_write_carries_the_probability_of_the_token_it_wrote(events_of, item, row):
    events = events_of(item, row)
    length = len(replay(events, 0))
    want = TENSORS[f"{item['id']}/confidence"][:, row, -length:]
    for number, step in enumerate(steps_of(events)):
        for position, _, probability in step.writes:
            assert probability == pytest.approx(float(want[number, position]), abs=5e-5)
