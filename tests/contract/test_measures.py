"""What every recorded score promises, and each one against a slow float64 recomputation.

The recomputation knows nothing of the program's own: it replays the canvas before every step, asks
``Model.logits`` for it, and applies the definition written out in Python.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from backend import RunRequest, replay, run, scores
from backend.canvas import steps_of
from backend.measures.catalogue import MEASURES
from backend.observing import HALF_ABOVE, Observer

NAMES = tuple(measure.name for measure in MEASURES)
NUMBER = 1e-5

REQUESTS = {
    "highest confidence first": dict(decoder="llada", settings={}),
    "guided, in blocks": dict(decoder="llada", settings={"cfg_scale": 1.5, "block_length": 4}),
    "guided and drawn": dict(decoder="llada", settings={"cfg_scale": 0.5, "temperature": 0.8, "steps": 8}),
    "many at once": dict(decoder="fast_dllm", settings={"threshold": 0.5}),
    "by entropy": dict(decoder="entropy_bound", settings={"gamma": 0.5}),
    "at random": dict(decoder="random_order", settings={}),
    "infilling, guided": dict(decoder="llada", settings={"cfg_scale": 1.0}, fixed={2: 7, 3: 9}),
}


def distributions(model, events) -> list[np.ndarray]:
    """Return the float64 distributions [L, V] at the pass of every step, guidance applied."""
    first = replay(events, 0)
    known = torch.tensor(first) != model.mask_id
    scale = events[0].settings.get("cfg_scale", 0.0)
    found = []
    for number in range(len(steps_of(events))):
        canvas = torch.tensor(replay(events, number))
        logits = model.logits(canvas[None])[0].double()
        if scale:
            blind = model.logits(canvas.masked_fill(known, model.mask_id)[None])[0].double()
            logits = blind + (scale + 1) * (logits - blind)
        found.append(logits.softmax(dim=-1).numpy())
    return found


def entropy(p: np.ndarray) -> float:
    """Return the Shannon entropy in nats."""
    kept = p[p > 0]
    return float(-(kept * np.log(kept)).sum())


def definition(name: str, now: np.ndarray, past: list[np.ndarray]) -> float:
    """Return a score by its definition; ``past`` newest first."""
    top = np.sort(now)[::-1]
    if name == "confidence":
        return float(top[0])
    if name == "entropy":
        return entropy(now)
    if name == "margin":
        return float(top[0] - top[1])
    if not past:
        return math.nan
    if name == "drift":
        return float((now * (np.log(now) - np.log(past[0]))).sum())
    if name == "consistency":
        mean = sum(past[:3]) / len(past[:3])
        divergence = entropy((now + mean) / 2) - (entropy(now) + entropy(mean)) / 2
        return 1 - divergence / math.log(2)
    raise AssertionError(f"{name} has no definition in this test; write it from the paper.")


def recomputed(model, events, beliefs: list[np.ndarray], name: str) -> np.ndarray:
    """Return the score matrix [steps, L] from replayed canvases and the distributions at their passes."""
    matrix = np.full((len(beliefs), len(replay(events, 0))), np.nan)
    past: dict[int, list[np.ndarray]] = {}
    for number, belief in enumerate(beliefs):
        canvas = replay(events, number)
        for position in range(events[0].prompt_length, len(canvas)):
            if canvas[position] == model.mask_id:
                before = past.setdefault(position, [])
                matrix[number, position] = definition(name, belief[position], before)
                before.insert(0, belief[position])
    return matrix


@pytest.fixture(scope="module")
def runs(mha):
    """The events of every request, by name."""
    ids = (37, 31, 83, 41, 62)
    return {name: tuple(run(mha, RunRequest(prompt_ids=ids, length=16, seed=2, **given)))
            for name, given in REQUESTS.items()}


@pytest.fixture(scope="module")
def beliefs(mha, runs):
    """The distributions at every pass of every request, by name."""
    return {name: distributions(mha, events) for name, events in runs.items()}


@pytest.fixture(scope="module")
def embedded_run(tiny):
    """The events of a run of the embedded model, and the distributions at its passes."""
    events = tuple(run(tiny, RunRequest("llada", length=20)))
    return events, distributions(tiny, events)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", REQUESTS)
def test_a_recorded_score_equals_its_definition_on_the_replayed_canvases(mha, runs, beliefs, case, name):
    got = scores(runs[case], name).numpy()
    want = recomputed(mha, runs[case], beliefs[case], name)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, atol=NUMBER, rtol=NUMBER)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_score_equals_its_definition_on_the_embedded_model(tiny, embedded_run, name):
    events, found = embedded_run
    np.testing.assert_allclose(scores(events, name).numpy(), recomputed(tiny, events, found, name), atol=NUMBER, rtol=NUMBER)


@pytest.mark.parametrize("case", REQUESTS)
def test_candidates_are_the_most_probable_tokens_with_their_probabilities(runs, beliefs, case):
    for belief, step in zip(beliefs[case], steps_of(runs[case]), strict=True):
        rows = zip(step.candidates.positions, step.candidates.ids, step.candidates.probabilities, strict=True)
        for position, ids, probabilities in rows:
            np.testing.assert_allclose(probabilities, np.sort(belief[position])[::-1][: len(ids)], atol=NUMBER)
            np.testing.assert_allclose(belief[position][list(ids)], probabilities, atol=NUMBER)


@pytest.mark.parametrize("measure", MEASURES, ids=NAMES)
@pytest.mark.parametrize("case", REQUESTS)
def test_a_score_stays_in_the_range_it_declares(mha, runs, case, measure):
    values = scores(runs[case], measure.name)
    known = values[~values.isnan()]
    assert len(known) and known.min() >= measure.low
    if measure.name != "drift":  # its scale ends at 4 nats for drawing; the values do not
        assert known.max() <= measure.high(mha.vocab_size) + 1e-6


@pytest.mark.parametrize("measure", MEASURES, ids=NAMES)
def test_a_measure_says_how_it_is_to_be_read(measure):
    assert measure.title and measure.unit and measure.higher and measure.help.endswith(".")
    assert measure.low < measure.high(100)


def test_every_measure_is_recorded_at_every_step(runs):
    for events in runs.values():
        assert all(tuple(step.scores) == NAMES for step in steps_of(events))


def test_a_score_that_is_not_recorded_lists_the_names_that_are(runs):
    with pytest.raises(ValueError, match="confidence"):
        scores(runs["at random"], "mood")


def observed(logits: list[torch.Tensor]) -> list:
    """Return what an observer makes of successive passes over the same positions."""
    observer = Observer(mask_id=0, top_k=4)
    places = tuple(range(len(logits[0])))
    return [observer.observe(rows.clone(), places) for rows in logits]


@pytest.mark.parametrize("tail", (1.0, 3.0))
@pytest.mark.parametrize("sure", (0.0, 12.0))
def test_scores_hold_for_a_large_vocabulary_whose_past_is_kept_in_half_precision(sure, tail):
    vocab = HALF_ABOVE + 1000
    source = torch.Generator().manual_seed(3)
    passes = [tail * torch.randn(3, vocab, generator=source) for _ in range(4)]
    for rows in passes:
        rows[:, 17] += sure
    beliefs = [rows.double().softmax(dim=1).numpy() for rows in passes]
    for number, seen in enumerate(observed(passes)):
        for name in NAMES:
            want = [definition(name, beliefs[number][row], [b[row] for b in beliefs[:number][::-1]]) for row in range(3)]
            got = [math.nan if value is None else value for value in seen.scores[name]]
            # Half precision keeps 11 bits of a past probability; the present is float32.
            np.testing.assert_allclose(got, want, atol=2e-3 if name in ("drift", "consistency") else NUMBER, rtol=2e-3 if name in ("drift", "consistency") else NUMBER)


def test_equal_logits_are_candidates_in_the_order_of_their_ids():
    rows = torch.zeros(1, 50)
    (seen,) = observed([rows])
    assert seen.candidates.ids == ((0, 1, 2, 3),)
    assert seen.tokens == (1,), "the mask itself, id 0 here, is never proposed"


def test_confidences_that_float32_calls_one_can_still_be_told_apart():
    rows = torch.zeros(2, 50)
    rows[0, 5], rows[1, 5] = 30.0, 28.0
    (seen,) = observed([rows])
    assert 0 < 1 - seen.probs[0] < 1 - seen.probs[1] < 1e-9


def test_an_unmoved_belief_has_no_drift_and_full_consistency():
    rows = torch.randn(4, 60, generator=torch.Generator().manual_seed(1)) * 3
    last = observed([rows, rows, rows])[-1]
    assert max(last.scores["drift"]) < 1e-6
    assert min(last.scores["consistency"]) > 1 - 1e-6


def test_beliefs_that_share_nothing_have_no_consistency():
    first, second = torch.full((1, 40), -200.0), torch.full((1, 40), -200.0)
    first[0, 3], second[0, 9] = 0.0, 0.0
    last = observed([first, second])[-1]
    assert last.scores["consistency"][0] == pytest.approx(0.0, abs=1e-5)
    assert last.scores["drift"][0] > 50
