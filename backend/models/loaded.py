"""A loaded model: a network, its tokenizer, its special ids, behind the one protocol of ``base``."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache as remembered
from importlib.metadata import version

import torch
from torch.nn import functional

from backend.errors import CapabilityError, ModelError
from backend.events import ModelInfo
from backend.models.base import Cache, Evict, LayerParts, ModelOutput
from backend.models.chat import ChatTemplate
from backend.models.network import Asked, Network
from backend.models.special import SpecialIds
from backend.models.tokens import PlainIds, Tokens
from backend.shapes import Bool, Float, Int


FOURS = 4
"""Rows of which a chosen set is computed: matrix products on processors handle one to three odd rows by another kernel,
whose sums differ in the last digits, and a run would not say quite the same alone as in company."""


@dataclass(frozen=True)
class Texts:
    """How a model reads and writes text: its tokenizer, and its chat template where it has one."""

    tokens: Tokens | PlainIds
    chat: ChatTemplate | None = None


class LoadedModel:
    """The ``Model`` of every family: what is common to all networks, written once."""

    def __init__(
        self,
        network: Network,
        texts: Texts,
        special: SpecialIds,
        *,
        name: str,
        family: str,
        weights_hash: str,
        example_prompt: str | None,
        licence: str | None = None,
    ) -> None:
        self.network = network
        self._tokens, self._chat = texts.tokens, texts.chat
        self.name, self.family, self.weights_hash = name, family, weights_hash
        self.kind, self.capabilities = network.kind, network.capabilities
        self.mask_id, self.eos_id, self.pad_id = special.mask, special.eos, special.pad
        self.stop_ids = special.stop
        self.example_prompt, self.licence = example_prompt, licence
        self.vocab_size, self.max_length = network.vocab_size, network.max_length
        self.n_layers, self.n_heads = network.n_layers, network.n_heads
        self.shifted = network.shifted
        first = next(network.module.parameters())
        self.device, self.dtype = first.device, first.dtype

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text`` as a prompt; raises ``ModelError`` naming what has no token."""
        return self._tokens.encode(text)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was trained on turns, so that ``as_turn`` has something to apply."""
        return self._chat is not None

    def as_turn(self, text: str) -> str:
        """Return ``text`` as a turn of the model's chat template; unchanged where it has none.

        Raises ``ModelError`` when the template fails.
        """
        return text if self._chat is None else self._chat.applied(text)

    def decode(self, ids: tuple[int, ...]) -> str:
        """Return the text of ``ids``, special tokens left out."""
        return self._tokens.decode(ids)

    def token(self, token_id: int) -> str:
        """Return the text of one token, special tokens by their names."""
        return self._tokens.token(token_id)

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield the weights."""
        return self.network.module.parameters()

    def info(self) -> ModelInfo:
        """Return what a run records about its model."""
        return ModelInfo(
            self.name, self.family, self.kind, self.weights_hash, str(self.dtype).removeprefix("torch."),
            str(self.device), self.vocab_size, self.mask_id, self.eos_id, _versions(), tuple(sorted(self.stop_ids)),
        )

    def embed(self, ids: Int["B L"]) -> Float["B L D"]:
        """Return the input embeddings of ``ids``, as ``inputs_embeds`` takes them."""
        return self.network.embed(ids.to(self.device))

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
        conditioning: Float["B R V"] | None = None,
        evict: Evict | None = None,
    ) -> ModelOutput:
        """Run one pass over a batch of canvases of one length; see ``models.base``.

        Raises ``ModelError`` for a pass that cannot be computed, or is longer than the window.
        """
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ModelError("A pass needs either input_ids or inputs_embeds.", "Give exactly one of them.")
        rows = _Rows.of(given.shape[1], compute, cache, self.max_length)
        if evict is not None:
            self._require_eviction(given, rows, project, attention_mask)
        given = given.to(self.device)
        if rows.computed is not None:
            given = given.index_select(1, rows.computed.to(self.device))
        wanted = rows.read_by(project, self.network.shifted)
        read = None
        if project is not None and self.network.narrows and not (hidden_states or attentions or evict):
            read, wanted = _narrowed(wanted, *given.shape[:2], self.device)
        asked = Asked(
            given if inputs_embeds is None else None, None if inputs_embeds is None else given.to(self.dtype),
            None if rows.computed is None else rows.computed.to(self.device), rows.width,
            _allowed(attention_mask, rows, self.network.padding_is_blind, self.device),
            cache, keep_cache, hidden_states, attentions,
            None if conditioning is None else conditioning.to(self.device), read, evict,
        )
        states, output = self.network.forward(asked)
        if output.kept is not None:
            wanted = rows.read_of(project, output.kept)
        if wanted is not None:
            wanted = tuple(index.to(states.device) for index in wanted)
            states = states[:, wanted[0]] if project is None else states[wanted]
        return ModelOutput(
            self.network.project(states) if project is None else self._projected(states), output.cache, output.hidden_states, output.attentions, output.kept
        )

    def layer_parts(self, layer: int, hidden: Float["L D"], rows: Int["R"]) -> LayerParts:
        """Return the sums of a layer at ``rows``, computed again from the stream that enters it.

        Raises ``CapabilityError`` for a family whose layers are not taken apart.
        """
        self._require_routes()
        return self.network.layer_parts(layer, hidden.to(self.device), rows.to(self.device))

    def read_out(self, stream: Float["... D"]) -> Float["... V"]:
        """Return the logits that vectors of the residual stream would give if they were the last ones.

        Raises ``CapabilityError`` for a family whose layers are not taken apart.
        """
        self._require_routes()
        return self.network.read_out(stream.to(self.device))

    def _projected(self, rows: Float["P D"]) -> Float["P V"]:
        """Return the logits of rows, computed in whole fours (``FOURS``)."""
        count = len(rows)
        return self.network.project(functional.pad(rows, (0, 0, 0, -count % FOURS)))[:count]

    def _require_eviction(
        self, given: torch.Tensor, rows: _Rows, project: Bool["B L"] | None, mask: torch.Tensor | None
    ) -> None:
        if "eviction" not in self.capabilities:
            raise CapabilityError(f"{self.name} ({self.family}) cannot leave rows out in the middle of a pass.",
                                  "Use FOCUS as a probe, or another model.")
        if given.shape[0] != 1 or rows.computed is None or project is None or mask is not None:
            raise ModelError("A pass that evicts takes one canvas, the rows to compute, the predictions wanted and no mask.",
                             "Give compute and project, and run canvases one by one.")

    def _require_routes(self) -> None:
        if "flow_routes" not in self.capabilities:
            raise CapabilityError(f"The layers of {self.name} ({self.family}) cannot be taken apart into routes.",
                                  "Use an attribution instead, or another model.")


