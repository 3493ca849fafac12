"""A quick look at accuracy while training: few held-out prompts, plain decoding rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from backend.tasks.base import Example, Task, held_out
from backend.training.tokenizer import EOS, MASK

RULES = {"confidence": (True, 1), "confidence4": (True, 4), "left_to_right": (False, 1)}


def quick_check(
    model: LlamaForCausalLM, tokenizer: Tokenizer, tasks: Iterable[Task], count: int
) -> dict[str, dict[str, float]]:
    """Return the percentage of right answers per task and rule; a causal model knows one rule only."""
    rules = {name: rule for name, rule in RULES.items() if name == "left_to_right" or not model.config.is_causal}
    results: dict[str, dict[str, float]] = {}
    for task in tasks:
        examples = held_out(task, count, seed=0)
        results[task.name] = {}
        for rule, (by_confidence, per_step) in rules.items():
            answers = _answers(model, tokenizer, task, examples, by_confidence, per_step)
            right = sum(task.check(e.prompt, answer).right for e, answer in zip(examples, answers, strict=True))
            results[task.name][rule] = 100 * right / count
    return results


def _answers(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    task: Task,
    examples: Sequence[Example],
    by_confidence: bool,
    per_step: int,
) -> list[str]:
    prompts = [tokenizer.encode(example.prompt, add_special_tokens=False).ids for example in examples]
    groups = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    answers = [""] * len(examples)
    for length, members in groups.items():
        canvas = torch.full((len(members), length + task.length), MASK)
        canvas[:, :length] = torch.tensor([prompts[index] for index in members])
        for index, row in zip(members, _filled(model, canvas, by_confidence, per_step).tolist(), strict=True):
            response = row[length:]
            answers[index] = tokenizer.decode(response[: response.index(EOS)] if EOS in response else response)
    return answers


@torch.no_grad()
def _filled(model: LlamaForCausalLM, canvas: Tensor, by_confidence: bool, per_step: int) -> Tensor:
    """Fill the masks of ``canvas`` Int[B, L], ``per_step`` a pass, surest or leftmost first."""
    while (masked := canvas == MASK).any():
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=canvas).logits
        if model.config.is_causal:  # a row predicts the position after it
            logits = torch.cat([logits[:, :1], logits[:, :-1]], dim=1)
        logits[..., MASK] = -torch.inf
        sure, tokens = logits.float().softmax(-1).max(-1)
        rank = sure if by_confidence else -torch.arange(canvas.shape[1]).expand_as(canvas).float()
        chosen = rank.masked_fill(~masked, -torch.inf).topk(min(per_step, int(masked[0].sum())), 1).indices
        canvas = canvas.scatter(1, chosen, tokens.gather(1, chosen))
    return canvas
