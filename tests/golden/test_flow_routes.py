"""Importances and graphs of routes against the official functions (see data/README.md)."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from backend import FlowRequest, flow_routes, load_model
from backend.explanations.contributions import Contributions, contributions, proximity
from backend.explanations.layers import hidden_states, layer_shares
from backend.models.base import LayerParts, ModelOutput
from tests.conftest import GOLDEN

FOLDER = GOLDEN / "flow_routes"
CASES = [case for case in json.loads((FOLDER / "random_contributions.json").read_text())["cases"] if case["distance_norm"] == 1]
RANDOM = load_file(FOLDER / "random_contributions.safetensors")
LLAMAS = ("llama_gqa_bidirectional", "llama_mha_causal_bias")
KINDS = {"X": "token", "A": "mid", "M": "mlp", "I": "out"}
TOLERANCE, RENORMALISED, RECOMPUTED = 2e-5, 5e-5, 1e-4
LIMITS = ("0.0", "0.01", "0.04", "0.1", "0.5")


def case_of(number: int) -> SimpleNamespace:
    found = {key.split(".", 1)[1]: value for key, value in RANDOM.items() if key.startswith(f"case{number}.")}
    return SimpleNamespace(**found)


def row_of(case: SimpleNamespace, batch: int, row: int) -> Contributions:
    """One target: every head's values are its parts, with weight 1 and an output projection of 1."""
    parts = case.decomposed_attn[batch, row].transpose(0, 1)  # [H, S, d]
    heads, sources, width = parts.shape
    whole, after = case.resid_mid[batch, row][None], case.resid_post[batch, row][None]
    found = contributions(LayerParts(
        case.resid_pre[batch, row][None], torch.ones(heads, 1, sources, dtype=parts.dtype), parts,
        torch.eye(width, dtype=parts.dtype).expand(heads, -1, -1), whole, whole, case.mlp_out[batch, row][None]))
    # In the random cases the sum after the feed-forward is not the sum of its parts.
    mlp, carried = proximity(case.mlp_out[batch, row][None], after), proximity(whole, after)
    return Contributions(found.heads, found.residual, mlp / (mlp + carried), carried / (mlp + carried))


