"""What every family promises, on tiny random checkpoints that transformers' own classes wrote.

Run: ``python -m pytest tests/contract/test_families.py``
"""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from backend import CapabilityError, ModelError, RunRequest, load_model, replay, run
from backend.models.base import Cache, Model

VOCABULARY, WINDOW, LENGTH = 96, 64, 19
MASK, EOS, PAD = 95, 94, 93
COMMON = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
          "intermediate_size": 48, "max_position_embeddings": WINDOW, "pad_token_id": PAD}
GROUPED = COMMON | {"num_key_value_heads": 2, "eos_token_id": EOS, "bos_token_id": None}
GEMMA = GROUPED | {"head_dim": 8}


@dataclass(frozen=True)
class Case:
    """A stock class and the small configuration that it is made with."""

    stem: str
    config: str
    values: dict[str, Any]
    kind: str = "causal"
    given: dict[str, Any] = field(default_factory=dict)


CASES = {
    "gpt2": Case("GPT2LMHeadModel", "GPT2Config", {
        "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": WINDOW, "eos_token_id": EOS,
        "bos_token_id": EOS, "pad_token_id": PAD}),
    "gpt_neox": Case("GPTNeoXForCausalLM", "GPTNeoXConfig", COMMON | {"eos_token_id": EOS}),
    "llama": Case("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "qwen2": Case("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen2-window": Case("Qwen2ForCausalLM", "Qwen2Config", GROUPED | {
        "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": Case("Qwen3ForCausalLM", "Qwen3Config", GROUPED | {"head_dim": 12, "tie_word_embeddings": True}),
    "gemma": Case("GemmaForCausalLM", "GemmaConfig", GEMMA),
    "gemma2": Case("Gemma2ForCausalLM", "Gemma2Config", GEMMA | {"sliding_window": 6, "query_pre_attn_scalar": 8}),
    "gemma3_text": Case("Gemma3ForCausalLM", "Gemma3TextConfig", GEMMA | {"sliding_window": 6, "query_pre_attn_scalar": 8}),
    "mistral": Case("MistralForCausalLM", "MistralConfig", GROUPED | {"sliding_window": 6}),
    "phi3": Case("Phi3ForCausalLM", "Phi3Config", GROUPED),
    "olmo2": Case("Olmo2ForCausalLM", "Olmo2Config", GROUPED),
    "smollm3": Case("SmolLM3ForCausalLM", "SmolLM3Config", GROUPED),
    "bert": Case("BertForMaskedLM", "BertConfig", COMMON, "masked_diffusion", {"mask_id": MASK}),
    "roberta": Case("RobertaForMaskedLM", "RobertaConfig", COMMON | {
        "pad_token_id": 1, "max_position_embeddings": WINDOW + 2}, "masked_diffusion", {"mask_id": MASK}),
    "modernbert": Case("ModernBertForMaskedLM", "ModernBertConfig", COMMON | {
        "local_attention": 8, "global_attn_every_n_layers": 2, "bos_token_id": None, "eos_token_id": EOS,
        "cls_token_id": None, "sep_token_id": None}, "masked_diffusion", {"mask_id": MASK}),
}
CAUSAL = tuple(name for name, case in CASES.items() if case.kind == "causal")
MASKED = tuple(name for name, case in CASES.items() if case.kind == "masked_diffusion")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a function that gives the stock model of a case, its folder and what we open it as."""
    root = tmp_path_factory.mktemp("families")

    @cache
    def make(name: str) -> tuple[Any, Path, Model]:
        case, folder = CASES[name], root / name
        stock = written(case, folder)
        return stock, folder, load_model(folder, **case.given)

    return make


def written(case: Case, folder: Path) -> Any:
    """Return a random stock model after saving it; no parameter has a value that hides a forgotten one."""
    torch.manual_seed(7)
    stock = getattr(transformers, case.stem)(getattr(transformers, case.config)(**case.values)).eval()
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.15)
    stock.save_pretrained(folder)
    return stock


def ids_of(rows: int = 2, length: int = LENGTH) -> torch.Tensor:
    """Return token ids without special ones."""
    return torch.randint(4, 90, (rows, length), generator=torch.Generator().manual_seed(3))


def shifted(logits: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the prediction for each position: a causal row predicts the next, the first keeps its own."""
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1) if kind == "causal" else logits


