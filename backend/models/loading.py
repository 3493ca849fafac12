"""The only way weights enter: safetensors, strict key match, no code from the folder.

1. The source is found: an embedded model, a folder, or a hub repository (``hub``).
2. config.json is read as plain JSON and its family recognised (``families``); nothing of the folder runs.
3. The network is built without weights, matched against the files' headers, and filled (``weights``).
4. Tokenizer, chat template and special ids are read; what is missing there is missing, not guessed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from backend.errors import ModelError
from backend.models.base import Model
from backend.models.catalogue import MODELS, find_model
from backend.models.chat import ChatTemplate
from backend.models.families import recognised
from backend.models.family import Family, Raw
from backend.models.hub import fetched
from backend.models.loaded import LoadedModel, Texts
from backend.models.network import Network
from backend.models.placing import BALANCED, device_of, dtype_of, place_by, spread
from backend.models.sources import folder_of, quoted
from backend.models.special import special_ids
from backend.models.tokens import read_tokens
from backend.models.weights import AGAIN, Place, fill, weight_files

COUNTED = ("num_hidden_layers", "n_layers", "n_layer", "num_experts")
COUNT_MAX = 4096
"""Layers or experts of a model, at most: a damaged config.json must not build modules for ever."""

CARD_HEAD = 4096
"""Characters of a model card in which its licence is looked for."""

BLOB_NAME_LENGTH = 64
"""Hexadecimal digits of a SHA-256: the name of a weight file in the hub's cache."""


def load_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    mask_id: int | None = None,
    eos_id: int | None = None,
    pad_id: int | None = None,
    compile: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Model:
    """Open a model by catalogue name, local folder or hub id, ready to run.

    ``device``: ``auto`` takes a GPU where there is one, ``balanced`` spreads layers over all GPUs.
    ``dtype``: ``auto`` is bfloat16 on a GPU that supports it and float32 elsewhere. ``revision``: of a
    hub repository. Special ids come from the arguments, else from tokenizer and config; a diffusion
    model without a known mask loads, and ``run`` refuses it. ``compile``: slower first pass, faster
    later ones. ``progress`` is called with the share of the weights that is in place, 0 to 1.

    Raises ``ModelError`` that names the file or key at fault and the remedy.
    """
    folder, name, example = _located(source, revision)
    raw = _config(folder)
    family = recognised(raw)
    first = device_of(device)
    number_type = dtype_of(dtype, first)
    network = _network(family, raw)
    files = weight_files(folder)
    over = spread(network.module, number_type) if device == BALANCED and first.type == "cuda" else {}
    place: Place = place_by(over) if over else lambda _: first
    with ThreadPoolExecutor(max_workers=1) as aside:
        digest = aside.submit(_digest, files)
        fill(network.module, files, family, raw, place, number_type, progress)
    network.placed(over)
    if compile:
        network.compile()
    return _loaded(network, folder, raw, family, {"mask": mask_id, "eos": eos_id, "pad": pad_id},
                   name=name, weights_hash=digest.result(), example_prompt=example)


def load_face(source: str, weights_hash: str) -> Model:
    """Open all of a model but its weights, which are elsewhere: it reads and writes text, and says what it can do.

    No pass can be made on it. ``weights_hash`` is that of the model it stands for. Raises what ``load_model`` raises.
    """
    folder, name, example = _located(source, None)
    raw = _config(folder)
    family = recognised(raw)
    network = _network(family, raw)
    return _loaded(network, folder, raw, family, {"mask": None, "eos": None, "pad": None},
                   name=name, weights_hash=weights_hash, example_prompt=example)


def _loaded(network: Network, folder: Path, raw: Raw, family: Family, given: dict[str, int | None], **named: Any) -> Model:
    """Return a network with its tokenizer and the special ids that are ``given`` or found in the folder."""
    tokenizer_config = _json(folder / "tokenizer_config.json")
    tokens = read_tokens(folder, tokenizer_config)
    special = special_ids(given, raw, tokenizer_config, tokens, network.vocab_size)
    return LoadedModel(network, Texts(tokens, ChatTemplate.read(folder, tokenizer_config)), special,
                       family=family.name, licence=_licence(folder), **named)


def _located(source: str | Path, revision: str | None) -> tuple[Path, str, str | None]:
    card = find_model(str(source))
    if card is not None:
        if not card.trained:
            raise ModelError(f"The embedded model {card.name} has no weights in {card.folder}.",
                             f"Train it with: python -m backend.training train --model {card.name}")
        return card.folder, card.name, card.example_prompt
    folder = folder_of(source)
    if folder is not None:
        return folder, folder.resolve().name, None
    names = ", ".join(item.name for item in MODELS)
    if str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise ModelError(f"There is no model {quoted(source)}.",
                         f"Give one of {names}, a folder with config.json, or a hub id such as owner/name.")
    return fetched(str(source), revision, lambda folder: recognised(_config(folder))), str(source), None


def _config(folder: Path) -> Raw:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} has no config.json.", "Give the folder that holds config.json and *.safetensors.")
    return _json(path)


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}).", AGAIN) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object.", AGAIN)
    return found


def _licence(folder: Path) -> str | None:
    """Return the licence that a model card states in its head, None where it states none."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    with card.open(encoding="utf-8", errors="replace") as source:
        head = source.read(CARD_HEAD)
    found = re.match(r"---\n(?:.*\n)*?licen[cs]e:[ \t]*([\w.+-]{1,40})[ \t]*\n", head)
    return found[1] if found else None


def _network(family: Family, raw: Raw) -> Network:
    for key in COUNTED:
        if isinstance(raw.get(key), int) and raw[key] > COUNT_MAX:
            raise ModelError(f"config.json has {key} = {raw[key]}, above the limit of {COUNT_MAX}.", AGAIN)
    if raw.get("quantization_config"):
        raise ModelError("config.json describes quantized weights, which are not read.",
                         "Use the checkpoint in float32, bfloat16 or float16.")
    try:
        return family.build(raw)
    except KeyError as error:
        raise ModelError(f"config.json lacks the key {error}.", AGAIN) from error
    except ModelError:
        raise
    except Exception as error:  # the configuration classes raise many kinds of their own
        raise ModelError(f"config.json has a value that fits no {family.title} model ({error}).", AGAIN) from error


def _digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the weight files, the first 16 hex digits.

    Raises ``ModelError`` for a file of the hub's cache that is not what was downloaded: a blob there is
    named by its own SHA-256.
    """
    whole = hashlib.sha256()
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as source:
            while chunk := source.read(1 << 20):
                whole.update(chunk)
                if path.is_symlink():
                    digest.update(chunk)
        blob = path.resolve().name
        if path.is_symlink() and len(blob) == BLOB_NAME_LENGTH and digest.hexdigest() != blob:
            raise ModelError(f"{path} is damaged: its content is not what was downloaded.",
                             f"Delete {path.resolve()} and open the model again.")
    return whole.hexdigest()[:16]
