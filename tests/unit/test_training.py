"""Training of the embedded models, on models of a few thousand weights.

Run: ``python -m pytest tests/unit/test_training.py``
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaForCausalLM

from backend import load_model
from backend.tasks.catalogue import TASKS
from backend.training.card import CARD, write_card
from backend.training.corpus import Corpus, encode
from backend.training.evaluate import DECODINGS, Cell, read_cells, wilson, write_cells
from backend.training.export import export
from backend.training.network import FlatForward, build_model
from backend.training.objective import masked_batch, next_token_batch, row_losses
from backend.training.optimiser import Optimiser, orthogonalised
from backend.training.quick_check import RULES, held_out, quick_check
from backend.training.recipes import RECIPES, Dimensions, Recipe
from backend.training.tokenizer import EOS, MASK, PAD, UNK, build_tokenizer
from backend.training.train import CHECKPOINT, LOG, Pace, Training

SMALL = Dimensions(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
RECIPE = Recipe(
    name="small",
    summary="A model for tests.",
    weights={"sudoku4": 1, "tail": 2, "sum": 1},
    dimensions=SMALL,
    tokens_per_step=600,
    mask_prompt=0.25,
)
PUZZLES = tuple(task for task in TASKS if task.model == "tiny-diffusion")


def corpus(recipe=RECIPE, tokens=None):
    """Return the corpus of ``recipe``."""
    size = tokens or recipe.tokens_per_step
    return Corpus(TASKS, recipe.weights, recipe.tokenizer(), size, recipe.extra_eos, recipe.seed)


def generator(seed=0):
    """Return a generator of its own."""
    return torch.Generator().manual_seed(seed)


def small_model(seed=0, causal=False):
    """Return a small model whose norms are not all one, so that forgetting one shows."""
    model = build_model(SMALL, 99, seed, causal=causal)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator(seed)), alpha=0.2)
    return model


def trained(folder, steps=6, stop_after=None, resume=False, recipe=RECIPE):
    """Train the small recipe for a few steps and return the run."""
    pace = Pace(steps=steps, check_prompts=0, log_steps=2, fast=False, stop_after=stop_after)
    run = Training(recipe, TASKS, folder, pace)
    if resume:
        run.resume(folder / CHECKPOINT)
    run.run()
    return run


# Tokenizer


@pytest.mark.parametrize("task", PUZZLES, ids=lambda task: task.name)
def test_the_tokenizer_is_lossless_on_the_corpus(task):
    tokenizer, rng = build_tokenizer(), random.Random(0)
    for _ in range(20):
        example = task.generate(rng, "train")
        prompt, answer = encode(tokenizer, example)
        assert UNK not in prompt + answer
        assert (tokenizer.decode(prompt), tokenizer.decode(answer)) == (example.prompt, example.answer)
        assert len(answer) < task.length
        assert len(prompt) + task.length <= Dimensions().max_position_embeddings


def test_digits_and_capitals_stay_single_and_words_are_whole():
    tokenizer = build_tokenizer(["lamp", " lamp", " Ann"])
    assert tokenizer.encode("A12 lamp, Ann").tokens == ["A", "1", "2", " lamp", ",", " Ann"]
    assert tokenizer.decode(tokenizer.encode("a lamp\nfor Zoe 42!").ids) == "a lamp\nfor Zoe 42!"


def test_special_tokens_have_the_fixed_ids():
    tokenizer = build_tokenizer()
    found = [tokenizer.token_to_id(token) for token in ("[PAD]", "[EOS]", "[MASK]", "[UNK]")]
    assert found == [PAD, EOS, MASK, UNK] == [0, 1, 2, 3]


# Corpus


def test_a_step_holds_the_same_examples_whenever_it_is_drawn():
    assert corpus().blocks(3) == corpus().blocks(3)
    assert corpus().blocks(3) != corpus().blocks(4)


def test_blocks_are_dense_within_the_budget_and_share_it_by_weight():
    sizes = Counter()
    for step in range(10):
        blocks = corpus(tokens=1200).blocks(step)
        assert all(len(row) == block.row_length for block in blocks for row in block.rows)
        assert sum(len(block.rows) * block.row_length for block in blocks) <= 1200
        for block in blocks:
            sizes[block.task] += len(block.rows) * block.row_length
    assert 1.5 < sizes["tail"] / sizes["sum"] < 2.5


def test_answer_regions_vary_by_zero_to_four_end_tokens():
    tails = set()
    for step in range(40):
        for block in corpus().blocks(step):
            if block.task == "sudoku4":
                row = block.rows[0]
                tails.add(len(row) - row.index(EOS))
    assert tails == {1, 2, 3, 4, 5}


def test_an_unknown_task_in_a_recipe_is_an_error():
    with pytest.raises(ValueError, match="chess"):
        corpus(replace(RECIPE, weights={"chess": 1}))


# Objective


def test_only_answers_are_hidden_unless_the_prompt_is_asked_for():
    blocks = corpus().blocks(0)
    answer = torch.cat([(torch.arange(b.row_length) >= b.prompt_length).repeat(len(b.rows)) for b in blocks])
    batch = masked_batch(blocks, 0.0, generator())
    assert answer[batch.read].all()
    assert (batch.ids[batch.read] == MASK).all()
    assert (batch.ids == MASK).sum() == len(batch.read)
    assert not answer[masked_batch(blocks, 1.0, generator()).read].all()


def test_the_number_of_hidden_tokens_is_uniform_from_one_to_all():
    block = max(corpus(tokens=6000).blocks(0), key=lambda block: len(block.rows))
    region = block.row_length - block.prompt_length
    counts = Counter()
    for seed in range(40):
        batch = masked_batch([block], 0.0, generator(seed))
        counts.update(torch.bincount(batch.rows, minlength=len(block.rows)).tolist())
    assert set(counts) == set(range(1, region + 1))
    expected = 40 * len(block.rows) / region
    assert all(abs(count / expected - 1) < 0.25 for count in counts.values())


def test_targets_are_the_tokens_that_were_hidden():
    blocks = corpus().blocks(1)
    clear = torch.tensor([token for block in blocks for row in block.rows for token in row])
    batch = masked_batch(blocks, 0.5, generator())
    assert batch.ids.index_copy(0, batch.read, batch.targets).equal(clear)


def test_a_row_loss_is_the_mean_over_its_hidden_tokens():
    blocks, model = corpus().blocks(0), small_model()
    batch = masked_batch(blocks, 0.0, generator())
    losses = row_losses(FlatForward(model, 600, compiled=False, mixed=False), batch)
    count, length = batch.shapes[0]
    ids = batch.ids[: count * length].view(count, length)
    clear = torch.tensor(blocks[0].rows)
    log_probs = model(input_ids=ids).logits.log_softmax(-1).gather(2, clear[..., None])[..., 0]
    expected = [-(row[mask].mean().item()) for row, mask in zip(log_probs, ids == MASK, strict=True)]
    assert losses[:count].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_causal_row_learns_every_token_of_its_answer_and_none_of_the_prompt():
    for block, batch in ((block, next_token_batch([block])) for block in corpus().blocks(2)):
        answers = torch.tensor(block.rows)[:, block.prompt_length :]
        assert batch.targets.view_as(answers).equal(answers)
        before = torch.tensor(block.rows)[:, block.prompt_length - 1 : -1]
        assert batch.ids[batch.read].view_as(before).equal(before)
        assert torch.bincount(batch.rows).tolist() == [answers.shape[1]] * len(block.rows)


def test_a_causal_loss_is_that_of_the_stock_model():
    blocks, model = corpus().blocks(0), small_model(causal=True)
    block = blocks[0]
    losses = row_losses(FlatForward(model, 600, compiled=False, mixed=False), next_token_batch(blocks))
    clear = torch.tensor(block.rows)
    labels = clear.masked_fill(torch.arange(block.row_length) < block.prompt_length, -100)
    expected = [model(input_ids=row[None], labels=label[None]).loss.item()
                for row, label in zip(clear, labels, strict=True)]
    assert losses[: len(expected)].tolist() == pytest.approx(expected, abs=1e-5)


# Model


@torch.no_grad()
@pytest.mark.parametrize("causal", (False, True))
def test_the_flat_forward_pass_equals_the_stock_model(causal):
    model = small_model(causal=causal)
    batch = masked_batch(corpus().blocks(0), 0.2, generator())
    flat = FlatForward(model, 600, compiled=False, mixed=False)
    logits, start = flat.logits(flat(batch.ids, batch.shapes)), 0
    for count, length in batch.shapes:
        stop = start + count * length
        stock = model(input_ids=batch.ids[start:stop].view(count, length)).logits.flatten(0, 1)
        torch.testing.assert_close(logits[start:stop], stock, atol=2e-5, rtol=1e-4)
        start = stop


# Optimiser


def test_orthogonalised_matrices_have_singular_values_near_one():
    matrices = torch.randn(3, 24, 16, generator=generator())
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert ((values > 0.6) & (values < 1.3)).all()


def test_an_optimiser_goes_on_from_its_saved_state():
    def steps(optimiser, model, seeds):
        for seed in seeds:
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator(seed))
            optimiser.step(0.5)

    one, two = small_model(), small_model()
    first = Optimiser(dict(one.named_parameters()), 0.01, 0.001)
    steps(first, one, [1, 2])
    two.load_state_dict(one.state_dict())
    second = Optimiser(dict(two.named_parameters()), 0.01, 0.001)
    second.load({name: tensor.clone() for name, tensor in first.state().items()})
    steps(first, one, [3])
    steps(second, two, [3])
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert a.equal(b)


# Training


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "parts", stop_after=3)
    parts = trained(tmp_path / "parts", resume=True)
    assert parts.progress.step == whole.progress.step == 6
    assert parts.progress.examples == whole.progress.examples
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert a.equal(b)


def test_a_run_learns_and_logs_one_json_object_per_line(tmp_path):
    trained(tmp_path, steps=30)
    records = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    losses = [record["loss"]["tail"] for record in records if record["kind"] == "loss"]
    assert losses[-1] < losses[0] - 0.5
    assert [record["kind"] for record in records].count("start") == 1
    assert records[-1]["rate"] < 0.2


def test_a_quick_check_judges_every_task_and_rule():
    tasks = [task for task in TASKS if task.name in RECIPE.weights]
    accuracy = quick_check(small_model(), build_tokenizer(), tasks, 2)
    assert set(accuracy) == set(RECIPE.weights)
    assert all(set(values) == set(RULES) for values in accuracy.values())


def test_a_causal_model_is_checked_left_to_right_only():
    tasks = [task for task in TASKS if task.name in RECIPE.weights]
    accuracy = quick_check(small_model(causal=True), build_tokenizer(), tasks, 2)
    assert all(set(values) == {"left_to_right"} for values in accuracy.values())


def test_a_causal_run_learns_and_is_exported_as_a_causal_model(tmp_path):
    recipe = replace(RECIPE, causal=True)
    trained(tmp_path / "run", steps=30, recipe=recipe)
    records = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    losses = [record["loss"]["tail"] for record in records if record["kind"] == "loss"]
    assert losses[-1] < losses[0] - 0.5
    export(recipe, tmp_path / "run", tmp_path / "out")
    opened = load_model(tmp_path / "out", dtype="float32")
    stock = LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    ids = torch.tensor([opened.encode("tail: 12=")])
    assert opened.kind == "causal"
    torch.testing.assert_close(opened.logits(ids)[:, 1:], stock(input_ids=ids).logits[:, :-1], atol=1e-5, rtol=0)
    write_card(recipe, tmp_path / "out", [Cell("tail", "greedy", 15, 20, 13.0)])
    assert "each predicted from those before it" in (tmp_path / "out" / CARD).read_text()


def test_the_causal_twin_differs_from_tiny_diffusion_in_direction_only():
    sister = RECIPES["tiny-diffusion"]
    told = {"name": sister.name, "summary": sister.summary, "notes": sister.notes}  # what the card says trains nothing
    assert replace(RECIPES["tiny-causal"], causal=False, **told) == sister


def test_held_out_prompts_are_the_same_for_the_same_seed():
    task = TASKS[0]
    assert held_out(task, 5, 0) == held_out(task, 5, 0) != held_out(task, 5, 1)


# Export, evaluation and card


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the folder of a run of a few steps and the folder of its export."""
    run, out = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("out")
    trained(run)
    export(RECIPE, run, out)
    return run, out


