"""The glossary of shapes: one letter per axis, one name per array type.

========  =====================================================
``B``     runs (or sequences) in a batch
``L``     canvas positions, prompt and response together
``M``     masked positions of one canvas
``R``     rows that a forward pass computes or projects
``V``     vocabulary entries
``D``     width of the residual stream
``H``     attention heads
``N``     layers
``K``     kept candidates
========  =====================================================

Types read ``Float["B L V"]``: a tensor of floats whose axes are named in order. They document; the
tests check them where a function promises one.
"""

from __future__ import annotations

from typing import Annotated

import torch


class _Named:
    """Builds ``Annotated[Tensor, axes]`` from ``Name["axes"]``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getitem__(self, axes: str) -> object:
        return Annotated[torch.Tensor, f"{self.kind}[{axes}]"]


Float = _Named("float")
Int = _Named("int")
Bool = _Named("bool")
