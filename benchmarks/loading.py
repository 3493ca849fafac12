"""How long a large checkpoint takes to load, and how much memory at the peak, beside its size.

    python -m benchmarks.loading [--parameters 1e9] [--dtype bfloat16]

A random LLaDA-shaped checkpoint in bfloat16 is written to a temporary folder, shard by shard, and opened
in a fresh process. The peak is that of the whole process (its ``VmHWM``), so Python and the libraries
are in it; what the process held before loading is shown too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from backend.models.placing import DTYPES

VOCABULARY, WIDTH, INNER, HEADS = 126_464, 2048, 5632, 16
PER_LAYER = 4 * WIDTH * WIDTH + 3 * WIDTH * INNER + 2 * WIDTH
AROUND = 2 * VOCABULARY * WIDTH + WIDTH

CHILD = """
import json, re, sys, time
from pathlib import Path
import torch
from backend import load_model
def peak(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
import backend.models.loading
before, begin = peak("VmRSS"), time.perf_counter()
model = load_model(sys.argv[1], dtype=sys.argv[2])
loaded = time.perf_counter() - begin
begin = time.perf_counter()
with torch.inference_mode():
    model.forward(torch.zeros(1, 32, dtype=torch.long), project=torch.arange(32)[None] < 4)
print(json.dumps({"before": before, "peak": peak("VmHWM"), "load_s": loaded, "pass_s": time.perf_counter() - begin}))
"""


@dataclass(frozen=True)
class Loaded:
    """One load in a fresh process; amounts in bytes, times in seconds."""

    size: int
    before: int
    peak: int
    load_s: float
    pass_s: float


def write_checkpoint(folder: Path, parameters: float) -> int:
    """Write a random LLaDA-shaped checkpoint of about that many parameters and return its bytes."""
    layers = max(1, round((parameters - AROUND) / PER_LAYER))
    source = torch.Generator().manual_seed(0)
    files: dict[str, str] = {}

    def save(number: int, shapes: dict[str, tuple[int, ...]]) -> int:
        name = f"model-{number:05d}.safetensors"
        tensors = {key: (torch.randn(shape, generator=source, dtype=torch.bfloat16) if len(shape) == 1 else
                         torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02, generator=source))
                   for key, shape in shapes.items()}
        save_file(tensors, folder / name)
        files.update(dict.fromkeys(tensors, name))
        return (folder / name).stat().st_size

    top = "model.transformer."
    size = save(0, {f"{top}wte.weight": (VOCABULARY, WIDTH), f"{top}ln_f.weight": (WIDTH,)})
    size += save(1, {f"{top}ff_out.weight": (VOCABULARY, WIDTH)})
    for layer in range(layers):
        block = f"{top}blocks.{layer}."
        square = {f"{block}{part}.weight": (WIDTH, WIDTH) for part in ("q_proj", "k_proj", "v_proj", "attn_out")}
        norms = {f"{block}{part}.weight": (WIDTH,) for part in ("attn_norm", "ff_norm")}
        feed = {f"{block}ff_proj.weight": (INNER, WIDTH), f"{block}up_proj.weight": (INNER, WIDTH),
                f"{block}ff_out.weight": (WIDTH, INNER)}
        size += save(layer + 2, square | norms | feed)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llada", "architectures": ["LLaDAModelLM"], "vocab_size": VOCABULARY, "embedding_size": VOCABULARY,
        "d_model": WIDTH, "n_layers": layers, "n_heads": HEADS, "n_kv_heads": None, "mlp_hidden_size": INNER,
        "max_sequence_length": 4096, "rope_theta": 500000.0, "mask_token_id": 126_336, "eos_token_id": 126_081}))
    return size


def measured(folder: Path, size: int, dtype: str) -> Loaded:
    """Return how the checkpoint loads in a fresh process."""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", CHILD, str(folder), dtype], cwd=root, check=True,
                          capture_output=True, text=True)
    return Loaded(size, **json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Write, load, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parameters", type=float, default=1e9)
    parser.add_argument("--dtype", default="bfloat16", help="number type to load in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unmask-checkpoint-") as folder:
        size = write_checkpoint(Path(folder), arguments.parameters)
        found = measured(Path(folder), size, arguments.dtype)
    in_memory = found.size * DTYPES[arguments.dtype].itemsize // torch.bfloat16.itemsize
    sys.stdout.write(
        f"{found.size / 1e9:.2f} GB on disk, loaded as {arguments.dtype} in {found.load_s:.1f} s; a first pass of 32 rows "
        f"took {found.pass_s:.1f} s\npeak {found.peak / 1e9:.2f} GB = {found.peak / in_memory:.2f} x its size in memory "
        f"({found.before / 1e9:.2f} GB were there before loading)\n")


if __name__ == "__main__":
    main()
