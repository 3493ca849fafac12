"""Where a model goes: device, number type, and several GPUs at once."""

from __future__ import annotations

from typing import Any

import torch

from backend.errors import ModelError
from backend.models.weights import Place

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BALANCED = "balanced"
"""The device name that spreads layers over all GPUs of the machine."""


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """Return the number type; ``auto`` is bfloat16 on a GPU that computes with it and float32 elsewhere."""
    if name == "auto":
        half = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if half else torch.float32
    if name not in DTYPES:
        raise ModelError(f"{name!r} is not a number type.", f"Give auto or one of {', '.join(DTYPES)}.")
    return DTYPES[name]


def device_of(name: str) -> torch.device:
    """Return the device; ``auto`` is a GPU where there is one, ``balanced`` starts on the first of several.

    Raises ``ModelError`` for a device that this machine does not have.
    """
    if name == BALANCED:
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise ModelError(f"{name!r} is not a device.", "Give auto, balanced, cpu, cuda or cuda:0.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"The device {name!r} was asked for and this machine has no GPU that PyTorch can use.",
                         "Use device='cpu', or install a CUDA build of PyTorch.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"The device {name!r} was asked for and this machine has {torch.cuda.device_count()} GPUs.",
                         f"Give cuda:0 to cuda:{torch.cuda.device_count() - 1}.")
    return device


def spread(module: Any, dtype: torch.dtype) -> dict[str, int | str]:
    """Return the device of every part of a module on the meta device: layers stay whole, GPUs fill evenly."""
    from accelerate import infer_auto_device_map  # only for several GPUs
    from accelerate.utils import get_balanced_memory

    whole = list(module._no_split_modules or ())
    room = get_balanced_memory(module, no_split_module_classes=whole, dtype=dtype)
    room = {key: amount for key, amount in room.items() if key not in ("cpu", "disk")} or room
    module.tie_weights()
    return infer_auto_device_map(module, max_memory=room, no_split_module_classes=whole, dtype=dtype)


def place_by(spread_over: dict[str, int | str]) -> Place:
    """Return the function from a tensor's name to its device, by the longest part that holds it."""
    def place(name: str) -> torch.device:
        held = [part for part in spread_over if not part or name == part or name.startswith(f"{part}.")]
        where = spread_over[max(held, key=len)] if held else next(iter(spread_over.values()))
        if where in ("cpu", "disk"):
            return torch.device("cpu")
        return torch.device("cuda", where)

    return place
