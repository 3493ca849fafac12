"""What a forward pass costs, and what is saved by not computing what nobody asked for.

    python -m benchmarks.forward [--shape small|1b|8b] [--device cuda] [--pairs 7]

Random weights of LLaDA's shape. Every row is a pair taken in turn in this process: 1. logits of the
masked positions against logits of all; 2. the pass against its matrix products alone, the same shapes
in the same number type; 3. causal decoding with the cache against without.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from backend.models import llada, llama
from backend.models.loaded import LoadedModel, Texts
from backend.models.network import Network
from backend.models.placing import device_of, dtype_of
from backend.models.special import SpecialIds
from backend.models.tokens import PlainIds

SHAPES = {  # width, layers, heads, inner width, vocabulary
    "small": (512, 6, 8, 1408, 126_464),
    "mid": (768, 8, 12, 2048, 4096),
    "1b": (2048, 10, 16, 5632, 126_464),
    "8b": (4096, 32, 32, 12_288, 126_464),
}
LENGTHS = (128, 256, 512)
MASKED = 32
PROMPT, ANSWER = 64, 32


def main() -> None:
    """Measure and print every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--pairs", type=int, default=7, help="paired measurements of each row")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch on the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = device_of(arguments.device)
    dtype = dtype_of(arguments.dtype, device)
    model = random_model(arguments.shape, device, dtype, causal=False)
    count = sum(parameter.numel() for parameter in model.parameters())
    _say(f"{arguments.shape}: {count / 1e9:.2f} billion parameters, {dtype}, {device}")
    for length in LENGTHS:
        ids = torch.zeros(1, length, dtype=torch.long)
        masked = torch.arange(length)[None] >= length - MASKED
        _pair(f"{length} positions: {MASKED} masked rows / all rows projected", arguments.pairs, device,
              lambda: model.forward(ids, project=masked), lambda: model.forward(ids))
        _pair(f"{length} positions: pass / its matrix products", arguments.pairs, device,
              lambda: model.forward(ids), _products(model, length, device))
    del model
    causal = random_model(arguments.shape, device, dtype, causal=True)
    _pair(f"{ANSWER} causal tokens after {PROMPT}: with cache / without", max(2, arguments.pairs // 3), device,
          lambda: decode(causal, cached=True), lambda: decode(causal, cached=False))


def random_model(shape: str, device: torch.device, dtype: torch.dtype, *, causal: bool) -> LoadedModel:
    """Return a model of LLaDA's shape with random weights, without a file."""
    width, layers, heads, inner, vocabulary = SHAPES[shape]
    network: Network = llama.build({
        "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "max_position_embeddings": 4096}) if causal else llada.build({
        "vocab_size": vocabulary, "d_model": width, "n_layers": layers, "n_heads": heads, "mlp_hidden_size": inner,
        "max_sequence_length": 4096})
    module: Any = network.module.to(dtype).to_empty(device=device)
    module.model.rotary_emb.float()
    module.initialize_weights()
    module.eval().requires_grad_(False)
    return LoadedModel(network, Texts(PlainIds()), SpecialIds(vocabulary - 1, None, None), name=shape, family="random",
                       weights_hash="0" * 16, example_prompt=None)


@torch.inference_mode()
def decode(model: LoadedModel, *, cached: bool) -> torch.Tensor:
    """Return greedy tokens after a prompt: one row per step with the cache, the whole canvas without."""
    ids, cache, done = torch.ones(1, PROMPT, dtype=torch.long), None, 0
    for _ in range(ANSWER):
        length = ids.shape[1]
        canvas = functional.pad(ids, (0, 1))
        project = torch.arange(length + 1)[None] == length
        rows = torch.arange(done, length) if cached else None
        output = model.forward(canvas, compute=rows, project=project, cache=cache, keep_cache=cached)
        cache, done = output.cache, length
        ids = torch.cat([ids, output.logits.argmax(-1)[:, None].cpu()], dim=1)
    return ids


def _products(model: LoadedModel, length: int, device: torch.device) -> Callable[[], None]:
    """Return a function that does the matrix products of a pass with all its rows, and nothing else."""
    matrices = [parameter for name, parameter in model.network.module.named_parameters()
                if parameter.dim() == 2 and "embed" not in name]
    inputs = {matrix.shape[1]: torch.randn(length, matrix.shape[1], device=device, dtype=matrix.dtype) for matrix in matrices}

    def products() -> None:
        for matrix in matrices:
            functional.linear(inputs[matrix.shape[1]], matrix)

    return products


@torch.inference_mode()
def _pair(name: str, pairs: int, device: torch.device, one: Callable[[], object], other: Callable[[], object]) -> None:
    """Time both in turn and print medians and the median ratio."""
    _timed(one, device), _timed(other, device)
    taken = [(_timed(one, device), _timed(other, device)) for _ in range(pairs)]
    ratio = statistics.median(a / b for a, b in taken)
    first, second = (1000 * statistics.median(column) for column in zip(*taken, strict=True))
    _say(f"{name:<60} {first:9.1f} ms / {second:9.1f} ms = {ratio:5.2f}")


def _timed(work: Callable[[], object], device: torch.device) -> float:
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