@remembered
def _versions() -> dict[str, str]:
    """Return the versions that numbers depend on; read once, since that opens the packages' files."""
    versions = {package: version(package) for package in ("torch", "transformers")}
    return {**versions, "python": sys.version.split()[0]}


@dataclass(frozen=True)
class _Rows:
    """The rows of a pass: which are computed (None: all of ``width``), how many columns there are."""

    computed: Int["R"] | None
    width: int

    @classmethod
    def of(cls, length: int, compute: Int["R"] | None, cache: Cache | None, limit: int) -> _Rows:
        """Return the rows; raises ``ModelError`` when some are neither computed nor cached."""
        if length > limit:
            raise ModelError(f"A canvas of {length} positions is beyond this model's window of {limit}.",
                             "Shorten the prompt or the answer.")
        if compute is None:
            return cls(None, length)
        compute = compute.cpu()
        held = 0 if cache is None else cache.length
        new = compute[compute >= held]
        if compute.numel() == 0 or bool((compute.diff() <= 0).any()) or int(compute[-1]) >= length or compute[0] < 0:
            raise ModelError(f"The rows to compute must be positions below {length} in rising order.",
                             "Sort them, each once.")
        if new.numel() and int(new[-1]) - held + 1 != new.numel():
            raise ModelError(f"The cache holds {held} positions and the computed rows do not follow on them.",
                             "Compute the positions between too, or pass the cache of an earlier full pass.")
        return cls(compute, max(held, int(compute[-1]) + 1))

    def read_by(self, project: Bool["B L"] | None, shifted: bool) -> tuple[Int["P"], ...] | None:
        """Return the computed rows that the wanted predictions are read from; None: all, in order.

        Raises ``ModelError`` when a prediction is wanted whose row is not computed.
        """
        if project is None and not shifted:
            return None
        if project is None:
            positions = torch.arange(self.width) if self.computed is None else self.computed
        else:
            batch, positions = project.cpu().nonzero(as_tuple=True)
        if shifted:
            positions = (positions - 1).clamp_min(0)  # position 0 has no row before it and keeps its own
        if self.computed is not None:
            place = torch.full((max(self.width, 1 + max(positions.tolist(), default=0)),), -1)
            place[self.computed] = torch.arange(self.computed.numel())
            positions = place[positions]
            if bool((positions < 0).any()):
                where = "the position before each wanted one" if shifted else "each wanted position"
                raise ModelError("A prediction is wanted whose row is not computed.", f"Compute {where}.")
        return (positions,) if project is None else (batch, positions)

    def read_of(self, project: Bool["1 L"], kept: tuple[int, ...]) -> tuple[Int["P"], Int["P"]]:
        """Return where, among the rows of the positions ``kept``, the wanted predictions are read."""
        wanted = project[0].tolist()
        at = torch.tensor([place for place, position in enumerate(kept) if wanted[position]], dtype=torch.long)
        return torch.zeros_like(at), at


def _narrowed(
    wanted: tuple[Int["P"], Int["P"]], count: int, computed: int, device: torch.device
) -> tuple[Int["B U"] | None, tuple[Int["P"], Int["P"]]]:
    """Return the rows that each of ``count`` canvases reads, and where in them each wanted row is.

    Canvases that read fewer rows than another are filled up with their first one, all to whole fours (``FOURS``).
    """
    batch, rows = wanted
    per_canvas = torch.bincount(batch, minlength=count)
    width = math.ceil(int(per_canvas.max()) / FOURS) * FOURS
    if not 0 < width < computed:
        return None, wanted
    place = torch.arange(len(rows)) - (per_canvas.cumsum(0) - per_canvas)[batch]  # ``batch`` rises
    read = torch.zeros(count, width, dtype=torch.long)
    read[batch, place] = rows
    return read.to(device), (batch, place)


def _allowed(
    mask: Int["B L"] | Bool["B L L"] | None, rows: _Rows, blind: bool, device: torch.device
) -> Bool["B 1 R L"] | None:
    """Return which column each computed row may see, or None where every row sees all."""
    if mask is None:
        return None
    mask = mask.to(device).bool()[..., : rows.width]
    if mask.dim() == 2 and bool(mask.all()):
        return None
    if mask.dim() == 2 and not blind:
        return mask[:, None, None, :]
    if mask.dim() == 2:
        mask = mask[:, :, None] & mask[:, None, :]
    mask = mask[:, : rows.width] if rows.computed is None else mask.index_select(1, rows.computed.to(device))
    return mask[:, None]
