"""Tokens from the model's distributions: the best ones, and exact draws with noise that is keyed by place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from backend.decoders.base import View
from backend.noise import TOKENS, gumbel
from backend.shapes import Float, Int


def largest(logits: Float["M V"], k: int) -> tuple[Float["M K"], Int["M K"]]:
    """Return the k largest logits and their ids, falling; equal logits by rising id.

    topk leaves open which of several equal values it takes and in which order, so the rows where
    that matters, up to and including the cut, are sorted in full.
    """
    top, ids = logits.topk(min(k + 1, logits.shape[1]), dim=1)
    tied = (top[:, 1:] == top[:, :-1]).any(dim=1)
    top, ids = top[:, :k], ids[:, :k]
    if bool(tied.any()):
        rising = logits[tied].sort(dim=1, descending=True, stable=True)
        top[tied], ids[tied] = rising.values[:, :k], rising.indices[:, :k]
    return top, ids


def gumbel_max(view: View, temperature: float, stream: int = TOKENS) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return one draw per masked position from softmax(logits / temperature), with its probability.

    The draw is the arg-max of log-probability + temperature x Gumbel noise, in float64; the
    returned probability is the one at temperature 1, without noise. The mask is never drawn.
    """
    log_probs = view.log_probs.double().cpu()
    noise = torch.from_numpy(gumbel(view.noise, view.step, view.positions, log_probs.shape[1], stream))
    noisy = log_probs + temperature * noise
    if 0 <= view.mask_id < noisy.shape[1]:
        noisy[:, view.mask_id] = -torch.inf
    tokens = noisy.argmax(dim=1)
    probs = log_probs.gather(1, tokens[:, None]).exp()[:, 0]
    return tuple(tokens.tolist()), tuple(probs.tolist())


def filtered(
    log_probs: Float["M V"], temperature: float, top_p: float | None = None, top_k: int | None = None
) -> Float["M V"]:
    """Return log-probabilities at ``temperature``, then cut to a nucleus, then to the k best.

    Temperature 0 leaves the distribution as it is. The nucleus is the smallest set of the most
    probable tokens whose mass exceeds ``top_p``; tokens cut off get probability 0.

    Source: Dream ``generation_utils.py`` (``sample_tokens``, ``top_p_logits``, ``top_k_logits``).
    """
    logits = log_probs if temperature == 0 else log_probs / temperature
    if top_p is not None and top_p < 1:
        falling, order = logits.sort(dim=1, descending=True, stable=True)
        before = falling.softmax(dim=1).cumsum(dim=1).roll(1, dims=1)
        before[:, 0] = 0.0
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before > top_p)
        logits = logits.masked_fill(cut, -torch.inf)
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[1]), dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return logits.log_softmax(dim=1)


def drawn_from(view: View, log_probs: Float["M V"], stream: int = TOKENS) -> tuple[int, ...]:
    """Return one exact draw per row by the Gumbel-max rule with keyed noise; never the mask.

    Where a filter left nothing but the mask, the most probable other token stands in for a draw.
    """
    noise = torch.from_numpy(gumbel(view.noise, view.step, view.positions, log_probs.shape[1], stream))
    noisy = log_probs.double().cpu() + noise
    if 0 <= view.mask_id < noisy.shape[1]:
        noisy[:, view.mask_id] = -torch.inf
    best, tokens = (found.tolist() for found in noisy.max(dim=1))
    return tuple(view.tokens[at] if value == -math.inf else token
                 for at, (value, token) in enumerate(zip(best, tokens, strict=True)))


def probs_of(view: View, tokens: Sequence[int]) -> tuple[float, ...]:
    """Return the probability at temperature 1 of one token per masked position."""
    if not tokens:
        return ()
    rows = torch.arange(len(tokens))
    return tuple(view.log_probs[rows, list(tokens)].double().exp().tolist())
