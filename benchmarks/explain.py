"""What explanations cost, paired in one process on one machine.

    python -m benchmarks.explain                 # everything, on two threads
    python -m benchmarks.explain --only routes   # or: matrix, scaling

1. ``matrix``: the attribution matrix of a run of 64 tokens against one Captum call per token, as Captum's
   documentation has it (``LayerIntegratedGradients`` on the embedding layer, a forward that returns the
   target's log-probability, its delta): the embedded model, and a model of its shape with 32,000
   tokens. Pairs alternate token by token (step by step); the ratio is of sums. Beside it what no batching
   can save: the matrix products of our passes alone, which the same n_steps and number type ask for.
2. ``routes``: one graph on the embedded model, on its shape at 512 positions, and on a model of width
   1024 with 16 heads, with the memory it took beyond what was there before; against the naive tensor.
3. ``scaling``: the exponent of time in positions, fitted over four lengths.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from captum.attr import LayerIntegratedGradients
from transformers import LlamaConfig, LlamaForCausalLM

from backend import AttributionRequest, FlowRequest, RunRequest, attribute, flow_routes, load_model, replay, run
from backend.canvas import steps_of
from backend.explanations.base import finished
from backend.explanations.catalogue import find_method
from backend.explanations.objectives import Canvas, Target
from backend.models.base import Model

N_STEPS = 32
TOKENS = 64
EMBEDDED = dict(hidden_size=192, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=6, head_dim=32,
                intermediate_size=512)
WIDE = dict(hidden_size=1024, num_hidden_layers=12, num_attention_heads=16, num_key_value_heads=16, head_dim=64,
            intermediate_size=2816)


def main() -> None:
    """Measure and print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("matrix", "routes", "scaling"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of the run in the first part")
    parser.add_argument("--repeats", type=int, default=20, help="graphs timed per model")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name, part in (("matrix", _matrix), ("routes", _routes), ("scaling", _scaling)):
        if given.only in (None, name):
            part(given)


# -- attribution matrix -------------------------------------------------------------------------


def _matrix(given: argparse.Namespace) -> None:
    tiny = load_model("tiny-diffusion")
    prompt = dict(prompt=tiny.example_prompt)
    one = RunRequest("llada", length=given.tokens, **prompt)
    _pair("embedded model, one token a step", tiny, one)
    for count, named in ((2, "two"), (4, "four")):
        _pair(f"embedded model, {named} tokens a step", tiny, RunRequest(
            "llada", length=given.tokens, settings={"steps": max(1, given.tokens // count)}, **prompt))
    large = _random(vocab_size=32000, max_position_embeddings=256, **EMBEDDED)
    ids = tuple(range(10, 38))
    _pair("vocabulary 32,000, one token a step", large, RunRequest("llada", prompt_ids=ids, length=given.tokens))


def _pair(title: str, model: Model, request: RunRequest) -> None:
    """Time our shares of every step against a Captum call per token of it, in turn."""
    events = tuple(run(model, request))
    ours = theirs = least = gap = 0.0
    products = _products(model, len(events[0].canvas))
    method = find_method("integrated_gradients")
    for number, step in enumerate(steps_of(events)):
        ids = replay(events, number)
        targets = tuple(Target(position, token) for position, token, _ in step.writes)

        def mine(ids: tuple[int, ...] = ids, targets: tuple[Target, ...] = targets) -> torch.Tensor:
            return finished(method.shares(Canvas(model, ids, targets, n_steps=N_STEPS))).scores

        def captum(ids: tuple[int, ...] = ids, targets: tuple[Target, ...] = targets) -> torch.Tensor:
            return torch.stack([_captum(model, ids, target) for target in targets])

        pair = (mine, captum) if number % 2 else (captum, mine)
        timed = dict(zip(("first", "second"), (_timed(work) for work in pair), strict=True))
        (mine_s, got), (captum_s, want) = (timed["first"], timed["second"]) if number % 2 else (timed["second"], timed["first"])
        ours, theirs = ours + mine_s, theirs + captum_s
        least += _timed(products)[0] * (1 + len(targets))  # one way forward, one back per target
        gap = max(gap, float((got - want).abs().max() / want.abs().max()))
    count = sum(len(step.writes) for step in steps_of(events))
    _say(f"{title}: {count} tokens on {len(events[0].canvas)} positions, ours {ours:.2f} s, Captum {theirs:.2f} s, "
         f"ratio {theirs / ours:.2f}, largest difference {gap:.1e} of the largest entry; "
         f"the matrix products of our passes alone {least:.2f} s: without all else the ratio were {theirs / least:.2f}")


def _products(model: Model, length: int, points: int = 8) -> Callable[[], None]:
    """Return what computes the matrix products of one direction (forward or back) of a canvas's path.

    The last layer computes all keys and values but one query; everything else is left out.
    """
    *layers, last = model.network.module.model.layers
    weights = [part.weight for layer in layers for part in layer.modules() if isinstance(part, torch.nn.Linear)]
    weights += [last.self_attn.k_proj.weight, last.self_attn.v_proj.weight]
    inputs = {width: torch.randn(points * length, width) for width in {weight.shape[1] for weight in weights}}

    def work() -> None:
        for _ in range(N_STEPS // points):
            for weight in weights:
                torch.mm(inputs[weight.shape[1]], weight.T)

    return work


def _captum(model: Model, ids: tuple[int, ...], target: Target) -> torch.Tensor:
    def log_prob(tokens: torch.Tensor) -> torch.Tensor:
        return model.logits(tokens).log_softmax(dim=-1)[:, target.position, target.token]

    layer = model.network.module.get_input_embeddings()
    inputs = torch.tensor([ids])
    found, _ = LayerIntegratedGradients(log_prob, layer).attribute(
        inputs, torch.full_like(inputs, model.mask_id), n_steps=N_STEPS, return_convergence_delta=True)
    return found[0].sum(dim=-1).detach()


# -- routes -------------------------------------------------------------------------------------


def _routes(given: argparse.Namespace) -> None:
    tiny = load_model("tiny-diffusion")
    events = tuple(run(tiny, RunRequest("llada", length=TOKENS)))
    requests = [FlowRequest(replay(events, number), step.writes[0][0], per_head=True)
                for number, step in enumerate(steps_of(events))]
    _graphs(f"embedded model, {len(requests[0].ids)} positions", tiny, requests[: given.repeats])
    long = _random(vocab_size=104, max_position_embeddings=512, **EMBEDDED)
    _graphs("its shape, 512 positions", long, _half_masked(long, 512, given.repeats))
    wide = _random(vocab_size=1000, max_position_embeddings=512, **WIDE)
    _graphs("12 layers of width 1024, 16 heads, 512 positions", wide, _half_masked(wide, 512, max(3, given.repeats // 5)))
    everything = [FlowRequest(request.ids, request.position, threshold=0.0) for request in _half_masked(wide, 512, 1)]
    _graphs("the same with every edge", wide, everything, warm=False)
    naive = 16 * 512 * 512 * 1024 * 4 / 1e9
    _say(f"  one layer's [H, L, L, D] tensor would be {naive:.1f} GB there")


def _graphs(title: str, model: Model, requests: list[FlowRequest], warm: bool = True) -> None:
    if warm:
        flow_routes(model, requests[0])
    with _Peak() as peak:
        found = [_timed(lambda request=request: flow_routes(model, request)) for request in requests]
    times = sorted(seconds for seconds, _ in found)
    error = max(graph.graph["error"] for _, graph in found)
    edges = statistics.median(graph.number_of_edges() for _, graph in found)
    late = times[math.ceil(0.95 * len(times)) - 1]
    _say(f"{title}: median {statistics.median(times) * 1e3:.0f} ms, p95 {late * 1e3:.0f} ms "
         f"({len(times)} graphs, {edges:.0f} edges), extra memory {peak.megabytes:.0f} MB, error at most {error:.1e}")


def _half_masked(model: Model, length: int, count: int) -> list[FlowRequest]:
    ids = torch.randint(3, model.vocab_size, (length,), generator=torch.Generator().manual_seed(1))
    ids[length // 2 :] = model.mask_id
    return [FlowRequest(tuple(ids.tolist()), length - 1 - at) for at in range(count)]


class _Peak:
    """Largest resident memory of the process while it is open, beyond what was there, sampled every 2 ms."""

    def __enter__(self) -> _Peak:
        self._open, self._most, self._before = True, 0, _resident()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()
        self.megabytes = max(0.0, (self._most - self._before) / 1e6)

    def _watch(self) -> None:
        while self._open:
            self._most = max(self._most, _resident())
            time.sleep(0.002)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# -- scaling ------------------------------------------------------------------------------------


def _scaling(given: argparse.Namespace) -> None:
    model = _random(vocab_size=104, max_position_embeddings=512, **EMBEDDED)
    lengths = (64, 128, 256, 512)
    for title, work in (
        ("one attribution", lambda request: attribute(model, AttributionRequest(request.ids, request.position, 5, n_steps=8))),
        ("one graph", lambda request: flow_routes(model, request)),
        ("one graph with every edge", lambda request: flow_routes(
            model, FlowRequest(request.ids, request.position, threshold=0.0))),
    ):
        times = [min(_timed(lambda request=request: work(request))[0] for request in _half_masked(model, length, 3))
                 for length in lengths]
        logs = [(math.log(length), math.log(seconds)) for length, seconds in zip(lengths, times, strict=True)]
        slope = statistics.linear_regression(*zip(*logs, strict=True)).slope
        listed = ", ".join(f"{length}: {seconds * 1e3:.0f} ms" for length, seconds in zip(lengths, times, strict=True))
        _say(f"{title}: {listed}; "
             f"time grows like positions^{slope:.2f}")


def _random(**values: Any) -> Model:
    """Return a bidirectional Llama of that shape with random weights; the mask is token 2."""
    torch.manual_seed(0)
    config = LlamaConfig(is_causal=False, mask_token_id=2, eos_token_id=1, pad_token_id=0, initializer_range=0.06, **values)
    with TemporaryDirectory() as folder:
        LlamaForCausalLM(config).save_pretrained(folder)
        return load_model(folder, mask_id=2)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
