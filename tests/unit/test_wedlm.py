"""WeDLM's policy: the fill rule, the order of computation, constant load, and the exact prefix it is made for."""

from __future__ import annotations

import pytest
import torch

from backend import RunRequest, run
from backend.canvas import steps_of
from backend.decoders.wedlm import leading_filled, physical_order, to_fill
from tests.conftest import FakeModel


def test_the_fill_rule_penalises_distance():
    filled, adjusted = to_fill((0.10, 0.90, 0.20, 0.35), (0, 1, 2, 3), 0.4, 0.02)
    assert adjusted == pytest.approx((0.10, 0.92, 0.24, 0.41)) and filled == [0, 2]
    assert leading_filled((7, 256, 8, 256, 256), 256) == 1
    assert physical_order((False, True, False, True, True)) == (0, 2, 1, 3, 4)


def test_without_a_place_below_the_threshold_the_lowest_one_is_filled():
    assert to_fill((0.9, 0.8, 0.8), (4, 5, 6), 0.4, 0.0)[0] == [1]
    assert to_fill((0.1, 0.1), (4, 5), None, 0.02)[0] == [0]


def test_a_place_sees_every_filled_one_and_earlier_open_ones_and_nothing_filled_sees_an_open_one():
    is_open = (False, True, False, True, True)
    order = physical_order(is_open)
    rank = {slot: at for at, slot in enumerate(order)}
    for slot in range(5):
        visible = {other for other in range(5) if rank[other] <= rank[slot]}
        if is_open[slot]:
            assert visible == {other for other in range(5) if not is_open[other] or other <= slot}
        else:
            assert not any(is_open[other] for other in visible)


def test_the_window_keeps_its_size_until_the_budget_runs_out():
    events = tuple(run(FakeModel(), RunRequest("wedlm", prompt="abc", length=48, settings={"window": 8, "entropy_threshold": 2.0})))
    for step in steps_of(events):
        begin, end = step.notes["window"]
        assert end - begin == 8 or end == 51
        assert step.notes["refilled"] == step.notes["committed_now"] or end == 51
    assert events[-1].reason == "done" and events[-1].totals.written == 48


def test_filled_places_are_committed_with_the_next_pass_from_left_to_right():
    events = tuple(run(FakeModel(), RunRequest("wedlm", prompt="abc", length=24, settings={"window": 6})))
    committed = [step.notes["committed"] for step in steps_of(events)]
    assert committed == sorted(committed) and committed[0] == 3
    written = set(range(3))
    for step in steps_of(events):
        assert set(range(step.notes["committed"])) <= written, "committed places were filled by an earlier pass"
        written |= {position for position, _, _ in step.writes}


def test_committed_keys_equal_those_of_a_plain_causal_pass(mha):
    """In the order 0, 2, 1, 3, 4 the first slot is computed as if it stood alone behind its prefix."""
    ids = torch.tensor([[11, 12, 13, mha.mask_id, 14, mha.mask_id, mha.mask_id]])
    order = (0, 1, *(2 + slot for slot in physical_order((False, True, False, True, True))))
    rank = torch.tensor([order.index(at) for at in range(7)])
    reordered = mha.forward(ids, attention_mask=(rank[None, :] <= rank[:, None])[None], keep_cache=True).cache
    plain = mha.forward(ids[:, :3], attention_mask=torch.ones(3, 3).tril().bool()[None], keep_cache=True).cache
    for ours, theirs in zip((*reordered.keys, *reordered.values), (*plain.keys, *plain.values), strict=True):
        torch.testing.assert_close(ours[:, :, :3], theirs, atol=1e-5, rtol=0)


def test_the_physical_order_changes_nothing_where_every_place_sees_all(mha):
    """Rows and columns put in physical order, each with the rotation of its own position: the logits only change places."""
    ids = torch.tensor([[11, 12, 13, mha.mask_id, 14, mha.mask_id, mha.mask_id]])
    order = torch.tensor([0, 1, *(2 + slot for slot in physical_order((False, True, False, True, True)))])
    assert order.tolist() != sorted(order.tolist())
    stack = mha.network.module
    with torch.no_grad():
        seen = torch.ones(1, 1, 7, 7, dtype=torch.bool)
        moved = stack(input_ids=ids[:, order], position_ids=order[None], attention_mask=seen).logits
    torch.testing.assert_close(moved, mha.logits(ids)[:, order], atol=1e-4, rtol=0)


def test_a_window_of_given_tokens_is_passed_over():
    fixed = {at: 65 for at in range(1, 9)}
    events = tuple(run(FakeModel(), RunRequest("wedlm", prompt="abc", length=12, settings={"window": 2}, fixed=fixed)))
    assert events[-1].reason == "done" and events[-1].totals.written == 4
