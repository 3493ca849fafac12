"""The causal decoders against slow versions of themselves on a model without a cache."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from backend import RequestError, RunRequest, replay, run
from backend.canvas import steps_of
from backend.decoders.contrastive_search import judged
from backend.events import Branch
from tests.conftest import FakeCausal, FakeModel

PROMPT, LENGTH = "Once ", 10


def events_of(decoder: str, model=None, **given) -> tuple:
    """Return the events of a run."""
    length, seed = given.pop("length", LENGTH), given.pop("seed", 0)
    return tuple(run(model or FakeCausal(), RunRequest(decoder, prompt=PROMPT, length=length, settings=given, seed=seed)))


def answer(events) -> tuple[int, ...]:
    """Return the tokens written."""
    return replay(events, len(steps_of(events)))[len(PROMPT):]


def log_probs_after(model, ids: list[int]) -> torch.Tensor:
    """Return the next-token log-probabilities after ``ids``, without a cache."""
    return model.logits(torch.tensor([[*ids, 0]]))[0, -1].double().log_softmax(0)


def greedy_slowly(model, length: int = LENGTH) -> tuple[int, ...]:
    """Return the greedy continuation by whole passes."""
    ids = list(PROMPT.encode())
    while len(ids) < len(PROMPT) + length and ids[-1] != model.eos_id:
        ids.append(int(log_probs_after(model, ids).argmax()))
    return tuple(ids[len(PROMPT):])


def test_greedy_is_the_arg_max_of_every_next_token():
    assert answer(events_of("greedy")) == greedy_slowly(FakeCausal())


def test_every_position_is_computed_once():
    totals = events_of("greedy")[-1].totals
    assert totals.passes == LENGTH and totals.rows == len(PROMPT) + LENGTH - 1


def test_the_end_of_sequence_ends_the_run():
    model = FakeCausal()
    model._at[len(PROMPT) + 3, model.eos_id] += 1000
    events = events_of("greedy", model)
    assert len(steps_of(events)) == 4 and events[-1].reason == "done"
    assert events[-1].totals.answer_tokens == 3


def test_given_tokens_are_continued_through():
    events = tuple(run(FakeCausal(), RunRequest("greedy", prompt=PROMPT, length=6, fixed={2: 65, 3: 66})))
    ids = list(replay(events, 4))
    model = FakeCausal()
    for place in (5, 6, 9, 10):
        assert ids[place] == int(log_probs_after(model, ids[:place]).argmax())
    assert ids[7:9] == [65, 66]


def test_sampling_at_zero_is_greedy_and_top_k_of_one_too():
    assert answer(events_of("sample", temperature=0.0)) == answer(events_of("greedy"))
    assert answer(events_of("sample", top_k=1)) == answer(events_of("greedy"))
    assert len({answer(events_of("sample", seed=seed)) for seed in range(5)}) > 1


def test_the_k_best_are_cut_before_the_nucleus_as_transformers_does():
    """Of .5, .3, .1, .1 the two best are .625 and .375, and the first alone passes .6."""
    from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

    class Four(FakeCausal):
        def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
            rows = torch.full((*input_ids.shape, self.vocab_size), -40.0)
            rows[..., 65:69] = torch.tensor([0.5, 0.3, 0.1, 0.1]).log()
            return rows

    drawn = {answer(tuple(run(Four(), RunRequest("sample", prompt=PROMPT, length=8, seed=seed, settings={"top_k": 2, "top_p": 0.6}))))
             for seed in range(8)}
    logits = Four().logits(torch.tensor([[65]]))[0]
    left = TopPLogitsWarper(0.6)(None, TopKLogitsWarper(2)(None, logits)).isfinite().nonzero()[:, 1].tolist()
    assert left == [65] and drawn == {(65,) * 8}


def test_a_sample_stays_within_the_nucleus():
    model = FakeCausal()
    for seed in range(5):
        ids = list(PROMPT.encode())
        for token in answer(events_of("sample", top_p=0.5, seed=seed)):
            falling, order = log_probs_after(model, ids).exp().sort(descending=True)
            inside = order[: int((falling.cumsum(0) < 0.5).sum()) + 1].tolist()
            assert token in inside
            ids.append(token)


class Small(FakeCausal):
    """Three tokens and an end that is never likely, so that beams can be enumerated."""

    eos_id, vocab_size = 2, 3

    def encode(self, text):
        return tuple(ord(letter) % 2 for letter in text)

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
        return FakeCausal.logits(self, input_ids) + torch.tensor([0.0, 0.0, -90.0])


def test_beams_as_wide_as_the_tree_find_the_likeliest_text():
    model, length = Small(), 4
    events = tuple(run(model, RunRequest("beam", prompt="ab", length=length, top_k=2, settings={"beams": 8})))
    prompt = list(model.encode("ab"))
    totals = {}
    for text in itertools.product((0, 1), repeat=length):
        ids, total = list(prompt), 0.0
        for token in text:
            total += float(log_probs_after(model, ids)[token])
            ids.append(token)
        totals[text] = total
    assert replay(events, len(steps_of(events)))[2:] == max(totals, key=totals.get)


def test_one_beam_is_greedy_and_more_are_at_least_as_likely():
    model = FakeCausal()

    def total(tokens):
        ids, found = list(PROMPT.encode()), 0.0
        for token in tokens:
            found += float(log_probs_after(model, ids)[token])
            ids.append(token)
        return found

    greedy = answer(events_of("beam", beams=1))
    assert greedy == answer(events_of("greedy"))
    assert total(answer(events_of("beam", beams=6))) >= total(greedy) - 1e-6


class Ending(FakeCausal):
    """Goes on with one token at .94 and ends at .05, wherever it is."""

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None):
        rows = torch.full((*input_ids.shape, self.vocab_size), -20.0)
        rows[..., 65], rows[..., self.eos_id], rows[..., 66] = math.log(0.94), math.log(0.05), math.log(0.009)
        return rows


def test_a_search_that_stops_early_returns_a_text_that_has_ended():
    """With two beams the second ending stops the search; the best ended text is the answer, not half of a live one."""
    events = tuple(run(Ending(), RunRequest("beam", prompt="ab", length=6, settings={"beams": 2})))
    text = replay(events, len(steps_of(events)))
    assert text == (*Ending().encode("ab"), 65, 257, -1, -1, -1, -1)
    ranks = {}
    for event in (event for event in events if isinstance(event, Branch)):
        ranks.setdefault(event.step, []).append(event)
    assert all(at < 2 for tried in ranks.values() for at, event in enumerate(tried) if event.kept and event.writes[0][1] == 257)


def test_the_tree_of_beams_is_recorded():
    branches = [event for event in events_of("beam", beams=3) if isinstance(event, Branch)]
    nodes = {branch.node: branch for branch in branches}
    assert len(nodes) == len(branches)
    for branch in branches:
        if branch.parent is not None:
            assert nodes[branch.parent].kept and branch.score <= nodes[branch.parent].score + 1e-9


def test_contrastive_search_without_penalty_is_greedy():
    assert answer(events_of("contrastive_search", alpha=0.0)) == answer(events_of("greedy"))


def test_with_penalty_alone_the_least_alike_candidate_wins():
    for step in steps_of(events_of("contrastive_search", alpha=1.0, k=4)):
        (_, token, _), candidates = step.writes[0], step.notes["candidates"]
        least = min(candidates, key=lambda item: item[2])
        assert token == least[0]


def states_with_cosines(*cosines: float) -> torch.Tensor:
    """Return unit vectors with these cosines to the first axis."""
    return torch.tensor([[value, math.sqrt(1 - value**2)] for value in cosines], dtype=torch.float64)


def test_the_second_candidate_wins_the_hand_example():
    verdict = judged([0.5, 0.3], states_with_cosines(0.9, 0.2), torch.tensor([[1.0, 0.0]]), 0.6)
    assert verdict.scores == pytest.approx([-0.34, 0.0], abs=1e-9)


def test_scores_do_not_depend_on_the_scale_of_states_and_a_repeat_is_most_alike():
    source = torch.Generator().manual_seed(0)
    context, states = torch.randn(5, 8, generator=source), torch.randn(3, 8, generator=source)
    states[1] = 7 * context[2]
    verdict = judged([0.3, 0.3, 0.3], states, context, 0.6)
    scaled = judged([0.3, 0.3, 0.3], 4 * states, 0.1 * context, 0.6)
    assert verdict.scores == pytest.approx(scaled.scores, abs=1e-6)
    assert verdict.penalties[1] == pytest.approx(1.0, abs=1e-6) == max(verdict.penalties) and verdict.likest[1] == 2
    assert min(verdict.scores) == verdict.scores[1]


# -- against the stock implementation ---------------------------------------------------------


def stock_text(folder, **given) -> tuple[int, ...]:
    """Return what transformers generates from the same weights."""
    from transformers import LlamaForCausalLM

    stock = LlamaForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return tuple(stock.generate(torch.tensor([[5, 6, 7, 8]]), max_new_tokens=20, do_sample=False, pad_token_id=0, **given)[0].tolist())


@pytest.mark.parametrize(("decoder", "settings", "given"), (
    ("greedy", {}, {}),
    ("beam", {"beams": 1}, {}),
    ("beam", {"beams": 3}, {"num_beams": 3, "early_stopping": True}),
))
def test_texts_are_those_of_transformers_on_the_same_weights(causal_folder, causal_model, decoder, settings, given):
    events = tuple(run(causal_model, RunRequest(decoder, prompt_ids=(5, 6, 7, 8), length=20, settings=settings)))
    ours = tuple(token for token in replay(events, len(steps_of(events))) if token != -1)
    theirs = stock_text(causal_folder, **given)
    assert theirs[: len(ours)] == ours and not any(theirs[len(ours):]), "the rest is padding"


# -- the reader decides -------------------------------------------------------------------------


def test_manual_writes_the_moves_in_order_and_waits():
    events = tuple(run(FakeModel(), RunRequest("manual", prompt="abc", length=4, settings={"moves": "2=65, 0=66", "then": "wait"})))
    assert [step.writes[0][:2] if step.writes else None for step in steps_of(events)] == [(5, 65), (3, 66), None]
    assert steps_of(events)[-1].masked == (4, 6) and steps_of(events)[-1].candidates.ids
    assert events[-1].reason == "done"


@pytest.mark.parametrize("moves", ("x", "9=1", "1=65,1=66", "1:65"))
def test_moves_that_cannot_be_made_are_refused(moves):
    with pytest.raises(RequestError) as caught:
        run(FakeModel(), RunRequest("manual", prompt="abc", length=4, settings={"moves": moves}))
    assert caught.value.problems[0].field == "settings.moves"
