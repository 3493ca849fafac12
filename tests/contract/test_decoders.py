"""What every decoder of the catalogue promises; a new one is tested before its author writes a test."""

from __future__ import annotations

import json

import pytest
import torch

from backend import RequestError, RunRequest, from_json, replay, run, same_run, to_json
from backend.canvas import OPEN, steps_of
from backend.decoders.catalogue import find_decoder
from backend.runner import Limits
from tests.conftest import fake_for
from tests.contract.cases import CASES, FIXED, LENGTH, NAMES, fits, mask_of, options_of, recorded, request_of, states, warm
BUDGET = 3


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_same_seed_gives_identical_events(name, given):
    _, first = recorded(name, given)
    second = list(run(fake_for(name), request_of(name, json.loads(given))))
    assert first[-1].reason == "done", first[-1].message
    assert same_run(first, second)
    assert states(first) == states(second)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_events_survive_json_exactly(name, given):
    for event in recorded(name, given, fixed=True)[1]:
        assert from_json(to_json(event)) == event
        assert from_json(json.dumps(to_json(event))) == event


@pytest.mark.parametrize(("name", "given"), CASES)
def test_replaying_a_run_gives_its_final_text(name, given):
    fake, events = recorded(name, given)
    final = replay(events, len(steps_of(events)))
    answer = final[events[0].prompt_length:]
    cut = answer.index(fake.eos_id) if fake.eos_id in answer else len(answer)
    assert mask_of(fake) not in answer[:cut]
    assert events[-1].text == fake.decode(answer[:cut])
    assert events[-1].totals.answer_tokens == cut
    assert events[-1].totals.tail_tokens == len(answer) - cut
    assert events[-1].totals.written == sum(token != mask_of(fake) for token in answer)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_only_masked_positions_are_written_and_never_with_the_mask(name, given):
    fake, events = recorded(name, given, fixed=True)
    start = events[0]
    before = replay(events, 0)
    assert before[: start.prompt_length] == fake.encode("What? ")
    for number, step in enumerate(steps_of(events), 1):
        places = [position for position, _, _ in step.writes]
        assert places == sorted(set(places)), "each position once, in order"
        erased = step.erases if find_decoder(name).remasks else ()
        assert all(before[position] == mask_of(fake) or position in erased for position in places)
        assert all(token != mask_of(fake) and 0.0 <= probability <= 1.0 for _, token, probability in step.writes)
        assert step.index == number
        before = replay(events, number)
    for at, token in FIXED.items():
        assert before[start.prompt_length + at] == token
    assert before[: start.prompt_length] == fake.encode("What? ")


@pytest.mark.parametrize(("name", "given"), CASES)
def test_masks_only_go_away(name, given):
    fake, events = recorded(name, given)
    masked = [{at for at, token in enumerate(state) if token == mask_of(fake)} for state in states(events)]
    if find_decoder(name).remasks:
        assert all(len(later) <= len(earlier) for earlier, later in zip(masked, masked[1:]))
    else:
        assert all(later <= earlier for earlier, later in zip(masked, masked[1:]))
    assert not masked[-1] or fake.eos_id in replay(events, len(steps_of(events)))


@pytest.mark.parametrize(("name", "given"), CASES)
def test_scores_and_candidates_belong_to_the_positions_masked_when_the_pass_ran(name, given):
    fake, events = recorded(name, given, fixed=True)
    for number, step in enumerate(steps_of(events), 1):
        before = replay(events, number - 1)
        masked = tuple(at for at, token in enumerate(before) if token == mask_of(fake))
        assert step.masked == masked
        looked_at = step.candidates.positions
        assert set(looked_at) <= set(masked) and ({position for position, _, _ in step.writes} - set(step.erases) <= set(looked_at) or find_decoder(name).remasks)
        for values in step.scores.values():
            assert all(value is None for at, value in zip(masked, values, strict=True) if at not in looked_at)
        assert all(len(values) == len(masked) for values in step.scores.values())
        for ids, probabilities in zip(step.candidates.ids, step.candidates.probabilities, strict=True):
            assert len(set(ids)) == len(ids) == len(probabilities) == 8
            assert list(probabilities) == sorted(probabilities, reverse=True)
            assert sum(probabilities) <= 1 + 1e-9


@pytest.mark.parametrize(("name", "given"), CASES)
def test_every_token_shown_has_a_text(name, given):
    fake, events = recorded(name, given)
    texts: dict[int, str] = {}
    for event in events:
        if event.kind == "start":
            texts |= event.texts
            assert set(event.canvas) | {mask_of(fake)} <= texts.keys()
        if event.kind == "step":
            texts |= event.texts
            shown = {token for _, token, _ in event.writes} | {t for row in event.candidates.ids for t in row}
            assert shown <= texts.keys()
    assert all(texts[token] == fake.token(token) for token in texts if token != OPEN)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_passes_and_rows_count_the_work_done(name, given):
    fake, events = recorded(name, given)
    totals = events[-1].totals
    assert totals.passes == fake.passes == steps_of(events)[-1].passes
    assert totals.rows == fake.computed == steps_of(events)[-1].rows
    assert totals.steps == len(steps_of(events))
    assert totals.tokens_per_pass == pytest.approx(totals.written / totals.passes)


@pytest.mark.parametrize("name", NAMES)
def test_each_step_says_why(fake, name):
    for step in steps_of(run(fake, request_of(name, {}))):
        assert step.notes["why"].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_the_budget_holds(fake, name):
    limits = Limits(passes=BUDGET)
    events = list(run(fake, request_of(name, warm(name)), limits=limits))
    assert fake.passes <= BUDGET
    if events[-1].reason == "budget":
        assert fake.passes == BUDGET and str(BUDGET) in events[-1].message
    assert name not in ("llada", "left_to_right", "random_order") or events[-1].reason == "budget"