@pytest.mark.parametrize("number", [case["case"] for case in CASES])
def test_importances_of_random_parts_are_the_references(number):
    case = case_of(number)
    for batch, row in torch.cartesian_prod(*map(torch.arange, case.c_mlp.shape)).tolist():
        got = row_of(case, batch, row)
        torch.testing.assert_close(got.heads[:, 0].T, case.c_attn[batch, row], atol=TOLERANCE, rtol=0)
        for name, want in (("residual", case.c_resid_attn), ("mlp", case.c_mlp), ("mlp_residual", case.c_resid_mlp)):
            torch.testing.assert_close(getattr(got, name)[0], want[batch, row], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("number", [case["case"] for case in CASES])
def test_renormalised_importances_are_the_references_and_nothing_is_nan(number, limit):
    case = vars(case_of(number))
    for batch, row in torch.cartesian_prod(*map(torch.arange, case["c_mlp"].shape)).tolist():
        got = row_of(case_of(number), batch, row)
        close = torch.cat([getattr(got, name).flatten() for name in ("heads", "residual", "mlp", "mlp_residual")])
        if (close - float(limit)).abs().min() < TOLERANCE and float(limit) > 0:
            continue  # a part at the threshold may fall on either side
        got = got.above(float(limit))
        for found, name in ((got.heads[:, 0].T, "c_attn"), (got.residual[0], "c_resid_attn"),
                            (got.mlp[0], "c_mlp_per_position"), (got.mlp_residual[0], "c_resid_mlp_per_position")):
            want = case[f"thr{limit}_{name}"][batch, row].nan_to_num(0.0)
            torch.testing.assert_close(found, want, atol=RENORMALISED, rtol=0)


class Recorded:
    """A model that answers with the stored activations of a golden Llama."""

    capabilities = frozenset({"flow_routes"})
    name = family = "recorded"
    shifted = False
    max_length = vocab_size = 64

    def __init__(self, name: str) -> None:
        self.stored = load_file(FOLDER / name / "activations.safetensors")
        config = json.loads((FOLDER / name / "config.json").read_text())
        weights = load_file(FOLDER / name / "model.safetensors")
        self.n_layers = config["num_hidden_layers"]
        shape = (config["num_attention_heads"], config["head_dim"])
        self.outputs = [weights[f"model.layers.{layer}.self_attn.o_proj.weight"].double().T.unflatten(0, shape)
                        for layer in range(self.n_layers)]

    def forward(self, input_ids, **_) -> ModelOutput:
        return ModelOutput(torch.empty(0), hidden_states=tuple(self.stored["resid_pre"][:, None]))

    def layer_parts(self, layer, hidden, rows) -> LayerParts:
        stored = self.stored
        mid = stored["resid_mid"][layer, rows]
        return LayerParts(
            stored["resid_pre"][layer, rows], stored["attn_weights"][layer][:, rows], stored["values"][layer].transpose(0, 1),
            self.outputs[layer], mid, mid, stored["mlp_out"][layer, rows])


@pytest.mark.parametrize("name", LLAMAS)
def test_the_parts_of_attention_add_up_to_the_modules_output(name):
    model = load_model(FOLDER / name)
    stored = load_file(FOLDER / name / "activations.safetensors")
    states = hidden_states(model, tuple(stored["input_ids"].tolist()))
    for layer, hidden in enumerate(states):
        parts = model.layer_parts(layer, hidden, torch.arange(len(hidden)))
        values = parts.values.repeat_interleave(parts.weights.shape[0] // parts.values.shape[0], dim=0)
        total = torch.einsum("hrj,hje,hed->rd", parts.weights, values, parts.output)
        want = stored["attn_out"][layer] - stored["o_proj_bias"][layer]
        torch.testing.assert_close(total.double(), want, atol=1e-5, rtol=0)
        torch.testing.assert_close(parts.mid - parts.before, stored["attn_out"][layer].float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LLAMAS)
@pytest.mark.parametrize("source", ["stored", "computed"])
def test_importances_of_a_llama_are_the_references(name, source):
    recorded = Recorded(name)
    model, tolerance = (recorded, TOLERANCE) if source == "stored" else (load_model(FOLDER / name), RECOMPUTED)
    stored = recorded.stored
    states = hidden_states(model, tuple(stored["input_ids"].tolist()))
    for layer, hidden in enumerate(states):
        got = layer_shares(model, layer, hidden, list(range(len(hidden))))
        for found, want in ((got.heads.permute(1, 2, 0), "c_attn"), (got.residual, "c_resid_attn"),
                            (got.mlp, "c_mlp"), (got.mlp_residual, "c_resid_mlp")):
            torch.testing.assert_close(found.double(), stored[want][layer], atol=tolerance, rtol=0)


def node_of(name: str) -> tuple[str, int, int]:
    kind, at = name[0], name[1:].split("_")
    return KINDS[kind], int(at[0]), int(at[1])


def assert_same_edges(graph, edges: list, threshold: float, tolerance: float) -> None:
    got = {(source, into): weight for source, into, weight in graph.edges(data="weight")}
    want = {(node_of(a), node_of(b)): weight for a, b, weight in edges}
    for edge in got.keys() ^ want.keys():
        assert abs({**want, **got}[edge] - threshold) <= tolerance, edge
    for edge in got.keys() & want.keys():
        assert got[edge] == pytest.approx(want[edge], abs=tolerance)


@pytest.mark.parametrize("name", LLAMAS)
@pytest.mark.parametrize("source", ["stored", "computed"])
def test_extracted_graphs_are_the_references(name, source):
    graphs = json.loads((FOLDER / name / "graphs.json").read_text())
    recorded = Recorded(name)
    model = recorded if source == "stored" else load_model(FOLDER / name)
    ids = tuple(recorded.stored["input_ids"].tolist())
    for path in graphs["paths"]:
        renormalise, threshold = path["renormalizing_threshold"], path["threshold"]
        position = path["start_token"] + int(model.shifted)
        if position == len(ids):
            continue  # a causal row that predicts beyond the canvas
        graph = flow_routes(model, FlowRequest(ids, position, threshold=threshold, renormalise=renormalise))
        assert graph.graph["target"] == ("out", model.n_layers - 1, path["start_token"])
        tolerance = RECOMPUTED * 5 if source == "computed" else TOLERANCE if renormalise is None else RENORMALISED
        assert_same_edges(graph, path["edges"], threshold, tolerance)


@pytest.mark.parametrize("name", LLAMAS)
def test_without_a_threshold_every_edge_of_the_reference_is_there(name):
    [full] = json.loads((FOLDER / name / "graphs.json").read_text())["full"]
    weights = {(node_of(a), node_of(b)): weight for a, b, weight in full["edges"]}
    model = Recorded(name)
    ids = tuple(model.stored["input_ids"].tolist())
    for position in range(len(ids)):
        graph = flow_routes(model, FlowRequest(ids, position, threshold=0.0))
        for source, into, weight in graph.edges(data="weight"):
            # The golden floor is taken on a distance that is longer by 1e-6 per coordinate.
            assert weight == pytest.approx(weights.get((source, into), 0.0), abs=TOLERANCE)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """The golden encoder behind a random head: routes end before it."""
    folder = tmp_path_factory.mktemp("bert")
    source = FOLDER / "bert_post_ln"
    config = BertConfig.from_pretrained(source)
    whole = BertForMaskedLM(config)
    encoder = BertModel.from_pretrained(source, add_pooling_layer=False)
    whole.bert.load_state_dict(encoder.state_dict())
    whole.save_pretrained(folder)
    return load_model(folder, mask_id=1)


def test_importances_of_a_post_norm_encoder_are_taken_on_the_sums_before_the_norm(bert):
    stored = load_file(FOLDER / "bert_post_ln" / "activations.safetensors")
    states = hidden_states(bert, tuple(stored["input_ids"].tolist()))
    for layer, hidden in enumerate(states):
        torch.testing.assert_close(hidden.double(), stored["x_in"][layer], atol=1e-5, rtol=0)
        got = layer_shares(bert, layer, stored["x_in"][layer].float(), list(range(len(hidden))))
        for found, want in ((got.heads.permute(1, 2, 0), "c_attn"), (got.residual, "c_resid_attn"),
                            (got.mlp, "c_mlp"), (got.mlp_residual, "c_resid_mlp")):
            torch.testing.assert_close(found.double(), stored[want][layer], atol=RECOMPUTED, rtol=0)
