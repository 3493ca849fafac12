"""The decoders, in the order of the menu. A new decoder is one file and one line here."""

from __future__ import annotations

from backend.decoders.base import Decoder
from backend.decoders.entropy_bound import EntropyBound
from backend.decoders.fast_dllm import FastDllm
from backend.decoders.left_to_right import LeftToRight
from backend.decoders.llada import Llada
from backend.decoders.random_order import RandomOrder

DECODERS: tuple[Decoder, ...] = (
    Llada(),
    FastDllm(),
    EntropyBound(),
    LeftToRight(),
    RandomOrder(),
)


def find_decoder(name: str) -> Decoder | None:
    """Return the decoder of that name, or None."""
    return next((decoder for decoder in DECODERS if decoder.name == name), None)
