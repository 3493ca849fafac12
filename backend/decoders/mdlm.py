"""Fills the most confident positions first on the schedule of a linear masking process, block by block.

Time runs from 1 to 0 within a block, and a pass from t to s writes the share 1 - s / t of what is
still masked: few tokens at first, or evenly many, depending on how the share rounds. It differs from
LLaDA's sampler in the schedule alone (7 masks in 3 passes are 2, 2, 3 here and 3, 2, 2 there) and
takes a last block that is shorter. The rounding of the reference in float32 is kept.

Source: dLLM ``core/samplers/mdlm.py`` at ca176752, with the schedule of MDLM (arXiv 2406.07524).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from backend.decoders.base import BaseDecoder, Choice, View, most_probable, option, writes_of
from backend.decoders.schedules import Progress, active_block, linear_schedule


@dataclass(frozen=True)
class Settings:
    """dLLM's sampler settings, under the names of the other decoders."""

    steps: int | None = option(None, "int", "Forward passes in all, spread over the blocks; passes that would write nothing are left out.",
                               low=1, high=4096, auto="length", title="Steps")
    block_length: int | None = option(None, "int", "Positions per block, filled left to right; the last one may be shorter.",
                                      low=1, high="length", auto="length", title="Block length")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    cfg_scale: float = option(0.0, "float", "Classifier-free guidance: how strongly the prompt pulls. Above 0 each pass runs two sequences.",
                              low=0.0, high=10.0, step=0.1, title="Guidance")


class Mdlm(BaseDecoder):
    """dLLM's sampler for masked diffusion."""

    name = "mdlm"
    title = "MDLM: a linear masking schedule"
    source = "arXiv 2406.07524; github.com/ZHZisZZ/dllm core/samplers/mdlm.py @ ca176752"
    cost = "One forward pass over the whole canvas; with guidance, two sequences in it."
    Settings = Settings

    def choose(self, view: View, settings: Settings, state: Progress | None) -> Choice:
        """Write the schedule's next number of positions of the active block."""
        blocks = self.blocks(settings, view.layout)
        active = active_block(view, blocks)
        inside = view.within(blocks[active])
        if state is None or state.block != active:
            steps = math.ceil((settings.steps or view.layout.length) / len(blocks))
            state = Progress(active, linear_schedule(len(inside), steps), 0)
        tokens, probs = view.drawn(settings.temperature)
        return Choice(
            writes_of(view, most_probable(view, inside, probs)[: state.quota], tokens, probs),
            why=f"{state.quota} of {len(inside)} masked positions written: the most confident"
                + (f", in block {active + 1} of {len(blocks)}." if len(blocks) > 1 else "."),
            notes={"block": active, "quota": state.quota},
            state=state.next,
        )
