"""Passes that do not fit: several at once are tried one by one; one that does not fit ends its run with a remedy."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence

import torch

from backend.errors import AppError
from backend.models.base import Model
from backend.passes import Pass, Reply, forward_together

log = logging.getLogger(__name__)

REMEDY = "Ask for a shorter answer or fewer beams; the operator may lower --canvas-max or --max-running."
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
"""How PyTorch says it where it has no error of its own, as on the CPU."""


class OutOfMemory(AppError):
    """A pass that the machine has no room for."""

    code = "memory"


def is_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def passes_together(model: Model, asked: Sequence[Pass]) -> Sequence[Reply | Exception]:
    """Return what each pass gives, or the error that its run ends with.

    Any failure of the model ends the runs that shared the pass, but running out of memory: then each
    gets a pass of its own first.
    """
    try:
        return forward_together(model, asked)
    except Exception as error:
        if not is_memory(error):
            return [error] * len(asked)
        log.warning("Out of memory in a pass of %d runs over %d positions.", len(asked), sum(item.rows for item in asked))
    # Only here, with the error and the tensors that its traceback holds gone, is there anything to give back.
    give_back()
    if len(asked) == 1:
        return [OutOfMemory(f"The machine ran out of memory in a pass over {asked[0].rows} positions; what was written is kept.", REMEDY)]
    return [passes_together(model, [item])[0] for item in asked]


def give_back() -> None:
    """Return memory that nothing uses to the machine."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
