"""What a network is below ``Model``: rows in, rows out, without text and without special ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from backend.models.base import Cache, Evict, LayerParts, ModelOutput
from backend.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Asked:
    """What one pass is to do, in tensors of the model's device.

    ``ids`` or ``embeds``: what stands in the computed rows, one of the two. ``positions``: the rows
    that are computed, None for all. ``width``: the columns that exist, that is the positions computed
    so far. ``mask``: which of them each row may see, None for all. ``conditioning``: logits of the
    pass before, for families that condition on themselves.
    """

    ids: Int["B R"] | None
    embeds: Float["B R D"] | None
    positions: Int["R"] | None
    width: int
    mask: Bool["B 1 R L"] | None
    cache: Cache | None
    keep_cache: bool
    hidden_states: bool
    attentions: bool
    conditioning: Float["B R V"] | None = None
    read: Int["B U"] | None = None
    """Which of the computed rows of each canvas are read after the last layer, None for all; only for a
    network that ``narrows``, which then returns these alone."""
    evict: Evict | None = None
    """Chooses the rows that go on beyond the second layer's projections; only for the capability ``eviction``."""


class Network(Protocol):
    """The modules of one family, and how a pass runs over them."""

    module: torch.nn.Module
    """The weights, under the names that the loader matches strictly."""
    kind: str
    shifted: bool
    """Whether row i predicts position i + 1, so that a prediction is read from the row before."""
    padding_is_blind: bool
    """Whether padded rows see nothing, as in Dream; elsewhere they see the real columns."""
    narrows: bool
    """Whether the last layer computes only the rows that are read (``Asked.read``)."""
    capabilities: frozenset[str]
    vocab_size: int
    max_length: int
    n_layers: int
    n_heads: int

    def embed(self, ids: Int["B R"]) -> Float["B R D"]:
        """Return the input embeddings of ``ids``, in the form that ``Asked.embeds`` takes."""

    def placed(self, over: Mapping[str, int | str]) -> None:
        """Take note of the device of every part, for a network that is spread; empty: all on one."""

    def compile(self) -> None:
        """Compile what a pass runs; the first pass of a shape then takes longer."""

    def forward(self, asked: Asked) -> tuple[Float["B R D"], ModelOutput]:
        """Return the rows that ``project`` reads, and the by-products asked for (logits empty)."""

    def project(self, rows: Float["... D"]) -> Float["... V"]:
        """Return the logits of rows that ``forward`` returned."""

    def read_out(self, stream: Float["... D"]) -> Float["... V"]:
        """Return the logits that a residual stream would give if it were the last one; as ``layer_parts``."""

    def layer_parts(self, layer: int, hidden: Float["L D"], rows: Int["R"]) -> LayerParts:
        """Return the sums of a layer at ``rows``; only called with the capability ``flow_routes``."""
