"""Exact draws from the model's distributions with noise that is keyed by place."""

from __future__ import annotations

import torch

from backend.decoders.base import View
from backend.noise import gumbel


def gumbel_max(view: View, temperature: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return one draw per masked position from softmax(logits / temperature), with its probability.

    The draw is the arg-max of log-probability + temperature x Gumbel noise, in float64; the
    returned probability is the one at temperature 1, without noise. The mask is never drawn.
    """
    log_probs = view.log_probs.double().cpu()
    noise = torch.from_numpy(gumbel(view.noise, view.step, view.positions, log_probs.shape[1]))
    noisy = log_probs + temperature * noise
    noisy[:, view.mask_id] = -torch.inf
    tokens = noisy.argmax(dim=1)
    probs = log_probs.gather(1, tokens[:, None]).exp()[:, 0]
    return tuple(tokens.tolist()), tuple(probs.tolist())