@pytest.mark.parametrize("name", NAMES)
def test_a_run_out_of_time_ends_with_what_it_has(fake, name):
    events = list(run(fake, request_of(name, {}), limits=Limits(seconds=0)))
    assert [event.kind for event in events] == ["start", "end"]
    assert events[-1].reason == "budget" and fake.passes == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seen", (1, 2, 4))
def test_closing_the_iterator_stops_within_one_further_pass(fake, name, seen):
    events = run(fake, request_of(name, {}))
    for _ in range(seen):
        next(events)
    before = fake.passes
    events.close()
    assert fake.passes <= before + 1
    with pytest.raises(StopIteration):
        next(events)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_whose_answer_is_all_fixed_needs_no_pass(fake, name):
    fixed = {at: 65 for at in range(LENGTH)}
    whole = {"block_length": 2} if "block_length" in options_of(name) else {}
    events = list(run(fake, request_of(name, whole, fixed=fixed)))
    assert [event.kind for event in events] == ["start", "end"]
    assert fake.passes == 0 and events[-1].text == "A" * LENGTH


@pytest.mark.parametrize("name", NAMES)
def test_one_position_after_an_empty_prompt_is_a_run(fake, name):
    if "causal" in find_decoder(name).needs:
        with pytest.raises(RequestError, match="at least one token"):
            run(fake, RunRequest(name, prompt_ids=(), length=1))
        return
    events = list(run(fake, RunRequest(name, prompt_ids=(), length=1)))
    assert events[-1].reason == "done" and mask_of(fake) not in replay(events, len(steps_of(events)))[:1]


@pytest.mark.parametrize("name", NAMES)
def test_one_mask_among_fixed_tokens_takes_one_write(name):
    model = fake_for(name)
    fixed = {at: 65 for at in range(LENGTH) if at != 5}
    whole = {"block_length": 2} if "block_length" in options_of(name) else {}
    events = list(run(model, request_of(name, whole, fixed=fixed)))
    assert events[-1].reason == "done", events[-1].message
    assert [position for step in steps_of(events) for position, _, _ in step.writes] == [6 + 5]


@pytest.mark.parametrize("name", NAMES)
def test_more_steps_than_positions_are_run_or_refused_with_the_limit(name):
    if "steps" not in options_of(name):
        return
    try:
        events = list(run(fake_for(name), request_of(name, {"steps": LENGTH + 5})))
    except RequestError as error:
        assert f"to {LENGTH}" in str(error)
    else:
        assert events[-1].reason == "done", events[-1].message


@pytest.mark.parametrize("name", NAMES)
def test_blocks_that_do_not_divide_the_length_are_run_or_refused_with_what_fits(name):
    if "block_length" not in options_of(name):
        return
    try:
        events = list(run(fake_for(name), request_of(name, {"block_length": 7})))
    except RequestError as error:
        assert "8" in str(error) and "does not divide" in str(error)
    else:
        assert events[-1].reason == "done", events[-1].message
        assert mask_of(fake_for(name)) not in replay(events, len(steps_of(events)))[:6 + LENGTH]


@pytest.mark.parametrize("name", NAMES)
def test_an_end_of_sequence_at_once_is_an_empty_answer(name):
    model = fake_for(name)
    model._at[:, model.eos_id] += 1000.0
    events = list(run(model, request_of(name, {})))
    assert events[-1].reason == "done" and events[-1].text == ""
    assert events[-1].totals.answer_tokens == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_failing_model_ends_the_run_with_an_error_and_keeps_what_was_written(fake, name):
    whole = fake.forward

    def breaks(*arguments, **named):
        if fake.passes == 2:
            raise RuntimeError("device lost at 0x7f, secret detail")
        return whole(*arguments, **named)

    fake.forward = breaks
    events = list(run(fake, request_of(name, {})))
    assert events[-1].reason == "error" and 1 <= len(steps_of(events)) <= 2
    assert "secret" not in events[-1].message
    assert events[-1].totals.written == sum(len(step.writes) for step in steps_of(events))


@pytest.mark.parametrize("name", NAMES)
def test_scores_that_are_no_numbers_end_the_run_with_a_remedy(fake, name):
    plain = fake.logits
    fake.logits = lambda *arguments: plain(*arguments) * torch.nan
    events = list(run(fake, request_of(name, {})))
    assert events[-1].reason == "error" and "not finite" in events[-1].message


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_works_on_every_embedded_model(name, embedded):
    for model in (model for model in embedded if fits(name, model)):
        events = list(run(model, RunRequest(name, length=8)))
        assert events[-1].reason == "done", events[-1].message


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_works_on_every_family_that_offers_what_it_needs(name, golden_models, causal_model):
    fitting = [model for model in (*golden_models.values(), causal_model) if fits(name, model)]
    assert fitting, "no checkpoint tries this decoder"
    small = {"block_length": 4} if "block_length" in options_of(name) else {}
    for model in fitting:
        events = list(run(model, RunRequest(name, prompt_ids=(5, 6, 7, 8), length=8, settings={**small, **warm(name)}, fixed={2: 9})))
        assert events[-1].reason == "done", (model.family, events[-1].message)
        final = replay(events, len(steps_of(events)))
        assert final[:4] == (5, 6, 7, 8) and final[6] == 9
