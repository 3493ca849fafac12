"""A stack of Llama-shaped layers, run layer by layer over stock modules.

The modules are transformers' own (Llama, Qwen2, Qwen3 and what is put together from them); only the
order of calls is written here, because the stock forward offers no choice of rows and its caches
assume appended positions. One layer is:

1. norm, then query, key and value per head (with a norm per head where the layer has one), rotated;
2. attention over the keys of all columns, computed now or read from the cache;
3. output projection and feed-forward, each added to the residual stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional
from transformers.models.llama.modeling_llama import repeat_kv, rotate_half

from backend.models.base import Cache, Evict, LayerParts, ModelOutput
from backend.models.network import Asked
from backend.shapes import Bool, Float, Int

Rotary = tuple[Float["1 R D"], Float["1 R D"]]


class Stack:
    """A network whose rows, caches and by-products can be chosen per pass."""

    narrows = True

    def __init__(
        self, module: Any, kind: str, *, shifted: bool | None = None, padding_is_blind: bool = False
    ) -> None:
        self.module = module
        self.kind = kind
        self.shifted = kind == "causal" if shifted is None else shifted
        self.padding_is_blind = padding_is_blind
        direction = "causal" if kind == "causal" else "bidirectional"
        config = module.config
        self.capabilities = frozenset({direction, "attention", "gradients", "flow_routes", "cache"})
        if direction == "bidirectional" and not self.shifted and config.num_hidden_layers > 1:
            self.capabilities |= {"eviction"}
        self.vocab_size = config.vocab_size
        self.max_length = config.max_position_embeddings
        self.n_layers = config.num_hidden_layers
        self.n_heads = config.num_attention_heads
        self._before, self._after = before_attention, after_attention

    def placed(self, over: Mapping[str, int | str]) -> None:
        """Nothing to do: a pass moves the rows to the device of each layer as it goes."""

    def compile(self) -> None:
        """Compile what happens around attention; the first pass of a shape then takes longer."""
        self._before, self._after = (torch.compile(part, dynamic=True) for part in (before_attention, after_attention))

    def embed(self, ids: Int["B R"]) -> Float["B R D"]:
        """Return the input embeddings of ``ids``."""
        return self.module.model.embed_tokens(ids)

    def project(self, rows: Float["... D"]) -> Float["... V"]:
        """Return the logits of rows that have passed the final norm."""
        return self.module.lm_head(rows.to(self.module.lm_head.weight.device))

    def forward(self, asked: Asked) -> tuple[Float["B R D"], ModelOutput]:
        """Return the rows after the final norm, and the by-products asked for (logits empty)."""
        stack = self.module.model
        embeds = self.embed(asked.ids) if asked.embeds is None else asked.embeds
        rows = asked.positions
        if rows is None:
            rows = torch.arange(asked.width, device=embeds.device)
        rotary = stack.rotary_emb(embeds.float(), rows[None])  # in float32 whatever the weights' type
        masks = _Masks(self.kind == "causal", asked, rows)
        eviction = None if asked.evict is None else _Eviction(asked.evict, rows)
        hidden, states, weights, keys, values = embeds, [], [], [], []
        for number, layer in enumerate(stack.layers):
            hidden, rotary = _moved(layer, hidden, rotary)
            states.append(hidden)
            read = asked.read if number == self.n_layers - 1 else None
            query, key, value = self._before(layer, hidden, rotary, read)
            fresh = key
            if asked.positions is not None:
                key, value = _joined(asked, number, key, value)
            keys.append(key)
            values.append(value)
            if eviction is not None:
                eviction.look(layer.self_attn, query, fresh)
                if number == 1:
                    query, hidden, rotary = eviction.narrowed(query, hidden, rotary)
                    asked = replace(asked, positions=eviction.rows)
                key, value = eviction.visible(key), eviction.visible(value)
            mask = masks.of(layer.self_attn, hidden.device)
            if read is not None:
                hidden, mask = taken(hidden, read), masks.at(mask, read)
            mixed, weight = attend(layer.self_attn, query, key, value, mask, asked.attentions)
            weights.append(weight)
            hidden = self._after(layer, hidden, mixed)
        states.append(hidden)
        output = ModelOutput(
            logits=hidden.new_empty(0),
            cache=Cache(tuple(keys), tuple(values)) if asked.keep_cache else None,
            hidden_states=tuple(states) if asked.hidden_states else (),
            attentions=tuple(weights) if asked.attentions else (),
            kept=None if eviction is None else tuple(eviction.rows.tolist()),
        )
        return stack.norm(hidden.to(stack.norm.weight.device)), output

    def read_out(self, stream: Float["... D"]) -> Float["... V"]:
        """Return the logits that a residual stream would give if it were the last one."""
        norm = self.module.model.norm
        return self.project(norm(stream.to(norm.weight.device)))

    def layer_parts(self, layer: int, hidden: Float["L D"], rows: Int["R"]) -> LayerParts:
        """Return the sums of a layer at ``rows``, computed again from the stream that enters it."""
        block, length = self.module.model.layers[layer], hidden.shape[0]
        places = torch.arange(length, device=hidden.device)
        rotary = self.module.model.rotary_emb(hidden[None].float(), places[None])
        hidden, rotary = _moved(block, hidden, rotary)
        rows = rows.to(hidden.device)
        query, key, value = before_attention(block, hidden[None], rotary, rows[None])
        asked = Asked(None, None, rows, length, None, None, False, False, False)
        mask = _Masks(self.kind == "causal", asked, rows).of(block.self_attn, hidden.device)
        mixed, weights = attend(block.self_attn, query, key, value, mask, True)
        before, project = hidden[rows], block.self_attn.o_proj
        mid = before + project(mixed[0])
        mlp = block.mlp(block.post_attention_layernorm(mid)[None])[0]
        output = project.weight.T.unflatten(0, (weights.shape[1], -1))  # [H, E, D]
        return LayerParts(before, weights[0], value[0], output, mid, mid, mlp)


def before_attention(
    layer: Any, hidden: Float["B R D"], rotary: Rotary, read: Int["B U"] | None = None
) -> tuple[Any, Any, Any]:
    """Return query, key and value of a layer, each [B, H, R, D_head], the first two rotated.

    ``read``: the rows of each canvas whose query is wanted, None for all.
    """
    attention = layer.self_attn
    normed = layer.input_layernorm(hidden)
    asking = normed if read is None else taken(normed, read)
    query, key, value = (
        projection(rows).unflatten(2, (-1, attention.head_dim))
        for projection, rows in ((attention.q_proj, asking), (attention.k_proj, normed), (attention.v_proj, normed))
    )  # [B, R, H, D_head]
    if hasattr(attention, "q_norm"):
        query, key = attention.q_norm(query), attention.k_norm(key)
    turns = rotary if read is None else tuple(table[0][read.to(table.device)] for table in rotary)
    return rotated(query.transpose(1, 2), turns), rotated(key.transpose(1, 2), rotary), value.transpose(1, 2)


def taken(rows: Float["B R D"], read: Int["B U"]) -> Float["B U D"]:
    """Return the rows of each canvas that ``read`` names."""
    index = read.to(rows.device)[:, :, None].expand(-1, -1, rows.shape[2])
    return rows.gather(1, index)


def after_attention(layer: Any, hidden: Float["B R D"], mixed: Float["B R D"]) -> Float["B R D"]:
    """Return the residual stream after a layer's output projection and feed-forward."""
    hidden = hidden + layer.self_attn.o_proj(mixed)
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def rotated(heads: Float["B H R D"], rotary: Rotary) -> Float["B H R D"]:
    """Return heads with their first channels rotated, computed in float32 (LLaDA's ``rope_full_precision``)."""
    cosine, sine = (table[:, None] for table in rotary)
    width = cosine.shape[-1]
    turned, rest = heads[..., :width], heads[..., width:]
    turned = (turned * cosine + rotate_half(turned) * sine).to(heads.dtype)
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned


def attend(
    attention: Any, query: Any, key: Any, value: Any, mask: Bool["B 1 R L"] | str | None, want_weights: bool
) -> tuple[Float["B R D"], Float["B H R L"] | None]:
    """Return attention's output before the projection, and the probabilities when they are wanted.

    ``mask``: None where every row sees all columns, ``"causal"`` for the square triangle.
    """
    groups = attention.num_key_value_groups
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    causal = isinstance(mask, str)
    if not want_weights:
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=None if causal else mask, is_causal=causal, scale=attention.scaling)
        return mixed.transpose(1, 2).flatten(2), None
    if causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    scores = query @ key.transpose(2, 3) * attention.scaling
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.float().softmax(dim=-1).to(query.dtype)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)  # a row that sees nothing gets nothing, as in the fused kernel
    return (weights @ value).transpose(1, 2).flatten(2), weights


class _Eviction:
    """Which rows of a pass are still computed, and up to which column they see."""

    def __init__(self, choose: Evict, rows: Int["R"]) -> None:
        self._choose, self._scores = choose, []
        self.rows, self._columns = rows, None

    def look(self, attention: Any, query: Float["1 H R D"], key: Float["1 H R D"]) -> None:
        """Take the scores of the computed rows for one another at the first two layers."""
        if len(self._scores) < 2:
            key = repeat_kv(key, attention.num_key_value_groups)
            self._scores.append((query @ key.transpose(2, 3))[0].float() * attention.scaling)

    def narrowed(
        self, query: Float["1 H R D"], hidden: Float["1 R D"], rotary: Rotary
    ) -> tuple[Float["1 H K D"], Float["1 K D"], Rotary]:
        """Choose the rows that stay, after the second layer's projections, and return their part of each."""
        stay = torch.tensor(self._choose(*self._scores), device=self.rows.device)
        self.rows = self.rows[stay]
        self._columns = int(self.rows[-1]) + 1
        stay = stay.to(hidden.device)
        return query[:, :, stay], hidden[:, stay], (rotary[0][:, stay], rotary[1][:, stay])

    def visible(self, columns: Float["1 H L D"]) -> Float["1 H C D"]:
        """Return the keys or values that the rows see: once rows are evicted, none right of the last that stays."""
        return columns if self._columns is None else columns[:, :, : self._columns]


