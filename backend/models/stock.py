"""A transformers class run as it is, for families whose own forward offers no choice of rows.

The stock forward gives the last hidden states of a whole canvas, or of the rows that follow on a
cache; only the wanted ones of them are projected to the vocabulary. What is not offered is left out
of ``capabilities``: rows in the middle of a canvas are never refreshed, and routes need a family that
says how its layers are taken apart (``Parts.dissect``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from backend.errors import CapabilityError
from backend.models.base import Cache, LayerParts, ModelOutput
from backend.models.network import Asked
from backend.shapes import Float, Int


@dataclass(frozen=True)
class Parts:
    """Where a stock class keeps what a pass needs.

    ``final_norm``: the module, by its name in the base model, whose input is the last residual
    stream; None where the layers end with a norm of their own. ``head``: rows to logits. ``dissect``:
    module, layer, the stream [L, D] that enters it and rows to ``LayerParts``.
    """

    head: Callable[[Any, Float["... D"]], Float["... V"]]
    final_norm: str | None = None
    dissect: Callable[[Any, int, Float["L D"], Int["R"]], LayerParts] | None = None


class Stock:
    """A network that runs a stock class forward."""

    padding_is_blind = narrows = False

    def __init__(self, module: Any, kind: str, parts: Parts, *, max_length: int | None = None) -> None:
        self.module, self.kind, self._parts = module, kind, parts
        self.shifted = kind == "causal"
        direction = {"causal", "cache"} if self.shifted else {"bidirectional"}
        routes = {"flow_routes"} if parts.dissect else set()
        self.capabilities = frozenset({"attention", "gradients"} | direction | routes)
        config = module.config
        self.vocab_size = config.vocab_size
        self.max_length = max_length or config.max_position_embeddings
        self.n_layers = config.num_hidden_layers
        self.n_heads = config.num_attention_heads
        self._window = getattr(config, "sliding_window", None)
        self._attention = config._attn_implementation
        self._switching = threading.RLock()

    def placed(self, over: Mapping[str, int | str]) -> None:
        """Let accelerate move what a module takes in to the module's device."""
        if over:
            from accelerate import dispatch_model  # only for several GPUs

            dispatch_model(self.module, dict(over))

    def compile(self) -> None:
        """Compile the stock forward; the first pass of a shape then takes longer."""
        self.module.base_model.compile(dynamic=True)

    def embed(self, ids: Int["B R"]) -> Float["B R D"]:
        """Return the input embeddings of ``ids``, before positions are added."""
        return self.module.get_input_embeddings()(ids)

    def project(self, rows: Float["... D"]) -> Float["... V"]:
        """Return the logits of rows that ``forward`` returned."""
        return self._parts.head(self.module, rows)

    def forward(self, asked: Asked) -> tuple[Float["B R D"], ModelOutput]:
        """Return the last hidden states of the rows, and the by-products asked for (logits empty).

        Raises ``CapabilityError`` for rows that do not follow on the cache.
        """
        held = 0 if asked.cache is None else asked.cache.length
        if asked.positions is not None and (held + asked.positions.numel() != asked.width or not self.shifted):
            raise CapabilityError(f"{type(self.module).__name__} computes whole canvases, or rows that follow on a cache.",
                                  "Use a decoder that needs no rows in the middle, or another model.")
        keep = asked.keep_cache or asked.cache is not None
        given: dict[str, Any] = {
            "input_ids": asked.ids, "inputs_embeds": asked.embeds, "attention_mask": self._mask(asked),
            "output_hidden_states": asked.hidden_states, "output_attentions": asked.attentions,
        }
        if self.shifted:
            given["use_cache"] = keep
            given["past_key_values"] = stock_cache(asked.cache) if keep else None
        with self._written_out(asked.attentions), self._before_norm(asked.hidden_states) as last:
            found = self.module.base_model(**given)
        states = tuple(found.hidden_states) if asked.hidden_states else ()
        return found.last_hidden_state, ModelOutput(
            logits=found.last_hidden_state.new_empty(0),
            cache=own_cache(found.past_key_values) if asked.keep_cache else None,
            hidden_states=(*states[: self.n_layers], *(last or states[self.n_layers :])),
            attentions=tuple(found.attentions) if asked.attentions else (),
        )

    def read_out(self, stream: Float["... D"]) -> Float["... V"]:
        """Return the logits that a residual stream would give if it were the last one."""
        named = self._parts.final_norm
        return self.project(stream if named is None else self.module.base_model.get_submodule(named)(stream))

    def layer_parts(self, layer: int, hidden: Float["L D"], rows: Int["R"]) -> LayerParts:
        """Return the sums of a layer at ``rows``; only called where the family can be taken apart."""
        return self._parts.dissect(self.module, layer, hidden, rows)

    def _mask(self, asked: Asked) -> torch.Tensor | None:
        """Return padding as the stock forward takes it, or a pairwise mask as numbers to be added."""
        mask = asked.mask
        if mask is None or mask.shape[2] == 1 and asked.width > 1 and asked.positions is None:
            return None if mask is None else mask[:, 0, 0].long()
        if self._window is not None and self._window < asked.width:
            raise CapabilityError(f"A pairwise mask over {asked.width} positions would undo this model's window of "
                                  f"{self._window}.", "Shorten the canvas, or use a padding mask.")
        if self.shifted:
            rows = torch.arange(asked.width, device=mask.device) if asked.positions is None else asked.positions
            mask = mask & (torch.arange(asked.width, device=mask.device) <= rows[:, None])
        dtype = self.module.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)

    @contextmanager
    def _written_out(self, wanted: bool) -> Iterator[None]:
        """Run attention written out while its weights are wanted: the fused kernel returns none."""
        before = self._attention
        if not wanted or before == "eager":
            yield
            return
        with self._switching:  # passes of other threads are right either way: only the kernel is another
            self.module.set_attn_implementation("eager")
            try:
                yield
            finally:
                self.module.set_attn_implementation(before)

    @contextmanager
    def _before_norm(self, wanted: bool) -> Iterator[list[torch.Tensor]]:
        """Catch the last residual stream, which the stock forward returns only normed."""
        seen: list[torch.Tensor] = []
        if not wanted or self._parts.final_norm is None:
            yield seen
            return
        norm = self.module.base_model.get_submodule(self._parts.final_norm)
        ours = threading.get_ident()  # another thread may decode with this model at the same time

        def catch(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if threading.get_ident() == ours:
                seen.append(inputs[0])

        handle = norm.register_forward_pre_hook(catch)
        try:
            yield seen
        finally:
            handle.remove()


def stock_cache(cache: Cache | None) -> DynamicCache:
    """Return a cache as stock classes take it, every layer whole."""
    return DynamicCache() if cache is None else DynamicCache(zip(cache.keys, cache.values, strict=True))


def own_cache(cache: Any) -> Cache:
    """Return a stock cache as ours."""
    return Cache(tuple(layer.keys for layer in cache.layers), tuple(layer.values for layer in cache.layers))