@torch.no_grad()
def test_an_exported_model_is_bidirectional_in_stock_transformers(exported):
    run, out = exported
    model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32)
    ids = torch.tensor([[5, 6, MASK, 7, 8]])
    other = ids.clone()
    other[0, 4] = 9
    assert not torch.allclose(model(input_ids=ids).logits[0, 0], model(input_ids=other).logits[0, 0])
    weights = load_file(run / CHECKPOINT)
    for name, parameter in model.named_parameters():
        assert parameter.equal(weights[f"model.{name}"].bfloat16().float()), name


def test_an_exported_folder_states_its_special_ids_and_tokenizer(exported):
    _, out = exported
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["is_causal"], config["tie_word_embeddings"]) == (False, True)
    assert (config["pad_token_id"], config["eos_token_id"], config["mask_token_id"]) == (PAD, EOS, MASK)
    assert config["vocab_size"] % 8 == 0
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert (tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (MASK, EOS, PAD)
    direct = Tokenizer.from_file(str(out / "tokenizer.json"))
    assert direct.encode("tail: 12=").ids == tokenizer("tail: 12=", add_special_tokens=False)["input_ids"]


def test_a_wilson_interval_agrees_with_the_published_example():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    assert wilson(81, 263) == pytest.approx((25.53, 36.62), abs=0.01)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(100.0)


def test_accuracies_are_kept_for_the_same_weights_only(tmp_path):
    cell = Cell("tail", DECODINGS[0].label, 15, 20, 13.0)
    write_cells(tmp_path, "abc", [cell])
    assert read_cells(tmp_path, "abc") == {("tail", DECODINGS[0].label): cell}
    assert read_cells(tmp_path, "other") == {}


def test_a_card_shows_every_decoder_and_the_training(exported):
    _, out = exported
    cells = [Cell("tail", decoding.label, 15, 20, 13.0) for decoding in DECODINGS]
    write_card(RECIPE, out, cells)
    text = (out / CARD).read_text()
    assert all(f"| {decoding.label} |" in text for decoding in DECODINGS)
    assert "**75.0** [53, 89] / 13.0" in text
    assert "mask_prompt 0.25" in text


def test_every_recipe_names_tasks_of_the_catalogue():
    names = {task.name for task in TASKS}
    for recipe in RECIPES.values():
        assert set(recipe.weights) <= names
        assert recipe.tokenizer().token_to_id("[MASK]") == MASK
