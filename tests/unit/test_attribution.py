"""Around the attributions: memory, the newer request, zero baselines, words, and trained weights."""

from __future__ import annotations

import threading

import pytest
import torch

from backend import AttributionRequest, FlowRequest, RunRequest, attribute, load_model, replay, run
from backend.canvas import steps_of
from backend.explanations import gradients
from backend.explanations.attribution import attributing
from backend.explanations.base import Progress
from backend.explanations.latest import Latest, Superseded
from backend.explanations.objectives import MemoryFull
from backend.explanations.sentences import sentence
from backend.explanations.words import merged, word_ranges


def request_of(model, **changes) -> AttributionRequest:
    ids = (5, 6, 7, 8, 9, 10, model.mask_id, model.mask_id)
    return AttributionRequest(**dict(ids=ids, position=6, token=11, n_steps=16) | changes)


class Narrow:
    """A model whose memory holds so many canvases per pass and no more."""

    def __init__(self, model, room: int) -> None:
        self._model, self.room, self.passes = model, room, []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def forward(self, input_ids=None, *, inputs_embeds=None, **given):
        count = len(input_ids if inputs_embeds is None else inputs_embeds)
        self.passes.append(count)
        if count > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._model.forward(input_ids, inputs_embeds=inputs_embeds, **given)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_a_pass_that_does_not_fit_is_retried_in_quarters(mha, method):
    narrow = Narrow(mha, room=4)
    got = attribute(narrow, request_of(mha, method=method))
    assert max(narrow.passes) > 4
    torch.testing.assert_close(got.scores, attribute(mha, request_of(mha, method=method)).scores, atol=1e-6, rtol=1e-5)


def test_when_a_quarter_does_not_fit_either_the_message_names_the_setting(mha):
    with pytest.raises(MemoryFull, match=r"Lower rows \(now 1024\) to 8"):
        attribute(Narrow(mha, room=2), request_of(mha))


def test_other_failures_of_a_pass_are_not_taken_for_full_memory(mha, monkeypatch):
    def broken(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(gradients, "_gradients", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        attribute(mha, request_of(mha))


def test_the_newer_request_wins_and_the_older_stops_at_its_next_chunk(mha):
    latest, started, go_on = Latest(), threading.Event(), threading.Event()
    outcome: list[object] = []

    def older():
        def hold(progress: Progress) -> None:
            started.set()
            go_on.wait(60)

        try:
            outcome.append(latest.run(attributing(mha, request_of(mha, rows=8)), hold))
        except Superseded as error:
            outcome.append(error)

    thread = threading.Thread(target=older)
    thread.start()
    assert started.wait(60)
    newer = latest.run(attributing(mha, request_of(mha)))
    go_on.set()
    thread.join(60)
    assert isinstance(outcome[0], Superseded)
    torch.testing.assert_close(newer.scores, attribute(mha, request_of(mha)).scores)


def test_a_baseline_of_zeros_warns_and_adds_up_all_the_same(mha):
    found = attribute(mha, request_of(mha, baseline="zero"))
    assert any("not recommended" in warning for warning in found.warnings)
    assert found.relative_delta < 0.01
    captums = attribute(mha, request_of(mha, baseline="zero", method="captum_integrated_gradients"))
    assert captums.relative_delta > found.relative_delta


def test_a_large_delta_is_said_with_its_remedy(tiny):
    ids = (*tiny.encode("sum: 1+2="), *[tiny.mask_id] * 3)
    found = attribute(tiny, AttributionRequest(ids, len(ids) - 1, n_steps=2))
    assert found.relative_delta > 0.05
    assert any("Double n_steps (now 2)" in warning for warning in found.warnings)


def test_the_sentence_states_the_sum_and_both_values(mha):
    found = attribute(mha, request_of(mha))
    text = sentence(mha, found)
    assert f"{float(found.scores.sum()):+.2f}" in text and f"{found.value:.2f}" in text and "given nothing" in text
    contrast = attribute(mha, request_of(mha, objective="contrast", against=12))
    assert "the lead of" in sentence(mha, contrast)


def test_routes_do_not_depend_on_the_token(mha):
    from backend import flow_routes

    ids = request_of(mha).ids
    one, other = (flow_routes(mha, FlowRequest(ids, 6, token=token)) for token in (3, 4))
    assert list(one.edges(data="weight")) == list(other.edges(data="weight"))


def test_words_are_letters_in_a_row_and_their_scores_add_up():
    texts = ["who", ":", " A", "nn", " has", "4", "2", "[MASK]", "[MASK]", "un", "##seen"]
    ranges = word_ranges(texts)
    assert ["".join(texts[begin:end]) for begin, end in ranges] == [
        "who", ":", " Ann", " has", "4", "2", "[MASK]", "[MASK]", "un##seen"]
    scores = [float(at) for at in range(len(texts))]
    assert sum(merged(scores, ranges)) == sum(scores) and merged(scores, ranges)[2] == 5.0
    assert word_ranges([]) == ()


def test_random_weights_change_the_explanation(tiny):
    """The sanity check of Adebayo et al. (2018): a map that survives randomised weights shows the input only."""
    events = tuple(run(tiny, RunRequest("llada", prompt="sum: 417923+193112=", length=8, settings={"steps": 4})))
    step = 2
    position, token, _ = steps_of(events)[step].writes[0]
    random = load_model("tiny-diffusion")
    source = torch.Generator().manual_seed(0)
    for parameter in random.parameters():
        if parameter.dim() == 2:
            parameter.data = torch.randn(parameter.shape, generator=source) * parameter.std()
    visible = torch.tensor(replay(events, step)) != tiny.mask_id
    for method in ("integrated_gradients", "gradient_x_input", "occlusion", "attention_rollout", "flow_relevance"):
        request = AttributionRequest(replay(events, step), position, token, method, n_steps=8)
        trained, randomised = (attribute(model, request).scores[visible] for model in (tiny, random))
        ranks = torch.stack([scores.argsort().argsort().double() for scores in (trained, randomised)])
        assert float(torch.corrcoef(ranks)[0, 1].abs()) < 0.7, method
