"""Export of a training run as a folder that stock ``transformers`` loads without any code of ours."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from backend.training.checkpoint import Progress, load_checkpoint
from backend.training.network import build_model
from backend.training.recipes import Recipe
from backend.training.tokenizer import SPECIAL
from backend.training.train import CHECKPOINT, starts

TRAINING = "training.json"

_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,
    **dict(zip(("pad_token", "eos_token", "mask_token", "unk_token"), SPECIAL, strict=True)),
}


def export(recipe: Recipe, run: Path, folder: Path) -> Progress:
    """Write weights (bf16), configuration, tokenizer and history of ``run`` into ``folder``; return its progress.

    Each file is replaced in one move, so that a reader never sees half of one.
    """
    tokenizer = recipe.tokenizer()
    model = build_model(recipe.dimensions, tokenizer.get_vocab_size(), recipe.seed, causal=recipe.causal)
    _, progress = load_checkpoint(run / CHECKPOINT, model)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        draft = Path(beside)
        model.to(torch.bfloat16).save_pretrained(draft)
        if not recipe.causal:
            (draft / "generation_config.json").unlink()  # generate() is causal and must not be offered
        tokenizer.save(str(draft / "tokenizer.json"))
        text = json.dumps(_TOKENIZER_CONFIG | {"model_max_length": recipe.dimensions.max_position_embeddings}, indent=2)
        (draft / "tokenizer_config.json").write_text(text + "\n")
        history = {"progress": vars(progress), "starts": starts(run)}
        (draft / TRAINING).write_text(json.dumps(history, indent=1) + "\n")
        for file in draft.iterdir():
            file.chmod(0o644)  # safetensors writes files that only their owner may read
            file.replace(folder / file.name)
    return progress
