"""What every attribution method and the routes promise, on every family; what they refuse, and how."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import torch

from backend import AttributionRequest, FlowRequest, RunRequest, attribute, attribution_matrix, flow_routes, replay, run
from backend.canvas import steps_of
from backend.errors import CapabilityError, RequestError
from backend.explanations.attribution import attributing, attributing_matrix
from backend.explanations.catalogue import METHODS
from backend.explanations.flow_routes import tracing
from tests.contract.test_families import CAUSAL, LENGTH, MASKED, ids_of, made  # noqa: F401 (a fixture)

STACKS = ("llada_mha", "llada_gqa", "dream_gqa", "a2d_qwen3", "llada2_moe")
NAMES = tuple(method.name for method in METHODS)


@pytest.fixture
def model_of(golden_models, made):  # noqa: F811
    """Return a function that gives a tiny random model of a family by name."""
    return lambda name: golden_models[name] if name in STACKS else made(name)[2]


def canvas_of(model) -> tuple[int, ...]:
    """Return a canvas, half of it masked where the model has a mask."""
    ids = ids_of()[0].tolist()
    if model.mask_id is not None:
        ids[LENGTH // 2 :] = [model.mask_id] * len(ids[LENGTH // 2 :])
    return tuple(ids)


def request_of(model, **changes) -> AttributionRequest:
    baseline = "mean" if model.mask_id is None else "mask"
    return AttributionRequest(**dict(ids=canvas_of(model), position=LENGTH - 2, token=7, baseline=baseline, n_steps=4) | changes)


@pytest.mark.parametrize("name", STACKS + MASKED + CAUSAL)
@pytest.mark.parametrize("method", NAMES)
def test_every_method_works_on_every_family_or_says_what_is_lacking(model_of, name, method):
    model, way = model_of(name), next(item for item in METHODS if item.name == method)
    if not way.needs <= model.capabilities:
        with pytest.raises(CapabilityError, match="Choose another method"):
            attribute(model, request_of(model, method=method))
        return
    found = attribute(model, request_of(model, method=method))
    for values in (found.scores, found.norms):
        assert values.dtype == torch.float32 and values.shape == (LENGTH,) and bool(values.isfinite().all())
    assert bool((found.norms >= 0).all()) and bool(found.scores.abs().sum() > 0)
    if not way.signed:
        assert bool((found.scores >= 0).all()) and float(found.scores.sum()) == pytest.approx(1, abs=1e-4)
    if model.kind == "causal":
        assert found.scores[LENGTH - 2 :].abs().max() <= 1e-3  # what comes later cannot be a cause


@pytest.mark.parametrize("name", STACKS + MASKED + CAUSAL)
def test_complete_scores_add_up_to_the_difference_from_the_baseline(model_of, name):
    model = model_of(name)
    found = attribute(model, request_of(model, n_steps=128, objective="logit"))
    with torch.no_grad():
        here = model.logits(torch.tensor([canvas_of(model)]))[0, LENGTH - 2, 7]
    assert found.value == pytest.approx(float(here), abs=1e-4)
    assert float(found.scores.sum()) - (found.value - found.baseline_value) == pytest.approx(found.delta, abs=1e-5)
    routed = name == "llada2_moe"  # a router jumps: its gradient does not see the jump
    assert routed or found.relative_delta < 0.02


@pytest.mark.parametrize("name", STACKS + MASKED)
@pytest.mark.parametrize("method", ["integrated_gradients", "captum_integrated_gradients", "gradient_x_input", "occlusion"])
def test_masked_positions_get_exactly_nothing_with_the_mask_baseline(model_of, name, method):
    model = model_of(name)
    found = attribute(model, request_of(model, method=method))
    masked = torch.tensor(canvas_of(model)) == model.mask_id
    assert bool((found.scores[masked] == 0).all()) and bool((found.norms[masked] == 0).all())


@pytest.mark.parametrize("rows", [1, 3 * LENGTH, 4096])
def test_the_size_of_a_chunk_changes_nothing(mha, rows):
    want = attribute(mha, request_of(mha, n_steps=8, rows=LENGTH * 8)).scores
    got = attribute(mha, request_of(mha, n_steps=8, rows=rows)).scores
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()


def test_a_contrast_is_the_difference_of_log_probabilities(mha):
    log_probs = [attribute(mha, request_of(mha, token=token, n_steps=32)).scores for token in (7, 9)]
    contrast = attribute(mha, request_of(mha, objective="contrast", against=9, n_steps=32)).scores
    torch.testing.assert_close(contrast, log_probs[0] - log_probs[1], atol=1e-4, rtol=0)


def test_without_a_token_the_favourite_of_a_masked_position_is_explained(mha):
    logits = mha.logits(torch.tensor([canvas_of(mha)]))[0, LENGTH - 2].clone()
    logits[mha.mask_id] = -torch.inf
    assert attribute(mha, request_of(mha, token=None)).token == int(logits.argmax())
    assert attribute(mha, request_of(mha, token=None, position=2)).token == canvas_of(mha)[2]


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "flow_relevance"])
@pytest.mark.parametrize("steps", [8, 4])
def test_a_row_of_the_matrix_is_the_attribution_at_the_canvas_of_its_step(mha, method, steps):
    events = tuple(run(mha, RunRequest("llada", prompt_ids=(5, 6, 7), length=8, settings={"steps": steps})))
    matrix = attribution_matrix(mha, events, method=method, n_steps=8)
    assert matrix.dtype == torch.float32 and matrix.shape == (8, 11)
    rows = iter(matrix)
    for number, step in enumerate(steps_of(events)):
        for position, token, _ in step.writes:
            want = attribute(mha, AttributionRequest(replay(events, number), position, token, method, n_steps=8)).scores
            torch.testing.assert_close(next(rows), want, atol=1e-5, rtol=1e-4)


def test_a_contrast_matrix_sets_each_token_against_the_best_other_candidate(mha):
    events = tuple(run(mha, RunRequest("llada", prompt_ids=(5, 6, 7), length=4)))
    matrix = attribution_matrix(mha, events, objective="contrast", n_steps=8)
    step = steps_of(events)[2]
    [(position, token, _)] = step.writes
    runner_up = step.candidates.ids[step.candidates.positions.index(position)][1]
    want = attribute(mha, AttributionRequest(
        replay(events, 2), position, token, objective="contrast", against=runner_up, n_steps=8)).scores
    torch.testing.assert_close(matrix[2], want, atol=1e-5, rtol=1e-4)


# -- routes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STACKS + MASKED + CAUSAL)
def test_routes_lead_from_the_input_to_the_row_that_is_read_or_the_model_says_why_not(model_of, name):
    model = model_of(name)
    request = FlowRequest(canvas_of(model), LENGTH - 2, threshold=0.02)
    if "flow_routes" not in model.capabilities:
        with pytest.raises(CapabilityError, match="taken apart"):
            flow_routes(model, request)
        return
    graph = flow_routes(model, request)
    read = LENGTH - 3 if model.shifted else LENGTH - 2
    assert graph.graph["read_position"] == read and graph.graph["target"] == ("out", model.n_layers - 1, read)
    assert nx.is_directed_acyclic_graph(graph)
    assert all(nx.has_path(graph, node, graph.graph["target"]) for node in graph)
    assert all(weight > 0.02 for *_, weight in graph.edges(data="weight"))
    assert 0 < graph.graph["coverage"] <= 1 and graph.graph["error"] == 0
    assert {kind for kind, _, _ in graph} >= {"token", "mid", "out"}


@pytest.mark.parametrize("name", STACKS + ("bert", "roberta"))
def test_without_a_threshold_everything_that_enters_a_sum_adds_up_to_one(model_of, name):
    model = model_of(name)
    graph = flow_routes(model, FlowRequest(canvas_of(model), 4, threshold=0.0))
    for node in graph:
        if node[0] in ("mid", "out"):
            assert sum(weight for *_, weight in graph.in_edges(node, data="weight")) == pytest.approx(1, abs=1e-4)
    assert graph.graph["coverage"] == pytest.approx(1, abs=1e-4)
    assert graph.graph["traced"] == pytest.approx(1, abs=1e-4)


def test_heads_of_an_edge_add_up_to_it_with_the_residual(gqa):
    graph = flow_routes(gqa, FlowRequest(canvas_of(gqa), 12, per_head=True))
    edges = [(source, into, data) for source, into, data in graph.edges(data=True) if into[0] == "mid"]
    assert edges
    for source, into, data in edges:
        heads, weights = zip(*data["heads"], strict=True)
        assert sorted(heads) == list(range(gqa.n_heads)) and list(weights) == sorted(weights, reverse=True)
        assert ("residual" in data) == (source[2] == into[2])
        assert sum(weights) + data.get("residual", 0.0) == pytest.approx(data["weight"], abs=1e-5)


def test_a_higher_threshold_gives_a_part_of_the_graph(mha):
    edges = [set(flow_routes(mha, FlowRequest(canvas_of(mha), 12, threshold=threshold)).edges) for threshold in (0.01, 0.04, 0.2)]
    assert edges[0] > edges[1] > edges[2]


def test_a_threshold_above_every_edge_leaves_the_target_alone(mha):
    graph = flow_routes(mha, FlowRequest(canvas_of(mha), 12, threshold=1 - 1e-7))
    assert set(graph) == {graph.graph["target"]} and graph.graph["coverage"] == 0


def test_nothing_that_survives_renormalising_is_ever_nan(mha):
    graph = flow_routes(mha, FlowRequest(canvas_of(mha), 12, threshold=0.0, renormalise=0.9))
    assert all(math.isfinite(weight) for *_, weight in graph.edges(data="weight"))


# -- what is refused ----------------------------------------------------------------------------

WRONG = {
    "position": (dict(position=LENGTH), "give 0 to 18"),
    "token": (dict(token=10**6), "outside the vocabulary"),
    "against": (dict(objective="contrast"), "give the other as against"),
    "ids": (dict(ids=(1, 2, 10**6), position=1), "another model"),
    "method": (dict(method="magic"), "integrated_gradients"),
    "objective": (dict(objective="beauty"), "log_prob"),
    "baseline": (dict(baseline="noise"), "mask"),
    "n_steps": (dict(n_steps=0), "1 to 1024"),
    "rows": (dict(rows=0), "whole number"),
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_field_is_named_with_its_limit(mha, field):
    changes, words = WRONG[field]
    with pytest.raises(RequestError) as caught:
        attribute(mha, request_of(mha, **changes))
    assert [problem.field for problem in caught.value.problems] == [field]
    assert words in str(caught.value)


def test_every_wrong_field_is_named_at_once(mha):
    with pytest.raises(RequestError) as caught:
        attribute(mha, request_of(mha, position=-1, token=-1, n_steps=True))
    assert [problem.field for problem in caught.value.problems] == ["position", "token", "n_steps"]


def test_a_canvas_beyond_the_window_is_refused(mha):
    with pytest.raises(RequestError, match="positions"):
        attribute(mha, request_of(mha, ids=(1,) * (mha.max_length + 1)))
    with pytest.raises(RequestError, match="positions"):
        flow_routes(mha, FlowRequest((), 0))


@pytest.mark.parametrize("threshold", [-0.1, 1.0, math.nan, "much"])
def test_a_threshold_that_is_no_share_is_refused(mha, threshold):
    with pytest.raises(RequestError, match="threshold"):
        flow_routes(mha, FlowRequest(canvas_of(mha), 3, threshold=threshold))


def test_a_mask_baseline_needs_a_mask(made):  # noqa: F811
    model = made("gpt2")[2]
    with pytest.raises(RequestError, match="has no mask token; give pad, mean"):
        attribute(model, request_of(model, baseline="mask"))


def test_a_run_of_another_model_is_refused(mha, fake):
    events = tuple(run(fake, RunRequest("llada", prompt="ab", length=2)))
    with pytest.raises(RequestError, match="Load the model of the run"):
        attribution_matrix(mha, events)


def test_a_model_without_gradients_says_so(fake):
    with pytest.raises(CapabilityError, match="gradients"):
        attribute(fake, AttributionRequest((1, 2, 256), 2))


# -- in pieces ----------------------------------------------------------------------------------


def test_progress_rises_to_the_end_and_a_closed_generator_stops(mha):
    events = tuple(run(mha, RunRequest("llada", prompt_ids=(5,), length=3)))
    for make in (lambda: attributing(mha, request_of(mha, rows=LENGTH)), lambda: tracing(mha, FlowRequest(canvas_of(mha), 3)),
                 lambda: attributing_matrix(mha, events, n_steps=4)):
        seen = list(make())
        assert [item.done for item in seen] == sorted(item.done for item in seen)
        assert seen[-1].done == seen[-1].total and seen[0].done < seen[0].total
        work = make()
        next(work)
        work.close()
        assert next(work, None) is None


def test_an_explanation_leaves_gradients_as_they_were(mha):
    for _ in attributing(mha, request_of(mha, rows=LENGTH)):
        assert torch.is_grad_enabled()
    for _ in tracing(mha, FlowRequest(canvas_of(mha), 3)):
        assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in mha.parameters())
