"""What every decoder of the catalogue promises; a new one is tested before its author writes a test."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from backend import RequestError, RunRequest, from_json, load_model, replay, run, run_many, same_run, to_json
from backend.canvas import steps_of
from backend.decoders.catalogue import DECODERS, find_decoder
from backend.events import to_lines
from backend.runner import Limits
from backend.tape import OPEN
from tests.conftest import GOLDEN, FakeModel, fake_for

LENGTH = 16
FIXED = {3: 65, 9: 66}
BUDGET = 3
NAMES = tuple(decoder.name for decoder in DECODERS if "uniform_diffusion" not in decoder.needs)
"""Masked and causal ones; a canvas of random tokens has tests of its own."""


def options_of(name: str) -> dict:
    """Return the declared options of a decoder by name."""
    return {item.name: item.metadata["option"] for item in fields(find_decoder(name).Settings)}


def variants(name: str) -> list[dict]:
    """Return settings that reach every branch a decoder declares, drawn from its options."""
    options = options_of(name)
    found: list[dict] = [{}]
    for key, option in options.items():
        if option.kind == "choice":
            found += [{key: choice} for choice in option.choices if choice != "wait"]  # that run ends unfinished
        elif option.kind == "bool":
            found += [{key: True}, {key: False}]
        elif option.kind == "int" and option.high == "length":
            found.append({key: LENGTH // 2})
        elif option.kind == "float":
            found.append({key: min(option.high, option.low + 0.8)})
    if "block_length" in options:
        found.append({"block_length": 4})
    if {"threshold", "steps"} <= options.keys():
        found.append({"threshold": None, "steps": LENGTH // 2})
    if {"temperature", "cfg_scale", "block_length"} <= options.keys():
        found.append({"temperature": 0.8, "cfg_scale": 1.5, "block_length": 8})
    return found


CASES = [pytest.param(name, given, id=f"{name}-{given}") for name in NAMES for given in map(json.dumps, variants(name))]


def warm(name: str) -> dict:
    """Return settings that draw tokens, where the decoder can."""
    return {"temperature": 0.9} if "temperature" in options_of(name) else {}


@pytest.fixture
def fake(request) -> FakeModel:
    """Return a fresh fake model of the kind that the test's decoder needs."""
    parameters = getattr(request.node, "callspec", None)
    return fake_for(parameters.params.get("name", "llada") if parameters else "llada")


def mask_of(model) -> int:
    """Return the id of an open position on the canvas."""
    return OPEN if model.mask_id is None else model.mask_id


def fits(name: str, model) -> bool:
    """Tell whether a model offers what a decoder needs."""
    return find_decoder(name).needs <= model.capabilities


@functools.cache
def recorded(name: str, given: str, fixed: bool = False) -> tuple[FakeModel, tuple]:
    """Return a run of settings given as JSON, with the model that it counted on; each is run once."""
    model = fake_for(name)
    return model, tuple(run(model, request_of(name, json.loads(given), fixed=FIXED if fixed else None)))


def states(events) -> list[tuple[int, ...]]:
    """Return the canvas before the first step and after each one."""
    return [replay(events, n) for n in range(len(steps_of(events)) + 1)]


def request_of(name: str, given: dict, seed: int = 1, fixed: dict | None = None, prompt: str = "What? ") -> RunRequest:
    """Return the request that these tests run."""
    return RunRequest(name, prompt=prompt, length=LENGTH, settings=given, seed=seed, fixed=fixed or {})


# -- the run ------------------------------------------------------------------------------------


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
            raise RuntimeError("out of memory at 0x7f secret detail")
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


# -- reproducible anywhere ----------------------------------------------------------------------


def requests_for_all() -> list[RunRequest]:
    """Return one request per decoder and way of drawing, on prompts of two lengths."""
    found = []
    for number, name in enumerate(NAMES):
        if "causal" in find_decoder(name).needs:
            continue
        ids = tuple(range(20, 26 + number % 2))
        for given in ({}, warm(name), *([{"cfg_scale": 1.0}] if "cfg_scale" in options_of(name) else ())):
            found.append(RunRequest(name, prompt_ids=ids, length=LENGTH, settings=given, seed=7))
    return found


ELSEWHERE = """
import sys, torch
from backend import load_model, run_many
from backend.events import to_lines
from tests.contract.test_decoders import requests_for_all
torch.set_num_threads(2)
model = load_model(sys.argv[1])
for _, event in sorted(run_many(model, requests_for_all()), key=lambda pair: pair[0]):
    print(*to_lines([event]))
"""


def test_the_same_request_gives_the_same_run_in_another_process(mha):
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, str(GOLDEN / "llada_mha")], cwd=root,
                          capture_output=True, text=True, check=True, timeout=240)
    there = [from_json(line) for line in done.stdout.splitlines()]
    here = [event for _, event in sorted(run_many(mha, requests_for_all()), key=lambda pair: pair[0])]
    assert same_run(here, there)


