"""From safetensors files to the modules of a network: strict match first, then one reading.

1. The headers say every name, shape and type; they are compared with the modules before anything is
   allocated, and what the weights will take is held against what is free.
2. The files are read in parts. A tensor that needs no conversion stays a view of the mapped file;
   a part that is converted or moved is unmapped again, so that the peak is the model and one part.
3. What no file holds (rotary tables, constant tables) is made by the modules' own rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from backend.errors import ModelError
from backend.models.family import Family, Raw, Tensors
from backend.models.memory import refuse_too_large

AGAIN = "Copy the file again from the model's source."
PART_BYTES = 256 << 20
"""Bytes of the file that are mapped at a time while tensors are converted."""

SHOWN_KEYS = 3
"""How many missing or unexpected tensors a message names."""

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}

Place = Callable[[str], torch.device]
"""The device of a module's tensor, by its name."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that hold the weights: one, the shards of an index, or whatever is there."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        return _shards(folder, index)
    files = tuple(sorted(folder.glob("*.safetensors")))
    if not files:
        others = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.gguf")
                        for path in folder.glob(pattern))
        found = f" (there is {others[0]}, which is not read: it may run code, or is of another kind)" if others else ""
        raise ModelError(f"{folder} has no *.safetensors file{found}.",
                         "Only safetensors are read; convert the checkpoint first.")
    return files


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = tuple(folder / Path(name).name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of shards ({error}).", AGAIN) from error
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        raise ModelError(f"{folder} lacks {_listed('shards', absent)}.", "Copy the missing files from the model's source.")
    return files


def fill(module: nn.Module, files: Iterable[Path], family: Family, raw: Raw, place: Place, dtype: torch.dtype,
         progress: Callable[[float], None] | None = None) -> None:
    """Give a module on the meta device its weights, every one and no other, as ``dtype``.

    Raises ``ModelError`` for files that cannot be read, names and shapes that do not match, numbers
    that are not finite, and too little memory.
    """
    files = tuple(files)
    headers = _headers(files)
    _refuse_mismatch(module, family.rename(headers, raw), family)
    refuse_too_large(module, place, dtype)
    total, done = sum(tensor.nbytes for tensor in headers.values()), 0
    for part in _parts(files, headers):
        for name, tensor in family.rename(part, raw).items():
            if not family.ignores(name):
                _assign(module, name, tensor, place(name), tensor.dtype if family.keeps(name) else dtype)
        done += sum(tensor.nbytes for tensor in part.values())
        if progress is not None:
            progress(done / max(total, 1))
    module.tie_weights()
    _make_tables(module, place)
    module.eval().requires_grad_(False)


def _headers(files: Iterable[Path]) -> Tensors:
    """Return every tensor of the files on the meta device: names, shapes and types only."""
    found: Tensors = {}
    for path in files:
        with _opened(path) as source:
            for name in source.keys():
                piece = source.get_slice(name)
                kind = piece.get_dtype()
                if kind not in _TYPES:
                    raise ModelError(f"The tensor {name} of {path.name} has the number type {kind}, which is not read.",
                                     f"Convert the checkpoint to one of {', '.join(_TYPES)}.")
                found[name] = torch.empty(piece.get_shape(), dtype=_TYPES[kind], device="meta")
    return found


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}).", AGAIN) from error


def _parts(files: Iterable[Path], headers: Tensors) -> Iterator[Tensors]:
    """Yield the tensors of the files, some at a time, each part from a mapping of its own."""
    for path in files:
        with _opened(path) as source:
            names = list(source.keys())
        while names:
            taken, size = [], 0
            while names and (not taken or size + headers[names[0]].nbytes <= PART_BYTES):
                size += headers[names[0]].nbytes
                taken.append(names.pop(0))
            with _opened(path) as source:
                try:
                    yield {name: source.get_tensor(name) for name in taken}
                except SafetensorError as error:
                    raise ModelError(f"{path} cannot be read as safetensors ({error}).", AGAIN) from error


def _refuse_mismatch(module: nn.Module, found: Tensors, family: Family) -> None:
    wanted = module.state_dict()
    tied = {alias for alias, source in module.all_tied_weights_keys.items() if source in found}
    missing = [name for name in wanted if name not in found and name not in tied]
    unexpected = [name for name in found if name not in wanted and not family.ignores(name)]
    remedy = "Check that config.json and the safetensors belong to the same model."
    if missing or unexpected:
        raise ModelError(
            "The tensors do not match config.json: " + "; ".join(filter(None, (
                _listed("missing", missing), _listed("unexpected", unexpected)))) + ".", remedy)
    for name, tensor in found.items():
        if name in wanted and tensor.shape != wanted[name].shape:
            raise ModelError(f"The tensor {name} has shape {list(tensor.shape)}; "
                             f"config.json asks for {list(wanted[name].shape)}.", remedy)


def _assign(module: nn.Module, name: str, tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> None:
    """Put one tensor into its module, as ``dtype`` when it holds fractions."""
    owner_name, _, leaf = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    tensor = tensor.to(device, dtype if tensor.is_floating_point() else None)
    if leaf in owner._buffers:
        owner._buffers[leaf] = tensor
        return
    if tensor.numel() and not all(bool(torch.isfinite(end)) for end in torch.aminmax(tensor.detach())):
        raise ModelError(f"The tensor {name} holds numbers that are not finite as {str(dtype).removeprefix('torch.')}.",
                         "Copy the weights again from the model's source, or load with dtype='float32'.")
    owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)


def _make_tables(module: nn.Module, place: Place) -> None:
    """Compute the buffers that no file holds; their number type stays, float32 for rotary tables."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor._is_hf_initialized = True  # transformers' own mark: the rules below leave it alone
    for owner_name, owner in module.named_modules():
        for leaf, buffer in owner._buffers.items():
            if buffer is not None and buffer.is_meta:
                name = f"{owner_name}.{leaf}".lstrip(".")
                owner._buffers[leaf] = torch.empty_like(buffer, device=place(name))
    module.initialize_weights()


def _listed(word: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return f"{len(names)} {word} ({', '.join(names[:SHOWN_KEYS])}{more})"
