"""The fakes and the models that the tests share; `python -m pytest` runs the fast set.

``backend.load_model`` is looked up where it is used: the process that shares the tests out reads this file before it
starts the others, and need not wait for the architectures.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import backend
from backend.decoders.catalogue import find_decoder
from backend.events import ModelInfo
from backend.models.base import Cache, ModelOutput
from backend.models.catalogue import MODELS

GOLDEN = Path(__file__).parent / "golden" / "data"
LONGEST = (
    "load/test_fair", "load/test_leaving", "load/test_memory", "contract/test_decoders", "contract/test_decoder_sharing", "load/test_faults",
    "app/test_server", "app/test_programs", "test_docs", "load/test_many", "unit/test_models_hub", "unit/test_tasks",
    "golden/test_trajectories", "contract/test_declarations", "security/test_fuzz", "app/test_explain_routes", "app/test_door",
    "contract/test_explanations", "unit/test_canvas", "unit/test_assd", "app/test_explain_far", "unit/test_diffusion_canvas",
    "unit/test_lessons", "test_layering", "security/test_traversal",
)
"""Files that take longest: they are begun first, so that neither process ends with a long one while the other is idle.

First of all come those that wait, side by side, and the one that searches all memory, of which there is least at the start.
"""

WAIT_S = 60.0
"""How long a test waits for a condition before it gives up; nothing is asserted about time."""

settings.register_profile("fast", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("fast")
torch.set_num_threads(1)


class _ByFile(LoadScopeScheduling):
    """Each file in one process, since its tests share what is dear to set up; all that drive a browser in the same."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "browser" if path.startswith("tests/browser/") else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFile:
    """Share the tests out by file; marks of groups are not read by this version of the plugin."""
    return _ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that drive a browser, which one process runs alone, then with the files that take longest."""
    rank = {f"tests/{name}.py": place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(item.config.rootpath).as_posix()
        return -1 if path.startswith("tests/browser/") else rank.get(path, len(rank))

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what stays for good, some thousand tests and the libraries, out of every search for garbage, these included."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_report_header() -> str:
    """Print the versions that the numbers depend on."""
    packages = ("torch", "transformers", "numpy", "gradio", "hypothesis")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    named = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"unmask: Python {sys.version.split()[0]}, {named}, device {device}"


@functools.cache
def _drawn(size: int) -> tuple[torch.Tensor, ...]:
    """Return the tables of every fake model, drawn once; a model has its own, multiplied."""
    source = torch.Generator().manual_seed(5)
    return tuple(torch.randn(size, size, generator=source) for _ in range(3))


class FakeModel:
    """Known logits: a fixed random table by position, left neighbour and right neighbour.

    A byte tokenizer: ids 0..255 are bytes, 256 the mask, 257 the end of sequence. ``passes`` counts
    the forward passes, ``computed`` the rows, ``seen`` keeps the canvases.
    """

    name, family, kind = "fake", "fake", "masked_diffusion"
    mask_id, eos_id, pad_id = 256, 257, None
    stop_ids = frozenset({257})
    vocab_size, max_length, n_layers, n_heads = 258, 320, 2, 1
    device, dtype, weights_hash = torch.device("cpu"), torch.float32, "0" * 16
    example_prompt, licence = "2+2=", None
    capabilities = frozenset({"bidirectional", "cache", "attention", "eviction"})
    shifted = False

    def __init__(self, sharpness: float = 2.0) -> None:
        self._at, self._left, self._right = (table * sharpness for table in _drawn(self.vocab_size))
        self.passes = 0
        self.computed = 0
        self.seen: list[torch.Tensor] = []

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, ids: tuple[int, ...]) -> str:
        return bytes(token for token in ids if token < 256).decode("latin-1")

    def token(self, token_id: int) -> str:
        return {256: "[MASK]", 257: "[EOS]"}.get(token_id) or chr(token_id)

    def parameters(self) -> Iterator[torch.Tensor]:
        yield self._at

    def info(self) -> ModelInfo:
        return ModelInfo(self.name, self.family, self.kind, self.weights_hash, "float32", "cpu",
                         self.vocab_size, self.mask_id, self.eos_id, {"torch": str(torch.__version__)}, tuple(sorted(self.stop_ids)))

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None) -> torch.Tensor:
        left, right = input_ids.roll(1, 1), input_ids.roll(-1, 1)
        if attention_mask is not None:
            after = torch.arange(input_ids.shape[1] - 1)
            right[:, :-1][~attention_mask[:, after, after + 1]] = self.mask_id
        positions = torch.arange(input_ids.shape[1]) % self.vocab_size
        return self._at[positions] + self._left[left] + self._right[right]

    def forward(
        self, input_ids=None, *, project=None, cache: Cache | None = None, compute=None, keep_cache=False,
        attention_mask=None, attentions=False, hidden_states=False, evict=None, **_,
    ) -> ModelOutput:
        """Run one pass; a row that is not computed keeps the token that its cache was made of."""
        self.passes += 1
        self.seen.append(input_ids.clone())
        self.computed += len(input_ids) * (input_ids.shape[1] if compute is None else len(compute))
        known = input_ids.clone()
        if compute is not None and cache is not None:
            held = cache.keys[0][:, 0, :, 0].long()
            known[:, : held.shape[1]] = held[:, : known.shape[1]]
            known[:, compute] = input_ids[:, compute]
        logits = self.logits(known, attention_mask)
        width = known.shape[1] if compute is None else max(cache.length if cache else 0, int(compute[-1]) + 1)
        kept = known[:, None, :width, None].float()
        likes = torch.stack([self._at[known][..., :8] for _ in range(1)], dim=1)
        scores = likes @ likes.transpose(2, 3) / 8
        weights, stay = scores.softmax(dim=-1), None
        if evict is not None:
            among = scores[0][:, compute][:, :, compute]
            stay = tuple(compute[evict(among, among.roll(1, 2))].tolist())
            project = project & torch.isin(torch.arange(input_ids.shape[1]), torch.tensor(stay))
        return ModelOutput(
            logits if project is None else logits[project], Cache((kept,), (kept,)) if keep_cache else None,
            (self._at[known if compute is None else known[:, compute]][..., :16],) if hidden_states else (),
            (weights, weights.roll(1, 3)) if attentions else (), stay,
        )


class FakeCausal(FakeModel):
    """The same table read from left to right: a place is predicted from the two tokens before it."""

    kind, mask_id, shifted = "causal", None, True
    capabilities = frozenset({"causal", "cache", "attention"})

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None) -> torch.Tensor:
        before, earlier = input_ids.roll(1, 1), input_ids.roll(2, 1)
        positions = torch.arange(input_ids.shape[1]) % self.vocab_size
        return self._at[positions] + self._left[before] + self._right[earlier]


def fake_for(name: str) -> FakeModel:
    """Return a fresh fake model of the kind that a decoder needs."""
    return FakeCausal() if "causal" in find_decoder(name).needs else FakeModel()


@pytest.fixture
def fake() -> FakeModel:
    """A fresh fake model: its counters start at 0."""
    return FakeModel()


@pytest.fixture(scope="session")
def shared_fake() -> FakeModel:
    """One fake model for property tests, which do not look at its counters."""
    return FakeModel()


@pytest.fixture(scope="session")
def mha():
    """The golden LLaDA checkpoint with as many key heads as query heads."""
    return backend.load_model(GOLDEN / "llada_mha")


@pytest.fixture(scope="session")
def gqa():
    """The golden LLaDA checkpoint with grouped key heads."""
    return backend.load_model(GOLDEN / "llada_gqa")


@pytest.fixture(scope="session")
def golden_models(mha, gqa) -> dict[str, object]:
    """Every golden checkpoint by name."""
    return {
        "llada_mha": mha,
        "llada_gqa": gqa,
        "dream_gqa": backend.load_model(GOLDEN / "dream_gqa"),
        "a2d_qwen3": backend.load_model(GOLDEN / "a2d_qwen3", mask_id=126, pad_id=118),
        "llada2_moe": backend.load_model(GOLDEN / "llada2_moe", mask_id=126, eos_id=120),
    }


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory) -> Path:
    """A tiny random Llama checkpoint as transformers saves it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("causal")
    config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=128, eos_token_id=63, bos_token_id=62, initializer_range=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def causal_model(causal_folder):
    """That checkpoint, loaded."""
    return backend.load_model(causal_folder)


@pytest.fixture(scope="session")
def tiny():
    """The embedded model of puzzles and arithmetic."""
    return backend.load_model("tiny-diffusion")


@pytest.fixture(scope="session")
def embedded(tiny):
    """Every embedded diffusion model whose weights are in place."""
    others = [card.name for card in MODELS
              if card.name != tiny.name and (card.folder / "model.safetensors").is_file()]
    return (tiny, *(model for model in map(backend.load_model, others) if model.kind == tiny.kind))