def test_the_same_request_gives_the_same_run_on_one_and_on_two_threads(tiny):
    before = torch.get_num_threads()
    requests = [RunRequest(name, length=4, settings={**warm(name), **({"block_length": 4} if "block_length" in options_of(name) else {})}, seed=3)
                for name in NAMES if fits(name, tiny)]
    runs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(list(run_many(tiny, requests)))
    finally:
        torch.set_num_threads(before)
    one, two = ([event for _, event in sorted(pairs, key=lambda pair: pair[0])] for pairs in runs)
    assert same_run(one, two)


def test_runs_that_share_passes_equal_runs_on_their_own(mha):
    requests = requests_for_all()
    shared: dict[int, list] = {number: [] for number in range(len(requests))}
    for number, event in run_many(mha, requests):
        shared[number].append(event)
    for number, request in enumerate(requests):
        assert same_run(shared[number], list(run(mha, request))), request


def test_runs_of_one_length_share_their_forward_passes(fake):
    requests = [request_of("llada", {}, seed=seed) for seed in range(3)]
    list(run_many(fake, requests))
    assert fake.passes == LENGTH
    assert {len(canvases) for canvases in fake.seen} == {3}


def test_runs_whose_caches_differ_in_length_do_not_share_a_pass(golden_models):
    model = golden_models["a2d_qwen3"]
    requests = [RunRequest("block_diffusion", prompt_ids=(), length=16, settings={"block_length": size}) for size in (8, 12)]
    shared: dict[int, list] = {0: [], 1: []}
    for number, event in run_many(model, requests):
        shared[number].append(event)
    for number, request in enumerate(requests):
        assert shared[number][-1].reason == "done"
        assert same_run(shared[number], list(run(model, request)))


# -- the declaration ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_says_what_it_is_and_where_it_comes_from(name):
    decoder = find_decoder(name)
    assert decoder.title and decoder.source and decoder.summary.endswith(".")
    assert decoder.mark in ("sourced", "reconstructed")
    assert decoder.needs


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_help_a_range_and_a_default_within_it(name):
    decoder = find_decoder(name)
    for key, option in options_of(name).items():
        assert option.help.endswith(".") and option.title, key
        assert option.kind in ("int", "float", "choice", "bool", "text"), key
        if option.kind == "choice":
            assert option.choices, key
        elif option.kind not in ("bool", "text"):
            assert option.low is not None and option.high is not None, key
    assert decoder.Settings()


def numbers() -> list:
    """Return every numeric option as (decoder, setting)."""
    return [(name, key) for name in NAMES for key, option in options_of(name).items()
            if option.kind in ("int", "float")]


def attempt(name: str, key: str, value: object):
    """Run one step with a setting and return the problems, none when it is accepted."""
    settings = {key: value}
    if key == "steps" and "block_length" in options_of(name):
        settings["block_length"] = LENGTH
    try:
        next(run(fake_for(name), request_of(name, settings)))
    except RequestError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(("name", "key"), numbers())
def test_a_setting_takes_its_limits_and_nothing_beyond(name, key):
    option = options_of(name)[key]
    high = LENGTH if option.high == "length" else option.high
    beyond = 1 if option.kind == "int" else 0.001
    assert attempt(name, key, option.low) == ()
    assert attempt(name, key, high) == ()
    for value in (option.low - beyond, high + beyond):
        (problem,) = attempt(name, key, value)
        assert problem.field == f"settings.{key}"
        assert repr(value) in problem.message
        assert f"{option.low} to {high}" in problem.message


@pytest.mark.parametrize(("name", "key"), numbers())
@pytest.mark.parametrize("value", ("three", True, float("nan"), float("inf"), [1], {}))
def test_a_setting_of_the_wrong_type_is_refused(name, key, value):
    (problem,) = attempt(name, key, value)
    assert problem.field == f"settings.{key}" and repr(value) in problem.message


@pytest.mark.parametrize("name", NAMES)
def test_half_a_step_is_not_a_whole_number(name):
    for key, option in options_of(name).items():
        if option.kind == "int":
            (problem,) = attempt(name, key, 1.5)
            assert "whole number" in problem.message


@pytest.mark.parametrize("name", NAMES)
def test_a_choice_that_does_not_exist_lists_the_ones_that_do(name):
    for key, option in options_of(name).items():
        if option.kind == "choice":
            (problem,) = attempt(name, key, "sideways")
            assert all(choice in problem.message for choice in option.choices)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_lists_the_names_that_exist(name):
    (problem,) = attempt(name, "warmth", 1)
    assert problem.field == "settings.warmth"
    assert all(key in problem.message for key in options_of(name))


def test_an_unknown_decoder_lists_the_names_that_exist(fake):
    with pytest.raises(RequestError) as caught:
        run(fake, RunRequest("crystal_ball", prompt="?"))
    assert all(name in str(caught.value) for name in NAMES)


def test_names_in_the_catalogue_are_unique():
    assert len(set(NAMES)) == len(NAMES)


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


def test_the_golden_runs_equal_runs_written_as_json_lines(mha):
    events = list(run(mha, requests_for_all()[0]))
    assert [from_json(line) for line in to_lines(events)] == events
    assert load_model(GOLDEN / "llada_mha").weights_hash == events[0].model.weights_hash
