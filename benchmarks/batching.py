"""What sharing forward passes saves: 16 runs together against the same 16 alone, paired in one process.

    python -m benchmarks.batching --threads 2

The embedded model, canvases of 48 and of 96 positions, ``llada`` at its defaults with noise. The
bound is 0.5 at 48 positions and 0.65 at 96. It is the whole of what a visitor waits for, recording
included; the events are compared too, since a fast wrong answer saves nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import torch

from backend import Model, RunRequest, load_model, run, run_many, same_run
from backend.events import Event

RUNS = 16
BOUNDS = {48: 0.5, 96: 0.65}


def main() -> None:
    """Measure both canvases and print the ratios, pair by pair."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, help="paired measurements of each canvas")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--steps", type=int, help="forward passes per run; one per position when not given")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model("tiny-diffusion")
    for canvas, bound in BOUNDS.items():
        requests = requests_of(model, canvas, arguments.steps)
        ratios = sorted([pair(model, requests) for _ in range(arguments.pairs + 1)][1:])  # the first one warms up
        median = statistics.median(ratios)
        sys.stdout.write(f"{RUNS} runs of {canvas} positions, {arguments.threads} thread(s): together / alone = {median:.3f} "
                         f"(min {ratios[0]:.3f}, max {ratios[-1]:.3f}, {len(ratios)} pairs); the bound is {bound}: "
                         f"{'kept' if median <= bound else 'MISSED'}\n")


def requests_of(model: Model, canvas: int, steps: int | None) -> list[RunRequest]:
    """Return runs of one prompt under many seeds, ``canvas`` positions each."""
    prompt = model.encode(model.example_prompt)[:16]
    settings = {"temperature": 0.5} | ({"steps": steps} if steps else {})
    return [RunRequest("llada", prompt_ids=prompt, length=canvas - len(prompt), settings=settings, seed=seed) for seed in range(RUNS)]


def pair(model: Model, requests: Sequence[RunRequest]) -> float:
    """Return the time together divided by the time alone; raises ``ValueError`` when the events differ."""
    begin = time.perf_counter()
    pairs = list(run_many(model, requests))
    between = time.perf_counter()
    alone = [list(run(model, request)) for request in requests]
    end = time.perf_counter()
    for number, events in enumerate(alone):
        if not same_run(events, _of(pairs, number)):
            raise ValueError(f"Run {number} differs when it shares passes.")
    return (between - begin) / (end - between)


def _of(pairs: Sequence[tuple[int, Event]], number: int) -> list[Event]:
    return [event for at, event in pairs if at == number]


if __name__ == "__main__":
    main()
