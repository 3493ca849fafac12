"""What a key/value cache saves, and how far the predictions drift from true ones meanwhile: paired, in one process.

    python -m benchmarks.caches --threads 2

A random model of LLaDA's shape whose forward pass takes 50 ms or more, so that the saving is that of
the rows and not of the program around them. ``fast_dllm`` on LLaDA's schedule makes the same passes
with and without a cache; ``block_diffusion``, whose prefix is exact under its own attention, makes as
many and is set beside it. The same run with ``audit`` records how far each cached prediction is from
that of a full pass, and is made on the embedded model too, whose predictions mean something.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

import torch

from backend import Model, RunRequest, Step, load_model, run
from backend.events import Event
from benchmarks.forward import random_model

LENGTH, PROMPT, BLOCK, PER_BLOCK = 128, 128, 32, 8
LEAST_S = 0.05
"""Seconds of a forward pass, at least."""
CACHES = ("prefix", "dual")


def main() -> None:
    """Measure and print every row; exits with a message when the pass is too short to say anything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="mid", help="a shape of benchmarks.forward")
    parser.add_argument("--pairs", type=int, default=5, help="paired measurements of each row")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = random_model(arguments.shape, torch.device("cpu"), torch.float32, causal=False)
    prompt = tuple(range(10, 10 + PROMPT))
    seconds = statistics.median(_pass(model, prompt) for _ in range(5))
    _say(f"random model {arguments.shape!r}, {PROMPT} + {LENGTH} positions, {arguments.threads} thread(s): a pass takes {seconds * 1e3:.0f} ms")
    if seconds < LEAST_S:
        sys.exit(f"A pass of {seconds * 1e3:.0f} ms is below {LEAST_S * 1e3:.0f} ms; choose a larger --shape.")
    steps = PER_BLOCK * LENGTH // BLOCK
    scheduled = {"threshold": None, "steps": steps, "block_length": BLOCK}
    others = [(f"fast_dllm, cache {cache}", "fast_dllm", {**scheduled, "cache": cache}) for cache in CACHES]
    others.append(("block_diffusion", "block_diffusion", {"steps": steps, "block_length": BLOCK}))
    for title, decoder, given in others:
        _compared(model, prompt, scheduled, title, decoder, given, arguments.pairs)
    for cache in CACHES:
        _audited(model, prompt, LENGTH, {**scheduled, "cache": cache}, "random model")
    embedded = load_model("tiny-diffusion")
    for cache in CACHES:
        _audited(embedded, embedded.encode(embedded.example_prompt), 20, {"block_length": 10, "cache": cache}, "embedded model, its example")


def _compared(
    model: Model, prompt: tuple[int, ...], plain: Mapping[str, object], title: str, decoder: str,
    given: Mapping[str, object], pairs: int,
) -> None:
    """Print a run's time beside the uncached one's, taken in turn."""
    times = []
    for _ in range(pairs):
        without, bare = _timed(model, RunRequest("fast_dllm", prompt_ids=prompt, length=LENGTH, settings=plain, top_k=1))
        cached, kept = _timed(model, RunRequest(decoder, prompt_ids=prompt, length=LENGTH, settings=given, top_k=1))
        times.append((without, cached))
    ratios = sorted(without / cached for without, cached in times)
    _say(f"  {title:<24} {statistics.median(ratios):.2f} times as fast as uncached (min {ratios[0]:.2f}, max {ratios[-1]:.2f}, {pairs} pairs); "
         f"passes {kept.passes} and {bare.passes}, rows {kept.rows} and {bare.rows}")


def _audited(model: Model, prompt: tuple[int, ...], length: int, given: Mapping[str, object], title: str) -> None:
    """Print how far the cached predictions of a run are from true ones, and whether auditing left the run alone."""
    request = RunRequest("fast_dllm", prompt_ids=prompt, length=length, settings=given, top_k=1)
    plain = list(run(model, request))
    audited = list(run(model, RunRequest("fast_dllm", prompt_ids=prompt, length=length, settings={**given, "audit": True}, top_k=1)))
    drifts, same, looked_at = drift_of(audited)
    if not drifts:
        _say(f"  drift, {title}, cache {given['cache']}: no cached prediction was made")
        return
    written = [[step.writes for step in events if isinstance(step, Step)] for events in (plain, audited)]
    _say(f"  drift, {title}, cache {given['cache']}: KL(true | cached) mean {statistics.mean(drifts):.2g}, median {statistics.median(drifts):.2g}, "
         f"largest {max(drifts):.2g} nats over {len(drifts)} predictions; the same favourite in {100 * same / looked_at:.1f} %"
         f"{'' if _alike(*written) else '; the audit CHANGED the run'}")


def drift_of(events: Sequence[Event]) -> tuple[list[float], int, int]:
    """Return every recorded drift of an audited run, nats, and how many favourites agreed, of how many."""
    steps = [event for event in events if isinstance(event, Step) and "cache_looked_at" in event.notes]
    drifts = [value for step in steps for value in step.scores.get("cache_drift", ()) if value is not None]
    return drifts, sum(step.notes["cache_same_token"] for step in steps), sum(step.notes["cache_looked_at"] for step in steps)


def _alike(a: list, b: list) -> bool:
    return [[write[:2] for write in writes] for writes in a] == [[write[:2] for write in writes] for writes in b]


def _timed(model: Model, request: RunRequest) -> tuple[float, object]:
    begin = time.perf_counter()
    events = list(run(model, request))
    return time.perf_counter() - begin, events[-1].totals


def _pass(model: Model, prompt: tuple[int, ...]) -> float:
    ids = torch.tensor([[*prompt, *[model.mask_id] * LENGTH]])
    begin = time.perf_counter()
    with torch.no_grad():
        model.forward(ids, project=ids == model.mask_id)
    return time.perf_counter() - begin


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
