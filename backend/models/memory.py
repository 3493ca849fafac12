"""How much memory a model takes, and how much there is: asked before anything is allocated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from backend.errors import ModelError

MARGIN = 1.05
"""Weights plus what a short pass needs besides them."""

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes, None where it cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    known = [amount for amount in (_machine_bytes(), _group_bytes()) if amount is not None]
    return min(known, default=None)


def needed_bytes(module: nn.Module, place: Callable[[str], torch.device], dtype: torch.dtype) -> Counter[torch.device]:
    """Return what the parameters take per device; a tied one counts once."""
    needed: Counter[torch.device] = Counter()
    for name, parameter in module.named_parameters():
        needed[place(name)] += parameter.numel() * dtype.itemsize
    return needed


def refuse_too_large(module: nn.Module, place: Callable[[str], torch.device], dtype: torch.dtype) -> None:
    """Raise ``ModelError`` with both numbers when the weights do not fit what is free."""
    for device, weights in needed_bytes(module, place, dtype).items():
        free, wanted = free_bytes(device), int(weights * MARGIN)
        if free is not None and wanted > free:
            raise ModelError(
                f"The model needs about {shown(wanted)} on {device} and {shown(free)} are free.",
                "Free memory, load it with dtype='bfloat16', use another device, or spread it with device='balanced'.")


def shown(amount: int) -> str:
    """Return an amount of memory as people write it."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e8 else f"{amount / 1e6:.1f} MB"


def _machine_bytes() -> int | None:
    """Return what Linux says is available, None elsewhere."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _group_bytes() -> int | None:
    """Return what a container's limit leaves, None without such a limit."""
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
        cached = next(int(line.split()[1]) for line in (_GROUP / "memory.stat").read_text().splitlines()
                      if line.startswith("inactive_file "))
        return None if limit == "max" else int(limit) - used + cached
    except (OSError, ValueError, StopIteration):
        return None
