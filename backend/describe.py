"""What a loaded model is, in facts: for the page's card and for ``python -m backend check``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from backend.decoders.catalogue import DECODERS
from backend.models.base import Model
from backend.models.memory import shown

LENGTH = 128
"""Positions of the pass that is timed, or the window where that is shorter."""

PASSES = 3

EXPLANATIONS = {
    "gradient attributions": "gradients",
    "attention rollout": "attention",
    "information flow routes": "flow_routes",
}
"""What each kind of explanation needs of a model."""


@dataclass(frozen=True)
class Description:
    """The card of a model; ``memory`` in bytes, ``window`` in positions."""

    name: str
    family: str
    kind: str
    parameters: int
    memory: int
    dtype: str
    device: str
    window: int
    vocabulary: int
    layers: int
    heads: int
    licence: str | None

    def line(self) -> str:
        """Return the card in one line."""
        licence = f", licence {self.licence}" if self.licence else ""
        return (f"{self.name}: {self.family}, {count_text(self.parameters)} parameters, {self.dtype} on {self.device}, "
                f"{shown(self.memory)}, window {self.window}{licence}")


def describe(model: Model) -> Description:
    """Return the facts of a model, without running it."""
    info, weights = model.info(), list(model.parameters())
    return Description(
        model.name, model.family, model.kind, sum(item.numel() for item in weights), sum(item.nbytes for item in weights),
        info.dtype, info.device, model.max_length, model.vocab_size, model.n_layers, model.n_heads, model.licence,
    )


def check(model: Model) -> Iterator[str]:
    """Yield lines about a model after running it: shapes, speed, and what of Unmask works on it."""
    found = describe(model)
    yield found.line()
    yield f"kind {found.kind}; {found.layers} layers, {found.heads} heads, vocabulary {found.vocabulary}"
    yield (f"ids: mask {model.mask_id}, end of sequence {model.eos_id}, padding {model.pad_id}; "
           f"ends an answer: {', '.join(map(str, sorted(model.stop_ids))) or 'nothing'}; "
           f"chat template: {'yes' if model.has_chat_template else 'no'}; weights {model.weights_hash}")
    yield from _timed(model)
    yield from _works(model)


@torch.no_grad()
def _pass(model: Model, length: int) -> torch.Tensor:
    fill = model.mask_id if model.mask_id is not None else 0
    ids = torch.full((1, length), fill, device=model.device)
    return model.forward(ids).logits


def _timed(model: Model) -> Iterator[str]:
    length = min(LENGTH, model.max_length)
    logits = _pass(model, length)
    finite = "finite" if bool(torch.isfinite(logits).all()) else "NOT finite: load it in float32"
    yield f"one pass: ids [1, {length}] -> logits {list(logits.shape)}, {finite}"
    begin = time.perf_counter()
    for _ in range(PASSES):
        _pass(model, length).sum().item()
    seconds = (time.perf_counter() - begin) / PASSES
    peak = f", peak {shown(torch.cuda.max_memory_allocated(model.device))}" if model.device.type == "cuda" else ""
    yield f"{1000 * seconds:.1f} ms a pass of {length} positions, {length / seconds:,.0f} positions a second{peak}"


def _works(model: Model) -> Iterator[str]:
    for decoder in DECODERS:
        lacking = sorted(decoder.needs - model.capabilities)
        yield f"decoder {decoder.name}: {'works' if not lacking else 'needs ' + ', '.join(lacking)}"
    for name, need in EXPLANATIONS.items():
        yield f"{name}: {'works' if need in model.capabilities else 'not on this family'}"
    if model.mask_id is None and model.kind == "masked_diffusion":
        yield "The mask token is not known: give --mask-id, or runs are refused."


def count_text(count: int) -> str:
    """Return a number of parameters as people write it."""
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
