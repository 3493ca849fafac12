"""Equal values go to the smaller token id, whatever order the library hands them out in."""

from __future__ import annotations

import pytest
import torch

from backend import RunRequest, run
from backend.canvas import steps_of
from backend.events import Step
from backend.sampling import largest
from tests.conftest import FakeCausal, FakeModel


class Level(FakeModel):
    """Every token is as probable as every other; the mask is more so, which nobody may write."""

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None) -> torch.Tensor:
        logits = torch.zeros(*input_ids.shape, self.vocab_size)
        logits[..., self.mask_id] = 1.0
        return logits


class LevelCausal(FakeCausal):
    """The same from left to right, where no mask is known."""

    def logits(self, input_ids=None, attention_mask=None, *, inputs_embeds=None) -> torch.Tensor:
        return torch.zeros(*input_ids.shape, self.vocab_size)


def made(model: FakeModel, decoder: str, **settings: object) -> tuple[Step, ...]:
    events = tuple(run(model, RunRequest(decoder, prompt="2+2=", length=4, settings=settings)))
    assert events[-1].reason == "done", events[-1].message
    return steps_of(events)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 9])
def test_the_largest_are_those_of_a_stable_sort(k: int) -> None:
    source = torch.Generator().manual_seed(3)
    rows = torch.randint(0, 3, (200, 7), generator=source).float()
    values, ids = largest(rows, k)
    for row, found, tokens in zip(rows.tolist(), values.tolist(), ids.tolist(), strict=True):
        wanted = sorted(range(7), key=lambda token: (-row[token], token))[:k]
        assert tokens == wanted and found == [row[token] for token in wanted]


def test_the_candidates_of_contrastive_search_are_the_first_ids() -> None:
    for step in made(LevelCausal(), "contrastive_search", k=5):
        assert [token for token, *_ in step.notes["candidates"]] == [0, 1, 2, 3, 4]


def test_beams_go_on_with_the_first_ids() -> None:
    steps = made(LevelCausal(), "beam", beams=3)
    assert [token for _, token, _ in sorted(steps[-1].writes)] == [0]
    assert all(token == 0 for step in steps for _, token, _ in step.writes)


def test_the_values_tried_by_explore_then_exploit_are_the_first_ids_without_the_mask() -> None:
    tried = [step.notes["tried"] for step in made(Level(), "explore_then_exploit", trigger="always", lookahead=3) if "tried" in step.notes]
    assert tried and all([token for token, *_ in pairs] == [0, 1, 2] for pairs in tried)


def test_the_favourite_that_ccd_shows_is_the_first_id_and_never_the_mask() -> None:
    shown = [entry for step in made(Level(), "ccd") for row in step.notes["buffer"] for entry in row]
    assert shown and {favourite for _, favourite, _ in shown} <= {0, -1} and any(favourite == 0 for _, favourite, _ in shown)
