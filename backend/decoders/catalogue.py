"""The decoders, in the order of the menu. A new decoder is one file and one line here."""

from __future__ import annotations

from backend.decoders.base import Decoder
from backend.decoders.assd import Assd
from backend.decoders.beam import BeamSearch
from backend.decoders.block_diffusion import BlockDiffusion
from backend.decoders.ccd import Ccd
from backend.decoders.contrastive_search import ContrastiveSearch
from backend.decoders.diffusion_canvas import DiffusionCanvas
from backend.decoders.dream import Dream
from backend.decoders.entropy_bound import EntropyBound
from backend.decoders.explore_then_exploit import ExploreThenExploit
from backend.decoders.fast_dllm import FastDllm
from backend.decoders.focus import Focus
from backend.decoders.greedy import Greedy
from backend.decoders.klass import Klass
from backend.decoders.left_to_right import LeftToRight
from backend.decoders.llada import Llada
from backend.decoders.llada2 import Llada2
from backend.decoders.manual import Manual
from backend.decoders.mdlm import Mdlm
from backend.decoders.order_token_search import OrderTokenSearch
from backend.decoders.random_order import RandomOrder
from backend.decoders.sample import Sample
from backend.decoders.wedlm import Wedlm

DECODERS: tuple[Decoder, ...] = (
    Llada(),
    Dream(),
    Mdlm(),
    FastDllm(),
    BlockDiffusion(),
    Llada2(),
    EntropyBound(),
    Klass(),
    Ccd(),
    OrderTokenSearch(),
    ExploreThenExploit(),
    Focus(),
    Assd(),
    Wedlm(),
    LeftToRight(),
    RandomOrder(),
    Manual(),
    Greedy(),
    Sample(),
    BeamSearch(),
    ContrastiveSearch(),
    DiffusionCanvas(),
)


def find_decoder(name: str) -> Decoder | None:
    """Return the decoder of that name, or None."""
    return next((decoder for decoder in DECODERS if decoder.name == name), None)
