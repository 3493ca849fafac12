"""The logit lens: a vector from inside the network, read as if it were the last one.

Source: nostalgebraist, "interpreting GPT: the logit lens" (2020). The vector goes through the network's
own final norm and output matrix. Read: which tokens it points at by then; early layers need not
speak the output's language, so a strange list there is no error. A feed-forward's vector is what it
adds, so its list is what it promotes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from backend.errors import Problem, RequestError
from backend.explanations.base import Explaining, Progress, finished
from backend.explanations.checks import require
from backend.explanations.flow_routes import Node
from backend.models.base import Model
from backend.shapes import Float

Best = tuple[tuple[int, float], ...]
KINDS = ("token", "mid", "mlp", "out")


def lens(model: Model, ids: Sequence[int], node: Node, top: int = 8) -> Best:
    """Return the ``top`` most probable tokens of a node of a flow graph, as (token, probability).

    Raises ``RequestError`` for a node that the canvas or the model lacks, ``CapabilityError`` for a model
    whose layers cannot be taken apart.
    """
    return finished(reading(model, ids, node, top))


def reading(model: Model, ids: Sequence[int], node: Node, top: int = 8) -> Explaining[Best]:
    """Yield before the pass and return what ``lens`` does."""
    require(model, frozenset({"flow_routes"}), "The logit lens")
    problems = _problems(model, len(ids), node)
    if problems:
        raise RequestError(problems)
    yield Progress(0, 1)
    probs = _probabilities(model, tuple(ids), node)
    best = probs.topk(min(top, model.vocab_size))
    return tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))


@torch.no_grad()
def _probabilities(model: Model, ids: tuple[int, ...], node: Node) -> Float["V"]:
    return model.read_out(_vector(model, ids, node)).float().softmax(dim=-1)


def _vector(model: Model, ids: tuple[int, ...], node: Node) -> Float["D"]:
    """Return the residual stream, or what the feed-forward adds to it, at a node."""
    kind, layer, position = node
    project = torch.zeros(1, len(ids), dtype=torch.bool)
    states = model.forward(torch.tensor([ids]), project=project, hidden_states=True).hidden_states
    if kind == "token":
        return states[0][0, position]
    if kind == "out":
        return states[layer + 1][0, position]
    parts = model.layer_parts(layer, states[layer][0], torch.tensor([position]))
    return (parts.carried if kind == "mid" else parts.mlp)[0]


def _problems(model: Model, length: int, node: Node) -> list[Problem]:
    kind, layer, position = node
    problems = []
    if kind not in KINDS:
        problems.append(Problem("kind", f"There is no node of kind {kind!r}; the kinds are {', '.join(KINDS)}."))
    highest = 0 if kind == "token" else model.n_layers - 1
    if not 0 <= layer <= highest:
        problems.append(Problem("layer", f"{layer} is out of range; give 0 to {highest}."))
    if not 0 <= position < length:
        problems.append(Problem("at", f"{position} is not in the canvas; give 0 to {length - 1}."))
    return problems
