"""How probable a masked diffusion model finds an answer: LLaDA's Monte Carlo estimate.

1. Draw a number k of masked answer tokens, uniformly from 1 to A (the answer's length).
2. Mask k answer tokens at random; the prompt is never masked.
3. The sum of their log-probabilities, times A / k, is one sample of the bound on log p(answer).

Source: LLaDA (arXiv 2502.09992), ``get_log_likelihood.py`` at b7e6c356; that code spreads k over a
batch by rounding, which is not quite uniform, and this one draws it uniformly as the paper says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from backend.errors import Problem, RequestError
from backend.models.base import Model
from backend.noise import KeyedNoise

BATCH = 32
"""Masked copies per forward pass."""


def log_likelihood(
    model: Model, prompt_ids: Sequence[int], answer_ids: Sequence[int], *,
    samples: int = 128, seed: int = 0, cfg_scale: float = 0.0,
) -> tuple[float, float]:
    """Return the estimate of log p(answer | prompt) and its standard error, both in nats.

    ``cfg_scale``: classifier-free guidance as in the ``llada`` decoder. The answer should include
    the end-of-sequence it was written with. Raises ``RequestError`` for an empty answer, ids
    outside the vocabulary, a canvas beyond the window, or fewer than two samples.
    """
    prompt, answer = tuple(map(int, prompt_ids)), tuple(map(int, answer_ids))
    _check(model, prompt, answer, samples)
    masks = _masks(len(answer), samples, seed)
    values = torch.cat([
        _weighted(model, prompt, answer, masks[begin : begin + BATCH], cfg_scale)
        for begin in range(0, samples, BATCH)
    ])
    return float(values.mean()), float(values.std() / math.sqrt(samples))


def _check(model: Model, prompt: tuple[int, ...], answer: tuple[int, ...], samples: int) -> None:
    problems = []
    if model.mask_id is None:
        problems.append(Problem("model", "The mask token is not known; load the model with mask_id=..."))
    if not answer:
        problems.append(Problem("answer_ids", "The answer is empty; give at least one token."))
    if len(prompt) + len(answer) > model.max_length:
        problems.append(Problem("answer_ids", f"{len(prompt)} + {len(answer)} tokens are beyond the window of {model.max_length}; shorten them."))
    if any(not 0 <= token < model.vocab_size for token in prompt + answer):
        problems.append(Problem("answer_ids", f"An id is outside the vocabulary; give 0 to {model.vocab_size - 1}."))
    if samples < 2:
        problems.append(Problem("samples", f"{samples} samples have no standard error; give 2 or more."))
    if problems:
        raise RequestError(problems)


def _masks(length: int, samples: int, seed: int) -> torch.Tensor:
    """Return which answer tokens each sample masks, Bool [samples, A]."""
    noise = KeyedNoise(seed)
    draws = np.stack([noise.uniform(0, sample, 0, length + 1) for sample in range(samples)])
    counts = 1 + (draws[:, 0] * length).astype(np.int64)
    ranks = draws[:, 1:].argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return torch.from_numpy(ranks < counts[:, None])


@torch.no_grad()
def _weighted(
    model: Model, prompt: tuple[int, ...], answer: tuple[int, ...], masks: torch.Tensor, cfg_scale: float
) -> torch.Tensor:
    """Return (A / k) x the sum of masked tokens' log-probabilities, one value per sample, float64."""
    targets = torch.tensor(answer)
    masked = torch.zeros(len(masks), len(prompt) + len(answer), dtype=torch.bool)
    masked[:, len(prompt) :] = masks
    ids = torch.tensor((*prompt, *answer)).repeat(len(masks), 1).masked_fill(masked, model.mask_id)
    logits = model.forward(ids, project=masked).logits.float()
    if cfg_scale:
        ids[:, : len(prompt)] = model.mask_id
        unconditional = model.forward(ids, project=masked).logits.float()
        logits = unconditional + (cfg_scale + 1) * (logits - unconditional)
    wanted = targets.repeat(len(masks), 1)[masks].to(logits.device)
    gained = logits.double().log_softmax(dim=-1).gather(1, wanted[:, None])[:, 0].cpu()
    sums = torch.zeros(len(masks), dtype=torch.float64)
    sums.index_add_(0, masks.nonzero()[:, 0], gained)
    return sums * len(answer) / masks.sum(dim=1)
