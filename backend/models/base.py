"""What a model is, whatever its family: the one seam between weights and everything else.

``forward`` is the seam: which rows are computed, which are projected to the vocabulary, which keys
and values are reused, what is returned besides logits. ``logits`` is its convenience face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from backend.events import ModelInfo
from backend.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Cache:
    """Keys and values of every layer for the first n canvas positions: those computed so far.

    ``keys`` and ``values``: per layer [B, H_kv, n, D_head], keys after rotary embedding (a
    position's rotation never changes). Immutable: a pass returns a new cache.
    """

    keys: tuple[Float["B H n D"], ...]
    values: tuple[Float["B H n D"], ...]

    @property
    def length(self) -> int:
        """The number of positions held."""
        return self.keys[0].shape[2]

    def first(self, count: int) -> Cache:
        """Return the cache of the first ``count`` positions: what a causal model undoes, or shares."""
        return Cache(tuple(key[:, :, :count] for key in self.keys), tuple(value[:, :, :count] for value in self.values))

    def of(self, rows: Sequence[int]) -> Cache:
        """Return the cache of these rows of the batch, each as often as it is named."""
        index = torch.tensor(rows)
        return Cache(*(tuple(part.index_select(0, index.to(part.device)) for part in parts)
                       for parts in (self.keys, self.values)))


Evict = Callable[[Float["H R R"], Float["H R R"]], Sequence[int]]
"""Chooses which rows of a pass go on beyond the second layer's projections.

Given the scores (query x key / sqrt(D_head), before softmax and mask) of the computed rows for one another at the
first and at the second layer, it returns the places, among the computed rows and rising, of those that stay.
"""


@dataclass(frozen=True)
class ModelOutput:
    """What one forward pass gave.

    ``logits``: [B, R, V] for all computed rows, or [P, V] in row-major order for the positions that
    ``project`` chose. ``hidden_states``: N+1 tensors [B, R, D], the last before the final norm.
    ``attentions``: N tensors [B, H, R, n], after softmax, over the n columns held after the pass.
    ``kept``: the positions whose rows went through all layers, where the pass evicted others.
    """

    logits: Float["... V"]
    cache: Cache | None = None
    hidden_states: tuple[Float["B R D"], ...] = ()
    attentions: tuple[Float["B H R n"], ...] = ()
    kept: tuple[int, ...] | None = None


@dataclass(frozen=True)
class LayerParts:
    """One layer of one canvas taken apart at R chosen rows: each sum, and what was added up in it.

    Attention: ``mid = before + sum_hj weights[h, r, j] * values[h // group, j] @ output[h] + bias``,
    where ``group`` = H / H_kv; the bias is what remains. Feed-forward: ``after = carried + mlp``.
    ``carried`` is ``mid`` itself, or its norm in a layer that normalises after it has added.
    """

    before: Float["R D"]
    weights: Float["H R L"]
    values: Float["H_kv L E"]
    output: Float["H E D"]
    mid: Float["R D"]
    carried: Float["R D"]
    mlp: Float["R D"]


class Model(Protocol):
    """A loaded model. Logits are the prediction *for* their position in every family."""

    name: str
    family: str
    kind: str
    """``masked_diffusion``, ``uniform_diffusion`` or ``causal``."""
    mask_id: int | None
    eos_id: int | None
    pad_id: int | None
    vocab_size: int
    max_length: int
    n_layers: int
    n_heads: int
    shifted: bool
    """The prediction for a position is read from the row before it (Dream, causal models)."""
    device: torch.device
    dtype: torch.dtype
    weights_hash: str
    example_prompt: str | None
    capabilities: frozenset[str]
    stop_ids: frozenset[int]
    """Every id that ends an answer: end of sequence, and end of turn where there is one."""
    has_chat_template: bool
    licence: str | None
    """What the model card states, None where it states nothing."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text`` as a prompt; raises ``ModelError`` naming what has no token."""

    def as_turn(self, text: str) -> str:
        """Return ``text`` as a turn of the model's chat template; unchanged where it has none."""

    def decode(self, ids: tuple[int, ...]) -> str:
        """Return the text of ``ids``, special tokens left out."""

    def token(self, token_id: int) -> str:
        """Return the text of one token, special tokens by their names."""

    def info(self) -> ModelInfo:
        """Return what a run records about its model."""

    def embed(self, ids: Int["B L"]) -> Float["B L D"]:
        """Return the input embeddings of ``ids``, as ``inputs_embeds`` takes them."""

    def logits(
        self,
        input_ids: Int["B L"] | None = None,
        attention_mask: Int["B L"] | Bool["B L L"] | None = None,
        *,
        inputs_embeds: Float["B L D"] | None = None,
    ) -> Float["B L V"]:
        """Return float32 logits [B, L, V]; rows of padded positions are undefined."""

    def forward(
        self,
        input_ids: Int["B L"] | None = None,
        *,
        inputs_embeds: Float["B L D"] | None = None,
        attention_mask: Int["B L"] | Bool["B L L"] | None = None,
        compute: Int["R"] | None = None,
        project: Bool["B L"] | None = None,
        cache: Cache | None = None,
        keep_cache: bool = False,
        hidden_states: bool = False,
        attentions: bool = False,
        conditioning: Float["B R V"] | None = None,
        evict: Evict | None = None,
    ) -> ModelOutput:
        """Run one pass over a batch of canvases of one length L.

        ``compute``: the positions whose rows are computed, the same for the whole batch, in rising
        order; None computes all. The columns that exist in a pass are the n that ``cache`` holds and
        the computed ones; what is neither is not there for attention. So ``compute`` is free among
        the first n and then goes on without a gap: on a canvas of fixed length a full pass fills the
        cache and later passes refresh rows of it; a causal run starts with its prompt and adds the
        rows that it has decided, while the canvas may grow from pass to pass.

        ``project``: the positions whose prediction is wanted; None for those computed. Where the
        family predicts from the row before, that row must be computed, the position itself need
        not: ``compute=[p - 1], project={p}`` is one step of causal decoding.

        ``conditioning``: the logits of the computed rows in the pass before, where the capability
        ``self_conditioning`` says that the family reads them.

        ``evict``: leaves rows out from the second layer's attention on, of one canvas whose family has the
        capability ``eviction``. Keys and values of the first two layers are renewed for every computed row,
        those of the others for the rows that stay; from there on the columns right of the last row that stays
        are not there. Predictions come back for the rows that stay (``ModelOutput.kept``) and are wanted.

        Raises ``ModelError`` when a row is needed that is neither computed nor cached.
        """

    def read_out(self, stream: Float["... D"]) -> Float["... V"]:
        """Return the logits that vectors of the residual stream would give if they were the last ones.

        Of the row itself: families that predict the next token are not shifted here. Needs the
        capability ``flow_routes``; raises ``CapabilityError`` without it.
        """

    def layer_parts(self, layer: int, hidden: Float["L D"], rows: Int["R"]) -> LayerParts:
        """Return the sums of a layer at ``rows``, computed again from the stream that enters it.

        ``hidden`` is one canvas of ``hidden_states[layer]``; no mask, so every row sees what the family
        lets it see. Needs the capability ``flow_routes``; raises ``CapabilityError`` without it.
        """
