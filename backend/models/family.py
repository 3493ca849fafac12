"""What a model family declares: how its folder is recognised, and how it becomes a network.

A family is one small file with a ``FAMILY`` and one line in ``families``. It never reads weights and
never runs code from the folder: it maps config.json to modules and file names to module names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from backend.errors import ModelError
from backend.models.network import Network

Raw = dict[str, Any]
"""A parsed config.json."""

Tensors = dict[str, torch.Tensor]
"""Weights by name; on the meta device while only names and shapes are compared."""


def unchanged(tensors: Tensors, raw: Raw) -> Tensors:
    """Return the tensors as they are: their names are those of the modules."""
    return tensors


@dataclass(frozen=True)
class Family:
    """How one kind of folder becomes a network.

    ``architectures`` are looked at before ``model_types``, because some families share a type.
    ``build`` returns the network on the meta device, without weights. ``rename`` returns the
    file's tensors under the names of the modules; names it does not know stay, so that the strict
    match reports them.
    """

    name: str
    title: str
    build: Callable[[Raw], Network]
    model_types: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    rename: Callable[[Tensors, Raw], Tensors] = unchanged
    ignored: tuple[str, ...] = (r"rotary_emb\.inv_freq$",)
    """Patterns of tensors that older files hold and no module wants: tables that are computed."""

    exact: tuple[str, ...] = ()
    """Patterns of buffers that keep the number type of their file, whatever the model is loaded in."""

    def keeps(self, name: str) -> bool:
        """Tell whether a tensor of this name keeps the number type of its file."""
        return any(re.search(pattern, name) for pattern in self.exact)

    def ignores(self, name: str) -> bool:
        """Tell whether a tensor of this name is left out on purpose."""
        return any(re.search(pattern, name) for pattern in self.ignored)


def refuse_other(raw: Raw, expected: Mapping[str, tuple[Any, ...]], remedy: str) -> None:
    """Raise ``ModelError`` naming the first key whose value means a network we do not compute."""
    for key, allowed in expected.items():
        if key in raw and raw[key] not in allowed:
            raise ModelError(f"config.json has {key} = {raw[key]!r}; this reader knows {allowed[0]!r} only.", remedy)


def stock_values(raw: Raw) -> Raw:
    """Return config.json without the keys that say who wrote it and which code it wants."""
    dropped = {"auto_map", "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "full_attn_mask"}
    return {name: value for name, value in raw.items() if name not in dropped}
