"""The same request gives the same run: alone or beside others, in any process, on any number of threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from backend import RunRequest, from_json, load_model, run, run_many, same_run
from backend.events import Event, to_lines
from tests.conftest import GOLDEN
from tests.contract.cases import LENGTH, NAMES, fits, options_of, request_of, requests_for_all, warm

ELSEWHERE = """
import sys, torch
from backend import load_model, run_many
from backend.events import to_lines
from tests.contract.cases import requests_for_all
torch.set_num_threads(2)
model = load_model(sys.argv[1])
for _, event in sorted(run_many(model, requests_for_all()), key=lambda pair: pair[0]):
    print(*to_lines([event]))
"""


@pytest.fixture(scope="module")
def shared(mha) -> list[list[Event]]:
    """Return the events of every request, decoded together."""
    found: list[list[Event]] = [[] for _ in requests_for_all()]
    for number, event in run_many(mha, requests_for_all()):
        found[number].append(event)
    return found


def test_the_same_request_gives_the_same_run_in_another_process(shared):
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, str(GOLDEN / "llada_mha")], cwd=root,
                          capture_output=True, text=True, check=True, timeout=240)
    there = [from_json(line) for line in done.stdout.splitlines()]
    assert same_run([event for events in shared for event in events], there)


def test_the_same_request_gives_the_same_run_on_one_and_on_two_threads(tiny):
    before = torch.get_num_threads()
    requests = [RunRequest(name, length=4, settings={**warm(name), **({"block_length": 4} if "block_length" in options_of(name) else {})}, seed=3)
                for name in NAMES if fits(name, tiny)]
    runs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(list(run_many(tiny, requests)))
    finally:
        torch.set_num_threads(before)
    one, two = ([event for _, event in sorted(pairs, key=lambda pair: pair[0])] for pairs in runs)
    assert same_run(one, two)


def test_runs_that_share_passes_equal_runs_on_their_own(mha, shared):
    for events, request in zip(shared, requests_for_all(), strict=True):
        assert same_run(events, list(run(mha, request))), request


def test_runs_of_one_length_share_their_forward_passes(fake):
    requests = [request_of("llada", {}, seed=seed) for seed in range(3)]
    list(run_many(fake, requests))
    assert fake.passes == LENGTH
    assert {len(canvases) for canvases in fake.seen} == {3}


def test_runs_whose_caches_differ_in_length_do_not_share_a_pass(golden_models):
    model = golden_models["a2d_qwen3"]
    requests = [RunRequest("block_diffusion", prompt_ids=(), length=16, settings={"block_length": size}) for size in (8, 12)]
    shared: dict[int, list] = {0: [], 1: []}
    for number, event in run_many(model, requests):
        shared[number].append(event)
    for number, request in enumerate(requests):
        assert shared[number][-1].reason == "done"
        assert same_run(shared[number], list(run(model, request)))


def test_the_golden_runs_equal_runs_written_as_json_lines(mha):
    events = list(run(mha, requests_for_all()[0]))
    assert [from_json(line) for line in to_lines(events)] == events
    assert load_model(GOLDEN / "llada_mha").weights_hash == events[0].model.weights_hash
