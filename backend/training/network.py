"""The model: a stock Llama, both ways or left to right, and a faster forward pass for training.

In training all blocks of a batch lie behind each other in one flat row of tokens, filled up to a
fixed number. Everything but attention runs on that row with static shapes, so it is compiled once
for all layers; attention runs block by block, on dense tensors and without a padding mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention

from backend.training.recipes import Dimensions
from backend.training.tokenizer import EOS, MASK, PAD

Shape = tuple[int, int]  # sequences, tokens of each


def build_model(
    dimensions: Dimensions, vocabulary: int, seed: int, *, causal: bool = False, copying: bool = False
) -> LlamaForCausalLM:
    """Return an untrained Llama, both ways unless ``causal``, whose vocabulary is rounded up to a multiple of eight.

    With ``copying``, half of the heads begin as heads that copy what resembles them (``_begin_copying``).
    """
    config = LlamaConfig(
        **vars(dimensions),
        vocab_size=-(-vocabulary // 8) * 8,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        is_causal=causal,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=None,
        mask_token_id=MASK,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
        if copying:
            for number, layer in enumerate(model.model.layers):
                _begin_copying(layer.self_attn, first=number == 0, generator=generator)
    return model


def _begin_copying(attention: LlamaAttention, first: bool, generator: torch.Generator) -> None:
    """Make half of the heads look for tokens like their own and, after the first layer, pass on what these hold.

    Query and key matrices begin equal, and the product of output and value matrix near the identity on
    the subspace of these heads. From small random matrices the copying of words out of a prompt, which
    takes several such heads in a row, did not appear within 100,000 examples. After "Mimetic
    Initialization of Self-Attention Layers" (Trockman and Kolter, 2023); the scales are ours.
    """
    query, key, value, output = (getattr(attention, f"{name}_proj").weight for name in "qkvo")
    half, width = query.shape[0] // 2, query.shape[1]
    query[:half] *= 3
    key[:half] = query[:half]
    if not first:
        basis = nn.init.orthogonal_(torch.empty(width, width), generator=generator)[:half] * 0.7
        value[:half], output[:, :half] = basis, basis.T


class FlatForward:
    """The hidden states of ``model`` on a flat row of ``tokens`` tokens."""

    def __init__(self, model: LlamaForCausalLM, tokens: int, compiled: bool, mixed: bool):
        self._model, self._tokens, self._mixed = model, tokens, mixed
        config = model.config
        self._causal = config.is_causal
        self._heads, self._width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        positions = torch.arange(config.max_position_embeddings)[None]
        cosine, sine = model.model.rotary_emb(torch.zeros(1), positions)
        self._cosine, self._sine = cosine[0], sine[0]
        wrap: Callable = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self._before, self._after = wrap(_before_attention), wrap(_after_attention)

    def __call__(self, ids: Tensor, shapes: Sequence[Shape]) -> Tensor:
        """Return the last hidden states Float[tokens, D] of ``ids`` Int[n <= tokens], cut into ``shapes``."""
        used = len(ids)
        ids = F.pad(ids, (0, self._tokens - used), value=PAD)
        positions = torch.cat([torch.arange(length).repeat(count) for count, length in shapes])
        positions = F.pad(positions, (0, self._tokens - used))
        cosine, sine = self._cosine[positions, None], self._sine[positions, None]
        x = F.embedding(ids, self._model.model.embed_tokens.weight)
        epsilon = self._model.config.rms_norm_eps
        with torch.autocast("cpu", torch.bfloat16, enabled=self._mixed):
            for layer in self._model.model.layers:
                attention, mlp = layer.self_attn, layer.mlp
                projections = (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
                heads = self._before(x, cosine, sine, layer.input_layernorm.weight, projections, self._width, epsilon)
                mixed = self._attend(*heads, shapes, used)
                feed = (mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
                norm = layer.post_attention_layernorm.weight
                x = self._after(x, mixed, attention.o_proj.weight, norm, feed, epsilon)
        return _rms_norm(x, self._model.model.norm.weight, epsilon)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits Float[n, V] of hidden states Float[n, D]."""
        return F.linear(hidden, self._model.model.embed_tokens.weight)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, shapes: Sequence[Shape], used: int) -> Tensor:
        sizes = [count * length for count, length in shapes]
        blocks = zip(*(t.split([*sizes, self._tokens - used]) for t in (query, key, value)), strict=True)
        parts = []
        for (count, length), block in zip(shapes, blocks, strict=False):
            q, k, v = (t.view(count, length, self._heads, self._width).transpose(1, 2) for t in block)
            # Written out because the backward pass of the fused kernel is ten times slower in bf16 on a CPU.
            scores = q @ k.mT * self._width**-0.5
            if self._causal:
                scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -torch.inf)
            mixed = scores.softmax(-1) @ v
            parts.append(mixed.transpose(1, 2).reshape(count * length, -1))
        return F.pad(torch.cat(parts), (0, 0, 0, self._tokens - used))


def _rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return (x * cosine + torch.cat((-second, first), -1) * sine).to(x.dtype)


def _before_attention(x, cosine, sine, norm, projections, width, epsilon):
    """Return query, key and value of all tokens, each Float[tokens, heads, width]."""
    normed = _rms_norm(x, norm, epsilon)
    query, key, value = (F.linear(normed, weight).unflatten(-1, (-1, width)) for weight in projections)
    return _rotated(query, cosine, sine), _rotated(key, cosine, sine), value


def _after_attention(x, mixed, output, norm, feed, epsilon):
    """Return the residual stream Float[tokens, D] after attention and feed-forward."""
    gate, up, down = feed
    x = x + F.linear(mixed, output)
    normed = _rms_norm(x, norm, epsilon)
    return x + F.linear(F.silu(F.linear(normed, gate)) * F.linear(normed, up), down)