class _Masks:
    """Which columns the rows of a pass may see, per window of the layers (None: no window)."""

    def __init__(self, causal: bool, asked: Asked, rows: Int["R"]) -> None:
        self._causal, self._asked, self._rows = causal, asked, rows
        self._made: dict[tuple[int | None, torch.device], Bool["B 1 R L"] | str | None] = {}

    def of(self, attention: Any, device: torch.device) -> Bool["B 1 R L"] | str | None:
        """Return the mask of a layer."""
        window = getattr(attention, "sliding_window", None)
        if window is not None and window >= self._asked.width:
            window = None
        key = (window, device)
        if key not in self._made:
            mask = self._mask(window)
            self._made[key] = mask.to(device) if isinstance(mask, torch.Tensor) else mask
        return self._made[key]

    def at(self, mask: Bool["B 1 R L"] | str | None, read: Int["B U"]) -> Bool["B 1 U L"] | None:
        """Return the part of a mask that belongs to the rows ``read`` of each canvas."""
        if isinstance(mask, str):
            rows = self._rows[read.to(self._rows.device)]
            return (torch.arange(self._asked.width, device=rows.device) <= rows[:, :, None])[:, None]
        if mask is None or mask.shape[2] == 1:
            return mask
        index = read.to(mask.device)[:, None, :, None].expand(-1, -1, -1, mask.shape[3])
        return mask.expand(len(read), -1, -1, -1).gather(2, index)

    def _mask(self, window: int | None) -> Bool["B 1 R L"] | str | None:
        asked = self._asked
        if not self._causal:
            return asked.mask
        if asked.mask is None and window is None and asked.positions is None:
            return "causal"
        back = self._rows[:, None] - torch.arange(asked.width, device=self._rows.device)  # [R, L]
        seen = back >= 0 if window is None else (back >= 0) & (back < window)
        return seen[None, None] if asked.mask is None else asked.mask & seen


def _joined(asked: Asked, number: int, key: Any, value: Any) -> tuple[Any, Any]:
    """Return keys and values of all columns: the computed rows put among the cached ones."""
    fresh = (key, value)
    if asked.cache is None and asked.evict is None:
        return fresh
    none = (key[:, :, :0], value[:, :, :0])
    joined = []
    for old, new in zip(none if asked.cache is None else (asked.cache.keys[number], asked.cache.values[number]), fresh, strict=True):
        grown = asked.width - old.shape[2]
        if grown == new.shape[2] and (asked.evict is None or int(asked.positions[0]) >= old.shape[2]):
            joined.append(torch.cat((old, new), dim=2))
        else:
            joined.append(functional.pad(old, (0, 0, 0, grown)).index_copy(2, asked.positions.to(new.device), new))
    return joined[0], joined[1]


def _moved(layer: Any, hidden: Float["B R D"], rotary: Rotary) -> tuple[Float["B R D"], Rotary]:
    """Return both on the layer's device: layers may be spread over several GPUs."""
    device = layer.input_layernorm.weight.device
    if hidden.device == device:
        return hidden, rotary
    return hidden.to(device), (rotary[0].to(device), rotary[1].to(device))
