"""The only way weights enter: safetensors, strict key match, no code from the folder.

The family is read from config.json as plain JSON (``families``); its tensors are renamed onto
modules of the transformers library and must match them exactly (``weights``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from backend.errors import ModelError
from backend.models.base import Model
from backend.models.catalogue import MODELS, find_model
from backend.models.families import recognised
from backend.models.family import Family, Raw
from backend.models.loaded import LoadedModel, SpecialIds
from backend.models.network import Network
from backend.models.tokens import PlainIds, Tokens
from backend.models.weights import AGAIN, fill, weight_files


def load_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    mask_id: int | None = None,
    eos_id: int | None = None,
    pad_id: int | None = None,
) -> Model:
    """Open a model by catalogue name, local folder or hub id, ready to run.

    ``device``: ``auto`` takes a GPU where there is one. ``dtype``: ``auto`` is bfloat16 on a GPU
    that supports it and float32 elsewhere. Special ids come from the arguments, else from
    tokenizer and config; a diffusion model without a known mask loads, and ``run`` refuses it.

    Raises ``ModelError`` that names the file or key at fault and the remedy.
    """
    folder, name, example = _located(source, revision)
    raw = _config(folder)
    family = recognised(raw)
    target, number_type = _placement(device, dtype)
    network = _network(family, raw)
    files = weight_files(folder)
    fill(network.module, files, family, raw, lambda name: target, number_type)
    tokens = Tokens.read(folder / "tokenizer.json") if (folder / "tokenizer.json").is_file() else PlainIds()
    special = SpecialIds(
        mask=_special(mask_id, tokens, ("[MASK]", "<|mdm_mask|>", "<|mask|>", "<mask>"), raw, "mask_token_id"),
        eos=_special(eos_id, tokens, ("[EOS]",), raw, "eos_token_id"),
        pad=_special(pad_id, tokens, ("[PAD]",), raw, "pad_token_id"),
    )
    _refuse_bad_ids(special, network.vocab_size)
    return LoadedModel(
        network, tokens, special,
        name=name, family=family.name, weights_hash=_digest(files), example_prompt=example,
    )


def _located(source: str | Path, revision: str | None) -> tuple[Path, str, str | None]:
    card = find_model(str(source))
    if card is not None:
        if not (card.folder / "config.json").is_file():
            raise ModelError(f"The embedded model {card.name} has no weights in {card.folder}.",
                             f"Train it with: python -m backend.training train --model {card.name}")
        return card.folder, card.name, card.example_prompt
    folder = Path(source)
    if folder.is_dir():
        return folder, folder.resolve().name, None
    names = ", ".join(item.name for item in MODELS)
    if str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise ModelError(f"There is no model {str(source)!r}.",
                         f"Give one of {names}, a folder with config.json, or a hub id such as owner/name.")
    return _downloaded(str(source), revision), str(source), None


def _downloaded(repository: str, revision: str | None) -> Path:
    """Return the local copy of a hub repository: data files only, from the cache when offline."""
    from huggingface_hub import snapshot_download  # only when a hub model is asked for

    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=["*.json", "*.safetensors"])
    except Exception as error:  # the hub client raises many kinds; each means: not to be had
        raise ModelError(f"The hub model {repository!r} could not be fetched ({type(error).__name__}).",
                         "Check the name and the connection, or give a local folder.") from error
    return Path(folder)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no config.json.", "Give the folder that holds config.json and *.safetensors.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}).", AGAIN) from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path} holds no JSON object.", AGAIN)
    return raw


def _network(family: Family, raw: Raw) -> Network:
    try:
        return family.build(raw)
    except KeyError as error:
        raise ModelError(f"config.json lacks the key {error}.", AGAIN) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"config.json has a value that fits no {family.title} model ({error}).", AGAIN) from error


def _placement(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    try:
        target = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise ModelError(f"{device!r} is not a device.", "Give auto, cpu, cuda or cuda:0.") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"The device {device!r} was asked for and this machine has no GPU that PyTorch can use.",
                         "Use device='cpu', or install a CUDA build of PyTorch.")
    if dtype == "auto":
        half = target.type == "cuda" and torch.cuda.is_bf16_supported()
        return target, torch.bfloat16 if half else torch.float32
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in kinds:
        raise ModelError(f"{dtype!r} is not a number type.", f"Give auto or one of {', '.join(kinds)}.")
    return target, kinds[dtype]


def _special(
    given: int | None, tokens: Tokens | PlainIds, names: tuple[str, ...], raw: dict[str, Any], key: str
) -> int | None:
    if given is not None:
        return given
    configured = raw.get(key)
    if isinstance(configured, list):
        configured = configured[0] if configured else None
    if configured is not None:
        return int(configured)
    return tokens.find(names)


def _refuse_bad_ids(special: SpecialIds, vocab_size: int) -> None:
    for word, token_id in (("mask", special.mask), ("eos", special.eos), ("pad", special.pad)):
        if token_id is not None and not 0 <= token_id < vocab_size:
            raise ModelError(f"The {word} id {token_id} is outside the vocabulary of {vocab_size}.",
                             f"Give {word}_id between 0 and {vocab_size - 1}.")


def _digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the weight files, the first 16 hex digits."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as source:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:16]
