"""Loading: what is refused and how, memory, devices, families, and the check of a model.

Run: ``python -m pytest tests/unit/test_models_loading.py``
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from backend import ModelError, RequestError, RunRequest, load_model, run
from backend.__main__ import main as command_line
from backend.models import memory, weights
from backend.models.catalogue import ASSETS
from backend.describe import check
from backend.models.families import FAMILIES, recognised
from backend.models.placing import place_by, spread
from benchmarks import loading
from tests.conftest import GOLDEN
from tests.unit.conftest import rewrite

SOURCE = GOLDEN / "llada_mha"


def change_tensor(folder: Path, name: str, change) -> None:
    """Replace one tensor by ``change`` of it; None takes it away."""
    tensors = load_file(folder / "model.safetensors")
    tensor = change(tensors.pop(name))
    if tensor is not None:
        tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors")


def cut(folder: Path) -> None:
    """Truncate the weights, as a broken copy does."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def flip(folder: Path) -> None:
    """Flip one bit of the header's first name."""
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[10] ^= 0x80
    path.write_bytes(content)


def pickled(folder: Path) -> None:
    """Leave weights as a pickle only."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def sharded_in_part(folder: Path) -> None:
    """Leave an index that names a shard that is not there."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


HEAD = "model.transformer.ff_out.weight"
SPOILT = {
    "pickled weights": (pickled, "pytorch_model.bin, which is not read", "convert the checkpoint"),
    "code of its own": (
        lambda folder: rewrite(folder, model_type="brand_new", architectures=["BrandNew"], auto_map={"AutoModel": "m.M"}),
        "never run here", "read natively"),
    "unknown type": (
        lambda folder: rewrite(folder, model_type="t5", architectures=["T5"], auto_map=None), "'t5'", "one of these families"),
    "truncated weights": (cut, "cannot be read as safetensors", "Copy the file again"),
    "a flipped bit": (flip, "cannot be read as safetensors", "Copy the file again"),
    "a tensor of another shape": (
        lambda folder: change_tensor(folder, HEAD, lambda tensor: tensor[:, :-1].contiguous()), "has shape", "same model"),
    "a missing tensor": (
        lambda folder: change_tensor(folder, "model.transformer.blocks.1.attn_norm.weight", lambda tensor: None),
        "1 missing (model.layers.1.input_layernorm.weight)", "same model"),
    "a tensor too many": (
        lambda folder: save_file(load_file(folder / "model.safetensors") | {"extra": torch.ones(1)}, folder / "model.safetensors"),
        "1 unexpected (extra)", "same model"),
    "no number among the weights": (
        lambda folder: change_tensor(folder, HEAD, lambda tensor: tensor.index_fill(0, torch.tensor([3]), torch.nan)),
        "lm_head.weight holds numbers that are not finite", "Copy the weights again"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json", "Give the folder"),
    "a config that is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "cannot be read as JSON", "Copy the file"),
    "a config that is a list": (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object", "Copy the file"),
    "a config that lacks a size": (lambda folder: rewrite(folder, d_model=None), "lacks the key 'd_model'", "Copy the file"),
    "another network of the family": (lambda folder: rewrite(folder, activation_type="swiglu"), "activation_type", "published"),
    "no sense in a size": (lambda folder: rewrite(folder, n_heads="many"), "fits no LLaDA model", "Copy the file"),
    "more layers than there can be": (lambda folder: rewrite(folder, n_layers=10**9), "above the limit of 4096", "Copy the file"),
    "quantized weights": (lambda folder: rewrite(folder, quantization_config={"bits": 4}), "quantized", "float32"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no *.safetensors", "Only safetensors"),
    "a shard that is missing": (sharded_in_part, "1 shards (model-00002-of-00002.safetensors)", "Copy the missing files"),
    "an index that is none": (
        lambda folder: [(folder / "model.safetensors").unlink(), (folder / "model.safetensors.index.json").write_text("{}")],
        "no index of shards", "Copy the file"),
    "a tokenizer that is none": (
        lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer", "Copy its files"),
    "a special id outside the vocabulary": (
        lambda folder: rewrite(folder, mask_token_id=100_000), "mask id 100000", "mask_id between"),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_malformed_folder_is_refused_with_its_remedy(folder, spoil):
    change, says, remedy = SPOILT[spoil]
    change(folder)
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert says in caught.value.message
    assert remedy in caught.value.remedy


def test_no_code_of_a_folder_ever_runs(folder):
    mark = folder / "it-ran"
    code = f"open({str(mark)!r}, 'w').close()\nclass LLaDAModelLM: pass\nclass LLaDAConfig: pass\n"
    for name in ("modeling_llada.py", "configuration_llada.py", "tokenization_llada.py", "__init__.py", "setup.py"):
        (folder / name).write_text(code)
    rewrite(folder, auto_map={"AutoConfig": "configuration_llada.LLaDAConfig", "AutoModel": "modeling_llada.LLaDAModelLM"})
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "DreamTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_llada.Dream", None]}}))
    (folder / "vocab.json").write_text(json.dumps({"a": 0, "b": 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    before = set(sys.modules)
    model = load_model(folder)
    assert list(run(model, RunRequest("llada", prompt_ids=(1, 2), length=4)))[-1].reason == "done"
    assert not mark.exists()
    assert not any("llada" in name and "transformers_modules" in name for name in set(sys.modules) - before)


def test_a_folder_without_a_tokenizer_takes_ids_and_refuses_text(folder):
    model = load_model(folder)
    assert list(run(model, RunRequest("llada", prompt_ids=(1, 2), length=4)))[-1].reason == "done"
    with pytest.raises(RequestError, match="no tokenizer"):
        run(model, RunRequest("llada", prompt="hello", length=4))


def test_an_unknown_mask_loads_and_a_run_says_what_to_do(folder):
    rewrite(folder, mask_token_id=None)
    model = load_model(folder)
    assert model.mask_id is None
    with pytest.raises(RequestError, match="mask_id"):
        run(model, RunRequest("llada", prompt_ids=(1,), length=4))
    assert load_model(folder, mask_id=126).mask_id == 126


# -- memory -------------------------------------------------------------------------------------


def test_a_model_that_does_not_fit_is_refused_with_both_numbers_before_any_tensor_is_read(folder, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 200_000)
    monkeypatch.setattr(weights, "_parts", lambda *_: pytest.fail("a tensor was read"))
    with pytest.raises(ModelError, match=r"needs about 0\.4 MB on cpu and 0\.2 MB are free.*bfloat16"):
        load_model(folder)


def test_a_tied_head_counts_once_and_half_precision_half():
    with torch.device("meta"):
        tied = LlamaForCausalLM(LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
                                            num_attention_heads=2, tie_word_embeddings=True))
    count = sum(parameter.numel() for parameter in tied.parameters())
    for dtype in (torch.float32, torch.bfloat16):
        needed = memory.needed_bytes(tied, lambda name: torch.device("cpu"), dtype)
        assert needed == {torch.device("cpu"): count * dtype.itemsize}


def test_the_free_memory_of_this_machine_is_known():
    assert memory.free_bytes(torch.device("cpu")) > 10_000_000


def test_weights_of_the_wanted_type_stay_views_of_the_file():
    model = load_model(SOURCE)
    first = next(model.parameters())
    # A view of the mapped file shares its storage with no other parameter and was never written.
    assert first.is_contiguous() and first.dtype == torch.float32
    lines = Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else None
    if lines is not None:
        assert any("llada_mha/model.safetensors" in line for line in lines.splitlines())


@pytest.mark.nightly
def test_a_model_of_a_billion_parameters_loads_within_1_3_times_its_size():
    with tempfile.TemporaryDirectory() as folder:  # pytest would keep the 2 GB
        size = loading.write_checkpoint(Path(folder), 1e9)
        assert loading.measured(Path(folder), size, "bfloat16").peak <= 1.3 * size


# -- several devices ----------------------------------------------------------------------------


def test_the_place_of_a_tensor_is_that_of_the_longest_part_that_holds_it():
    place = place_by({"model.embed_tokens": 0, "model.layers.1": 0, "model.layers.10": 1, "model": "cpu"})
    assert place("model.layers.1.mlp.up_proj.weight") == torch.device("cuda", 0)
    assert place("model.layers.10.mlp.up_proj.weight") == torch.device("cuda", 1)
    assert place("model.norm.weight") == torch.device("cpu")
    assert place("lm_head.weight") == torch.device("cuda", 0)


def test_a_module_without_weights_is_spread_with_its_layers_whole():
    with torch.device("meta"):
        module = LlamaForCausalLM(LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                                              num_attention_heads=2))
    over = spread(module, torch.float32)
    assert over and not any(".self_attn" in part for part in over)


# -- the catalogue of families ------------------------------------------------------------------


def test_no_model_type_and_no_architecture_belongs_to_two_families():
    for field in ("model_types", "architectures"):
        names = [name for family in FAMILIES for name in getattr(family, field)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(("raw", "name"), (
    ({"model_type": "llada", "architectures": ["LLaDAModelLM"]}, "llada"),
    ({"model_type": "llada", "architectures": ["LLaDAMoEModelLM"]}, "llada-moe"),
    ({"model_type": "Dream", "architectures": ["DreamModel"]}, "dream"),
    ({"model_type": "a2d-qwen3", "architectures": ["A2DQwen3LMHeadModel"]}, "a2d-qwen3"),
    ({"model_type": "a2d-llama"}, "a2d-llama"),
    ({"model_type": "llada2_moe", "architectures": ["LLaDA2MoeModelLM"]}, "llada2"),
    ({"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]}, "modernbert"),
    ({"model_type": "gemma3_text", "architectures": None}, "gemma3_text"),
))
def test_a_family_is_recognised_by_architecture_then_by_type(raw, name):
    assert recognised(raw).name == name


def test_a_check_says_what_a_model_is_and_what_works_on_it(folder):
    (folder / "README.md").write_text("---\ntags:\n- x\nlicense: mit\n---\n# Model\n")
    text = "\n".join(check(load_model(folder)))
    assert "llada, 0.1 million parameters, float32 on cpu, 0.3 MB" in text and "licence mit" in text
    assert "logits [1, 128, 128], finite" in text
    assert "decoder llada: works" in text and "information flow routes: works" in text
    assert "positions a second" in text


def test_check_is_a_command_that_refuses_with_a_sentence(folder, capsys):
    assert command_line(["check", str(folder)]) == 0
    assert "mask 124" in capsys.readouterr().out
    pickled(folder)
    assert command_line(["check", str(folder)]) == 2
    said = capsys.readouterr()
    assert "Only safetensors are read" in said.err and "Traceback" not in said.err


def test_the_models_command_lists_embedded_models_and_families(capsys):
    assert command_line(["models"]) == 0
    said = capsys.readouterr().out
    assert "tiny-diffusion" in said and all(family.title in said for family in FAMILIES)


def test_progress_reaches_one(folder):
    shares = []
    load_model(folder, progress=shares.append)
    assert shares[-1] == pytest.approx(1.0) and shares == sorted(shares)


def test_the_embedded_models_are_those_with_weights():
    from backend.models.catalogue import CARDS, MODELS

    assert [card for card in CARDS if (ASSETS / card.name / "model.safetensors").is_file()] == list(MODELS)
    for card in CARDS:
        if card not in MODELS:
            with pytest.raises(ModelError, match="train --model"):
                load_model(card.name)
