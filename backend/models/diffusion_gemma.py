"""DiffusionGemma: a causal encoder of what is settled, and a decoder that refines a canvas of tokens.

There is no mask: an open place holds a random token, and the decoder says what should stand at every
place of the canvas. Encoder and decoder share their weights; the encoder hands over only its keys and
values. In terms of ``Model.forward``:

* a pass without a cache takes the last ``canvas_length`` positions as the canvas, those before as the
  prefix (at least one); the prefix's rows are the encoder's own left-to-right predictions;
* with a cache, the computed rows follow on it. They are the canvas; or, with ``keep_cache``, they are
  settled: the encoder reads them and their keys join the cache;
* ``conditioning`` holds the logits of the pass before on the same canvas (self-conditioning).

Source: transformers, ``models/diffusion_gemma``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DynamicCache

from backend.errors import CapabilityError
from backend.models.base import Cache, ModelOutput
from backend.models.family import Family, Raw, stock_values
from backend.models.network import Asked
from backend.models.stock import own_cache, stock_cache
from backend.shapes import Float, Int


class CanvasNetwork:
    """Encoder and decoder of DiffusionGemma behind the one seam."""

    kind = "uniform_diffusion"
    shifted = False
    padding_is_blind = narrows = False
    capabilities = frozenset({"uniform_diffusion", "cache", "self_conditioning"})

    def __init__(self, module: Any) -> None:
        self.module = module
        self._text = module.config.text_config
        self.canvas_length = module.config.canvas_length
        self.vocab_size = self._text.vocab_size
        self.max_length = self._text.max_position_embeddings
        self.n_layers = self._text.num_hidden_layers
        self.n_heads = self._text.num_attention_heads

    def placed(self, over: Mapping[str, int | str]) -> None:
        """Let accelerate move what a module takes in to the module's device."""
        if over:
            from accelerate import dispatch_model  # only for several GPUs

            dispatch_model(self.module, dict(over))

    def compile(self) -> None:
        """Compile the decoder, which runs at every step; the first pass of a shape then takes longer."""
        self.module.model.decoder.compile(dynamic=True)

    def embed(self, ids: Int["B R"]) -> Float["B R D"]:
        """Return the input embeddings of ``ids``."""
        return self.module.get_input_embeddings()(ids)

    def project(self, rows: Float["... D"]) -> Float["... V"]:
        """Return the logits of rows, float32, capped softly."""
        cap = self._text.final_logit_softcapping
        return torch.tanh(self.module.lm_head(rows).float() / cap) * cap

    def forward(self, asked: Asked) -> tuple[Float["B R D"], ModelOutput]:
        """Return the rows that predict their own positions, and the cache when it is kept.

        Raises ``CapabilityError`` for what this family does not offer.
        """
        _refuse(asked)
        held = 0 if asked.cache is None else asked.cache.length
        computed = asked.width if asked.positions is None else asked.positions.numel()
        if held + computed != asked.width:
            raise CapabilityError("DiffusionGemma computes rows that follow on the cache, and no others.",
                                  "Use the decoder diffusion_canvas.")
        if asked.keep_cache:
            states, cache = self._encoded(asked.ids, asked.mask, asked.cache)
            return states, ModelOutput(states.new_empty(0), cache)
        if held:
            states = self._refined(asked.ids, asked.mask, asked.cache, asked.conditioning)
            return states, ModelOutput(states.new_empty(0))
        prefix = max(1, asked.width - self.canvas_length)
        states, cache = self._encoded(asked.ids[:, :prefix], asked.mask, None)
        if prefix < asked.width:
            canvas = self._refined(asked.ids[:, prefix:], asked.mask, cache, asked.conditioning)
            states = torch.cat([states, canvas], dim=1)
        return states, ModelOutput(states.new_empty(0))

    def _encoded(self, ids: Int["B R"], mask: Any, cache: Cache | None) -> tuple[Float["B R D"], Cache]:
        """Return the encoder's rows, each for the position after the one it was read at, and the longer cache.

        The first row after a cache has nothing before it in this pass and stands for itself.
        """
        held = 0 if cache is None else cache.length
        width = held + ids.shape[1]
        found = self.module.model.encoder.language_model(
            input_ids=ids, attention_mask=None if mask is None else mask[:, 0, 0, :width].long(),
            position_ids=torch.arange(held, width, device=ids.device)[None], past_key_values=stock_cache(cache),
        )
        states = found.last_hidden_state
        return torch.cat([states[:, :1], states[:, :-1]], dim=1), own_cache(found.past_key_values)

    def _refined(
        self, ids: Int["B C"], mask: Any, cache: Cache, conditioning: Float["B C V"] | None
    ) -> Float["B C D"]:
        """Return the decoder's rows of a canvas, which sees the prefix and all of itself."""
        held, count = cache.length, ids.shape[1]
        if conditioning is not None:
            conditioning = conditioning.to(self.module.dtype)
        return self.module.model.decoder(
            decoder_input_ids=ids, past_key_values=self._windowed(cache), self_conditioning_logits=conditioning,
            decoder_attention_mask=None if mask is None else self._canvas_masks(mask[:, :, :, : held + count], count),
            decoder_position_ids=torch.arange(held, held + count, device=ids.device)[None],
        ).last_hidden_state

    def _windowed(self, cache: Cache) -> DynamicCache:
        """Return the prefix as the decoder reads it: layers with a window see the end of it only."""
        kept = [self._kept(number) for number in range(self.n_layers)]
        pairs = zip(cache.keys, cache.values, kept, strict=True)
        return DynamicCache([(key[:, :, -last:], value[:, :, -last:]) for key, value, last in pairs])

    def _kept(self, layer: int) -> int:
        """Return how many of the prefix's last positions a layer sees."""
        sliding = self._text.layer_types[layer] == "sliding_attention"
        return self._text.sliding_window - 1 if sliding else self.max_length

    def _canvas_masks(self, mask: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
        """Return which columns the canvas may see, per kind of layer: real ones, within the window."""
        full = mask.expand(-1, 1, count, -1)
        window = self._text.sliding_window - 1 + count
        return {"full_attention": full, "sliding_attention": full[..., -window:]}


def _refuse(asked: Asked) -> None:
    if asked.hidden_states or asked.attentions:
        raise CapabilityError("DiffusionGemma returns neither attention nor hidden states here.",
                              "Use another model for this explanation.")
    if asked.embeds is not None:
        raise CapabilityError("DiffusionGemma takes token ids, not embeddings.", "Use another model for gradients.")
    if asked.mask is not None and asked.mask.shape[2] != 1:
        raise CapabilityError("DiffusionGemma takes a padding mask and no pairwise one.",
                              "Use another model for this decoder.")


def build(raw: Raw) -> CanvasNetwork:
    """Return DiffusionGemma with its encoder, its decoder and the vision tower that its files hold."""
    with torch.device("meta"):
        return CanvasNetwork(DiffusionGemmaForBlockDiffusion(DiffusionGemmaConfig(**stock_values(raw))))


FAMILY = Family(
    "diffusion_gemma", "DiffusionGemma", build, ("diffusion_gemma",), ("DiffusionGemmaForBlockDiffusion",))
