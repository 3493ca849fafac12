"""FOCUS with rows that leave the pass, against the method written out slowly: one token, one layer at a time."""

from __future__ import annotations

import math

import pytest
import torch

from backend import RunRequest, run
from backend.canvas import steps_of
from backend.decoders.eviction import selection
from backend.errors import CapabilityError, ModelError

PROMPT, LENGTH, BLOCK = (5, 6, 7, 8, 9), 24, 8


class Slow:
    """The method over a dictionary of keys and values per layer and position; the model's modules do one row at a time."""

    def __init__(self, model) -> None:
        self.model, self.stack = model, model.network.module.model
        self.held = [{} for _ in self.stack.layers]

    def project(self, layer: int, position: int, vector: torch.Tensor) -> torch.Tensor:
        """Renew the key and value of a position in a layer, and return its query, [H, D]."""
        block = self.stack.layers[layer]
        attention, normed = block.self_attn, block.input_layernorm(vector)
        cosine, sine = (table[0, 0] for table in self.stack.rotary_emb(vector[None, None], torch.tensor([[position]])))

        def turned(heads: torch.Tensor) -> torch.Tensor:
            half = heads.shape[-1] // 2
            return heads * cosine + torch.cat((-heads[:, half:], heads[:, :half]), dim=1) * sine

        query, key, value = (part(normed).view(-1, attention.head_dim) for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        times = attention.num_key_value_groups
        self.held[layer][position] = (turned(key).repeat_interleave(times, 0), value.repeat_interleave(times, 0))
        return turned(query)

    def finish(self, layer: int, vector: torch.Tensor, query: torch.Tensor, columns: list[int]) -> torch.Tensor:
        """Return the stream after a layer, for a row that sees these columns."""
        block = self.stack.layers[layer]
        keys, values = (torch.stack([self.held[layer][at][part] for at in columns]) for part in (0, 1))
        weights = (torch.einsum("hd,lhd->hl", query, keys) * block.self_attn.scaling).softmax(dim=-1)
        vector = vector + block.self_attn.o_proj(torch.einsum("hl,lhd->hd", weights, values).flatten())
        return vector + block.mlp(block.post_attention_layernorm(vector))

    def settle(self, canvas: list[int], rows: range, sees: dict[int, int]) -> None:
        """Compute rows in full, each seeing the columns before ``sees`` of it."""
        streams = {at: self.stack.embed_tokens(torch.tensor(canvas[at])) for at in rows}
        for layer in range(len(self.stack.layers)):
            asked = {at: self.project(layer, at, streams[at]) for at in rows}
            streams = {at: self.finish(layer, streams[at], asked[at], list(range(sees[at]))) for at in rows}

    def step(self, canvas: list[int], rows: list[int], masked: list[int], end: int, pace: float, alpha: float, progress: int, begin: int):
        """Return the logits of the masked rows that stay, {position: [V]}."""
        streams = {at: self.stack.embed_tokens(torch.tensor(canvas[at])) for at in rows}
        found = []
        for layer in (0, 1):
            asked = {at: self.project(layer, at, streams[at]) for at in rows}
            found.append([sum(self.weights(layer, asked, masked, head)) for head in range(self.model.n_heads)])
            if layer == 0:
                streams = {at: self.finish(0, streams[at], asked[at], list(range(end))) for at in rows}
        gains = (sum(found[1]) - sum(found[0])).tolist()
        picked = selection([at - begin for at in masked], gains, pace, alpha, progress)
        kept = [masked[at] for at in sorted(picked.kept)]
        stay = [at for at in rows if at in kept or at not in masked]
        columns = list(range(max(stay) + 1))
        streams = {at: self.finish(1, streams[at], asked[at], columns) for at in stay}
        for layer in range(2, len(self.stack.layers)):
            asked = {at: self.project(layer, at, streams[at]) for at in stay}
            streams = {at: self.finish(layer, streams[at], asked[at], columns) for at in stay}
        return {at: self.model.network.module.lm_head(self.stack.norm(streams[at])) for at in kept}

    def weights(self, layer: int, asked: dict, masked: list[int], head: int) -> list[torch.Tensor]:
        """Return, per asking masked token, its pooled softmax over the masked tokens."""
        scale = self.stack.layers[layer].self_attn.scaling
        rows = [[float(asked[a][head] @ self.held[layer][b][0][head]) * scale for b in masked] for a in masked]
        pooled = [[max(row[max(0, at - 1) : at + 2]) for at in range(len(row))] for row in rows]
        return [torch.tensor(row, dtype=torch.float64).softmax(dim=0) for row in pooled]


def slowly(model, alpha: float, threshold: float) -> list[tuple[set[int], dict[int, int], set[int]]]:
    """Return, per step, the masked positions that stayed, what was written, and what was computed."""
    begin, mask = len(PROMPT), model.mask_id
    canvas = [*PROMPT, *[mask] * LENGTH]
    slow, steps = Slow(model), []
    ends = {at: begin - BLOCK * ((begin - 1 - at) // BLOCK) for at in range(begin)}
    slow.settle(canvas, range(begin), ends)
    for start in range(begin, begin + LENGTH, BLOCK):
        end, progress, paces, unfrozen, first = start + BLOCK, -1, [], set(), True
        while masked := [at for at in range(start, end) if canvas[at] == mask]:
            rows = list(range(start, end)) if first else sorted({*masked, *unfrozen})
            before = {at for at in range(start, end) if canvas[at] != mask}
            pace = max(1.0, sum(paces) / len(paces)) if paces else 1.0
            logits = slow.step(canvas, rows, masked, end, pace, alpha, progress, start)
            for row in logits.values():
                row[mask] = -math.inf
            probs = {at: row.softmax(dim=0) for at, row in logits.items()}
            sure = {at: int(row.argmax()) for at, row in probs.items() if float(row.max()) >= threshold}
            best = max(probs, key=lambda at: float(probs[at].max()))
            written = sure or {best: int(probs[best].argmax())}
            for at, token in written.items():
                canvas[at] = token
            steps.append((set(logits), written, {at for at in rows if at in logits or at not in masked}))
            paces.append(len(written))
            progress = max(progress, max(logits) - start)
            unfrozen = {at for at in range(start, end) if canvas[at] != mask}
            unfrozen -= {at for at in before if at + 1 in before or at + 1 == end}
            first = False
        slow.settle(canvas, range(start, end), {at: end for at in range(start, end)})
    return steps


@pytest.mark.parametrize(("alpha", "threshold"), [(1.0, 0.05), (1.5, 0.9), (1000.0, 0.05)])
@torch.no_grad()
def test_a_run_is_that_of_the_method_written_out(gqa, alpha, threshold):
    settings = {"mode": "faithful", "block_length": BLOCK, "alpha": alpha, "threshold": threshold}
    events = tuple(run(gqa, RunRequest("focus", prompt_ids=PROMPT, length=LENGTH, settings=settings)))
    assert events[-1].reason == "done"
    want = slowly(gqa, alpha, threshold)
    steps = steps_of(events)
    assert len(steps) == len(want)
    for step, (kept, written, computed) in zip(steps, want, strict=True):
        assert set(step.notes["kept"]) == kept and {at: token for at, token, _ in step.writes} == written
        assert {at for at, age in enumerate(step.cache_ages) if age == 0} == computed
    assert (alpha < 2) == any(step.notes["evicted"] for step in steps)


@pytest.mark.parametrize("fixed", [{}, {6: 40, 7: 41, 13: 42}])
def test_every_position_that_a_row_sees_has_been_through_every_layer(gqa, fixed):
    settings = {"mode": "faithful", "block_length": BLOCK, "alpha": 1.0, "threshold": 0.9}
    for step in steps_of(run(gqa, RunRequest("focus", prompt_ids=PROMPT, length=LENGTH, settings=settings, fixed=fixed))):
        edge = max(at for at, age in enumerate(step.cache_ages) if age == 0)
        assert all(age is not None for age in step.cache_ages[: edge + 1])
        assert step.writes and {at for at, _, _ in step.writes} <= set(step.notes["kept"])


def test_evicted_rows_are_not_computed_beyond_the_second_layer(gqa):
    seen = []
    hooks = [layer.mlp.register_forward_hook(lambda module, given, _, at=at: seen.append((at, given[0].shape[1])))
             for at, layer in enumerate(gqa.network.module.model.layers)]
    settings = {"mode": "faithful", "block_length": BLOCK, "alpha": 1.0, "threshold": 0.9}
    try:
        steps = steps_of(run(gqa, RunRequest("focus", prompt_ids=PROMPT, length=BLOCK, settings=settings)))
    finally:
        for hook in hooks:
            hook.remove()
    passes = [dict(seen[at : at + gqa.n_layers]) for at in range(0, len(seen), gqa.n_layers)][1:]  # the first is the prompt's
    for step, rows in zip(steps, passes, strict=True):
        deep = step.notes["computed_positions"]
        assert all(count == deep for layer, count in rows.items() if layer >= 1)
        assert rows[0] == deep + len(step.notes["evicted"])


def test_a_family_that_cannot_leave_rows_out_says_so(gqa, golden_models):
    ids = torch.tensor([PROMPT])
    with pytest.raises(CapabilityError, match="leave rows out"):
        golden_models["dream_gqa"].forward(ids, compute=torch.arange(5), project=ids > 0, evict=lambda *_: [0])
    with pytest.raises(ModelError, match="one canvas"):
        gqa.forward(ids, evict=lambda *_: [0])