def left_padding() -> torch.Tensor:
    """Return a padding mask in which the first row has five padded positions."""
    padding = torch.ones(2, LENGTH, dtype=torch.long)
    padding[0, :5] = 0
    return padding


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_the_stock_class(made, name):
    stock, _, model = made(name)
    assert model.kind == CASES[name].kind
    got = model.logits(ids_of())
    want = shifted(stock(input_ids=ids_of()).logits, model.kind)
    assert got.shape == (2, LENGTH, VOCABULARY)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_logits_under_padding_are_those_of_the_stock_class(made, name):
    stock, _, model = made(name)
    padding = left_padding()
    want = shifted(stock(input_ids=ids_of(), attention_mask=padding).logits, model.kind)
    real = padding.bool()
    if model.kind == "causal":
        real[:, 1:] &= padding[:, :-1].bool()  # the first real position is read from a padded row
    torch.testing.assert_close(model.logits(ids_of(), padding)[real], want[real], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_embeddings_as_input_give_the_same_logits(made, name):
    _, _, model = made(name)
    got = model.logits(inputs_embeds=model.embed(ids_of()))
    torch.testing.assert_close(got, model.logits(ids_of()), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_attention_and_hidden_states_are_returned_and_change_nothing(made, name):
    stock, _, model = made(name)
    plain = model.forward(ids_of())
    output = model.forward(ids_of(), attentions=True, hidden_states=True)
    torch.testing.assert_close(output.logits, plain.logits, atol=2e-5, rtol=0)
    assert len(output.attentions) == model.n_layers and len(output.hidden_states) == model.n_layers + 1
    for weights in output.attentions:
        assert weights.shape == (2, model.n_heads, LENGTH, LENGTH)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, model.n_heads, LENGTH))
    want = stock(input_ids=ids_of(), output_hidden_states=True).hidden_states
    for got, state in zip(output.hidden_states[:-1], want[:-1], strict=True):
        torch.testing.assert_close(got, state, atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_only_wanted_positions_are_projected(made, name):
    _, _, model = made(name)
    project = torch.zeros(2, LENGTH, dtype=torch.bool)
    project[0, [0, 4, 9]] = project[1, [7, 18]] = True
    got = model.forward(ids_of(), project=project).logits
    torch.testing.assert_close(got.float(), model.logits(ids_of())[project], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_a_pairwise_mask_hides_what_it_says(made, name):
    _, _, model = made(name)
    short = ids_of(length=4)  # within every window
    other = short.clone()
    other[:, 2:] = 5
    seen = torch.ones(2, 4, 4, dtype=torch.bool)
    seen[:, :2, 2:] = False
    before, after = (model.logits(ids, seen) for ids in (short, other))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    everything = torch.ones(2, 4, 4, dtype=torch.bool)
    torch.testing.assert_close(model.logits(short, everything), model.logits(short), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ("modernbert", "gemma2", "mistral"))
def test_a_pairwise_mask_that_would_undo_a_window_is_refused(made, name):
    _, _, model = made(name)
    with pytest.raises(CapabilityError, match="window"):
        model.logits(ids_of(), torch.ones(2, LENGTH, LENGTH, dtype=torch.bool))


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_the_input_embeddings(made, name):
    _, _, model = made(name)
    embeds = model.embed(ids_of()).detach().requires_grad_()
    model.logits(inputs_embeds=embeds)[0, 9, 7].backward()
    assert bool(embeds.grad[0, 3].abs().sum() > 0)
    assert bool((embeds.grad[0, 10:] == 0).all()) == (model.kind == "causal")


@torch.no_grad()
@pytest.mark.parametrize(("name", "written_as", "reads_before"), (
    ("llama", {"model_type": "a2d-llama", "architectures": ["A2DLlamaLMHeadModel"]}, False),
    ("qwen2", {"model_type": "a2d-qwen2", "architectures": ["A2DQwen2LMHeadModel"]}, False),
    ("qwen3", {"model_type": "a2d-qwen3", "architectures": ["A2DQwen3LMHeadModel"]}, False),
    ("llama", {"model_type": "llama", "is_causal": False}, False),
    ("qwen2", {"model_type": "Dream", "architectures": ["DreamModel"], "auto_map": {"AutoModel": "modeling_dream.M"}}, True),
), ids=("a2d-llama", "a2d-qwen2", "a2d-qwen3", "llama-both-ways", "dream"))
def test_a_conversion_to_diffusion_is_the_stock_class_without_its_triangle(made, tmp_path, name, written_as, reads_before):
    stock, folder, _ = made(name)
    config = json.loads((folder / "config.json").read_text()) | {"mask_token_id": MASK} | written_as
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    model = load_model(tmp_path)
    rows = stock(input_ids=ids_of(), is_causal=False).logits
    want = shifted(rows, "causal") if reads_before else rows
    assert (model.kind, model.shifted, model.mask_id) == ("masked_diffusion", reads_before, MASK)
    assert {"bidirectional", "cache", "flow_routes"} <= model.capabilities
    torch.testing.assert_close(model.logits(ids_of()), want, atol=1e-5, rtol=0)


def incremental(model: Model, ids: torch.Tensor, prompt: int) -> Iterator[tuple[int, torch.Tensor, Cache]]:
    """Yield (position, logits for it, cache), computing each row once and nothing more."""
    cache, done = None, 0
    for position in range(prompt, ids.shape[1]):
        project = torch.zeros(ids.shape[0], position + 1, dtype=torch.bool)
        project[:, position] = True
        output = model.forward(ids[:, : position + 1], compute=torch.arange(done, position), project=project,
                               cache=cache, keep_cache=True)
        cache, done = output.cache, position
        yield position, output.logits, cache


@torch.no_grad()
@pytest.mark.parametrize("name", CAUSAL)
def test_decoding_with_a_cache_computes_only_new_rows_and_gives_the_same_logits(made, name):
    _, _, model = made(name)
    assert "cache" in model.capabilities
    whole = model.logits(ids_of())
    for position, logits, cache in incremental(model, ids_of(), prompt=5):
        torch.testing.assert_close(logits.float(), whole[:, position], atol=2e-5, rtol=0)
        assert cache.length == position


@torch.no_grad()
@pytest.mark.parametrize("name", CAUSAL)
def test_a_cached_prefix_serves_several_continuations(made, name):
    _, _, model = made(name)
    ids = ids_of(rows=1)
    cache = model.forward(ids, compute=torch.arange(8), project=torch.zeros(1, LENGTH, dtype=torch.bool),
                          keep_cache=True).cache
    for last in (3, 60):
        ids = ids.clone()
        ids[:, 10:] = last
        rest = model.forward(ids, compute=torch.arange(8, LENGTH), cache=cache, project=torch.arange(LENGTH)[None] > 8)
        torch.testing.assert_close(rest.logits.float(), model.logits(ids)[0, 9:], atol=2e-5, rtol=0)
    assert cache.length == 8


@torch.no_grad()
def test_a_cache_can_be_cut_back_and_its_rows_chosen(made):
    _, _, model = made("llama")
    cache = model.forward(ids_of(), keep_cache=True).cache
    cut = cache.first(7).of([1, 1, 0])
    assert cut.length == 7
    ids = ids_of()[[1, 1, 0]]
    got = model.forward(ids, compute=torch.arange(7, LENGTH), cache=cut, project=torch.arange(LENGTH).expand(3, -1) > 7)
    torch.testing.assert_close(got.logits.view(3, -1, VOCABULARY), model.logits(ids)[:, 8:], atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", MASKED)
def test_a_run_decodes_on_every_masked_language_model(made, name):
    _, _, model = made(name)
    events = list(run(model, RunRequest("llada", prompt_ids=(5, 6, 7), length=8, settings={"steps": 4})))
    assert events[-1].reason == "done"
    assert MASK not in replay(events, 4)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_run_decodes_on_every_causal_model(made, name):
    _, _, model = made(name)
    events = list(run(model, RunRequest("greedy", prompt_ids=(5, 6, 7), length=8)))
    assert events[-1].reason == "done", events[-1].message
    ids = torch.tensor([[5, 6, 7]])
    for position in range(3, 11):  # slowly: the whole canvas again for every token
        best = model.logits(torch.cat([ids, torch.zeros(1, 1, dtype=torch.long)], dim=1))[0, position].argmax()
        ids = torch.cat([ids, best.view(1, 1)], dim=1)
    got = replay(events, len(events) - 2)
    cut = got.index(EOS) if EOS in got else len(got)
    assert got[:cut] == tuple(ids[0].tolist())[:cut]


@pytest.mark.parametrize("name", ("bert", "roberta", "modernbert"))
def test_a_stock_family_says_that_it_has_no_rows_to_choose(made, name):
    _, _, model = made(name)
    assert "cache" not in model.capabilities
    with pytest.raises(CapabilityError, match="whole canvases"):
        model.forward(ids_of(), compute=torch.arange(4), project=torch.zeros(2, LENGTH, dtype=torch.bool))


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ("bfloat16", "float16"))
def test_half_precision_loads_in_its_type_with_tables_in_float32(made, name, dtype):
    _, folder, model = made(name)
    half = load_model(folder, dtype=dtype, **CASES[name].given)
    assert half.dtype == getattr(torch, dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {half.dtype}
    tables = [buffer for key, buffer in half.network.module.named_buffers() if "inv_freq" in key]
    assert all(table.dtype == torch.float32 for table in tables)
    got, want = half.logits(ids_of()), model.logits(ids_of())
    assert float((got - want).abs().mean()) < 0.05 * float(want.std()) + 0.02


@pytest.mark.parametrize("name", ("llama", "gpt2", "bert"))
def test_a_sharded_folder_gives_the_same_model(made, name, tmp_path):
    stock, _, model = made(name)
    stock.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert model.logits(ids_of()).equal(load_model(tmp_path, **CASES[name].given).logits(ids_of()))


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_nobody_holds_gives_its_weights_back_without_a_search_for_garbage(made, name):
    _, folder, _ = made(name)
    gc.collect()
    gc.disable()
    try:
        model = load_model(folder, **CASES[name].given)
        model.logits(ids_of())
        network = weakref.ref(model.network.module)
        del model
        assert network() is None  # what a start has made is left out of every search: ``backend.garbage``
    finally:
        gc.enable()


@pytest.mark.nightly
@torch.no_grad()
@pytest.mark.parametrize("name", ("gpt2", "gemma2", "bert", "qwen3"))
def test_a_compiled_model_gives_the_same_logits_with_and_without_a_cache(made, name):
    _, folder, model = made(name)
    compiled = load_model(folder, compile=True, **CASES[name].given)
    torch.testing.assert_close(compiled.logits(ids_of()), model.logits(ids_of()), atol=1e-4, rtol=0)
    if "causal" in model.capabilities:
        for position, logits, _ in incremental(compiled, ids_of(), prompt=12):
            torch.testing.assert_close(logits.float(), model.logits(ids_of())[:, position], atol=1e-4, rtol=0)


def gpt2_of_2019(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return GPT-2's tensors as its own files name them, with the triangles that they hold."""
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    return bare | {f"h.{layer}.attn.bias": torch.ones(1, 1, WINDOW, WINDOW).tril() for layer in range(2)}


def bert_of_2018(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return BERT's tensors as its own files name them, with the heads that only pretraining used."""
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
           for name, tensor in tensors.items()}
    return old | {"bert.pooler.dense.weight": torch.ones(32, 32), "cls.seq_relationship.weight": torch.ones(2, 32),
                  "bert.embeddings.position_ids": torch.arange(WINDOW)[None]}


@torch.no_grad()
@pytest.mark.parametrize(("name", "aged"), (("gpt2", gpt2_of_2019), ("bert", bert_of_2018)))
def test_the_names_of_old_files_are_understood(made, tmp_path, name, aged):
    _, folder, model = made(name)
    shutil.copy(folder / "config.json", tmp_path)
    save_file(aged(load_file(folder / "model.safetensors")), tmp_path / "model.safetensors")
    old = load_model(tmp_path, **CASES[name].given)
    assert old.logits(ids_of()).equal(model.logits(ids_of()))


def test_rows_that_leave_a_gap_are_refused(made):
    _, _, model = made("llama")
    with pytest.raises(ModelError, match="do not follow"):
        model.forward(ids_of(), compute=torch.tensor([0, 1, 3]))
    with pytest.raises(ModelError, match="rising order"):
        model.forward(ids_of(), compute=torch.tensor([1, 0]))
    with pytest.raises(ModelError, match="not computed"):
        model.forward(ids_of(), compute=torch.arange(4), project=torch.ones(2, LENGTH, dtype=torch.bool))
