"""A loaded model: a network, its tokenizer, its special ids, behind the one protocol of ``base``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import torch

from backend.errors import ModelError
from backend.events import ModelInfo
from backend.models.base import Cache, ModelOutput
from backend.models.llama import Asked, LlamaNetwork
from backend.models.tokens import PlainIds, Tokens
from backend.shapes import Bool, Float, Int


@dataclass(frozen=True)
class SpecialIds:
    """The ids that decoding needs; None where the model has no such token."""

    mask: int | None
    eos: int | None
    pad: int | None


class LoadedModel:
    """The ``Model`` of every family whose network offers ``embed``, ``forward`` and ``project``."""

    def __init__(
        self,
        network: LlamaNetwork,
        tokens: Tokens | PlainIds,
        special: SpecialIds,
        *,
        name: str,
        family: str,
        weights_hash: str,
        example_prompt: str | None,
    ) -> None:
        self._network = network
        self._tokens = tokens
        self.name, self.family, self.weights_hash = name, family, weights_hash
        self.kind = "causal" if network.causal else "masked_diffusion"
        self.mask_id, self.eos_id, self.pad_id = special.mask, special.eos, special.pad
        self.example_prompt = example_prompt
        self.vocab_size, self.max_length = network.vocab_size, network.max_length
        self.n_layers, self.n_heads = network.n_layers, network.n_heads
        first = next(network.stock.parameters())
        self.device, self.dtype = first.device, first.dtype
        kinds = {"causal"} if network.causal else {"bidirectional"}
        self.capabilities = (network.capabilities - {"bidirectional"}) | kinds

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text``; raises ``ModelError`` naming what has no token."""
        return self._tokens.encode(text)

    def decode(self, ids: tuple[int, ...]) -> str:
        """Return the text of ``ids``, special tokens left out."""
        return self._tokens.decode(ids)

    def token(self, token_id: int) -> str:
        """Return the text of one token, special tokens by their names."""
        return self._tokens.token(token_id)

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield the weights."""
        return self._network.stock.parameters()

    def info(self) -> ModelInfo:
        """Return what a run records about its model."""
        versions = {package: version(package) for package in ("torch", "transformers")}
        versions["python"] = sys.version.split()[0]
        return ModelInfo(
            self.name, self.family, self.kind, self.weights_hash, str(self.dtype).removeprefix("torch."),
            str(self.device), self.vocab_size, self.mask_id, self.eos_id, versions,
        )

    def logits(
        self,
        input_ids: Int["B L"] | None = None,
        attention_mask: Int["B L"] | Bool["B L L"] | None = None,
        *,
        inputs_embeds: Float["B L D"] | None = None,
    ) -> Float["B L V"]:
        """Return float32 logits [B, L, V]: row i predicts position i."""
        output = self.forward(input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds)
        return output.logits.float()

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
    ) -> ModelOutput:
        """Run one pass over a batch of canvases of one length; see ``models.base``.

        Raises ``ModelError`` when rows are left out without a cache, or more than the window asked.
        """
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ModelError("A pass needs either input_ids or inputs_embeds.", "Give exactly one of them.")
        length = given.shape[1]
        self._refuse_bad_pass(length, compute, cache)
        if compute is not None:
            compute = compute.to(self.device)
            given = given.to(self.device).index_select(1, compute)
        embeds = given.to(self.device) if inputs_embeds is not None else self._network.embed(given.to(self.device))
        mask = _allowed(attention_mask, compute, self.device)
        asked = Asked(compute, mask, cache, keep_cache, hidden_states, attentions)
        rows, output = self._network.forward(embeds, length, asked)
        if self._network.causal:
            rows = _shifted(rows, compute)
        if project is not None:
            project = project.to(self.device)
            rows = rows[project if compute is None else project.index_select(1, compute)]
        return ModelOutput(
            self._network.project(rows), output.cache, output.hidden_states, output.attentions
        )

    def _refuse_bad_pass(self, length: int, compute: Int["R"] | None, cache: Cache | None) -> None:
        if length > self.max_length:
            raise ModelError(f"A canvas of {length} positions is beyond this model's window of {self.max_length}.",
                             "Shorten the prompt or the answer.")
        if compute is not None and cache is None and compute.numel() < length:
            raise ModelError(f"{compute.numel()} of {length} rows were asked for without a cache to read the others from.",
                             "Pass the cache of an earlier full pass.")


def _shifted(rows: Float["B R D"], compute: Int["R"] | None) -> Float["B R D"]:
    """Return rows that predict their own position: a causal row predicts the next one.

    Position 0 has no predecessor and keeps its own row. Raises ``ModelError`` when the row before
    a computed one was not computed.
    """
    here = torch.arange(rows.shape[1], device=rows.device) if compute is None else compute
    before = (here - 1).clamp_min(0)
    at = torch.searchsorted(here, before).clamp_max(here.numel() - 1)
    if not bool((here[at] == before).all()):
        raise ModelError("A causal row is read from the position before it, and one of those was not computed.",
                         "Compute the position before each wanted one too, in rising order.")
    return rows.index_select(1, at)


def _allowed(
    mask: Int["B L"] | Bool["B L L"] | None, compute: Int["R"] | None, device: torch.device
) -> Bool["B 1 R L"] | None:
    """Return which column each computed row may see, or None where every row sees all."""
    if mask is None:
        return None
    mask = mask.to(device).bool()
    if mask.dim() == 2:
        return None if bool(mask.all()) else mask[:, None, None, :]
    mask = mask if compute is None else mask.index_select(1, compute)
    return mask[:, None]
