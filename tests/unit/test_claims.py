"""The claims page: its intervals against closed forms and published numbers, and what it makes of made-up rows."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from backend.decoders.base import Layout, resolved
from backend.decoders.catalogue import find_decoder
from benchmarks.claims import COMPARISONS, FAILS, HOLDS, OPEN, bounded, finding, summary
from benchmarks.intervals import difference, ratio, same_distribution
from tests.unit.test_decoder_table import ROW

FASTER = next(item for item in COMPARISONS if item.name == "threshold")
BETTER = next(item for item in COMPARISONS if item.name == "order")
BASE = replace(ROW, right=90, percent=90.0, passes=20.0, passes_sd=0.0)


def test_a_difference_of_shares_has_newcombes_interval():
    # Newcombe 1998, table II, examples (a) and (b) of method 10.
    first, second = difference(56, 70, 48, 80), difference(9, 10, 3, 10)
    assert (first.value, first.low, first.high) == pytest.approx((20.0, 5.24, 33.39), abs=0.01)
    assert (second.value, second.low, second.high) == pytest.approx((60.0, 17.05, 80.90), abs=0.01)


def test_a_ratio_of_means_has_the_interval_of_its_logarithm():
    found = ratio(10.0, 2.0, 100, 20.0, 6.0, 100)
    error = math.sqrt((2.0 / 10.0) ** 2 / 100 + (6.0 / 20.0) ** 2 / 100)
    assert found.value == 0.5
    assert math.log(found.high / found.value) == pytest.approx(1.959964 * error)
    assert found.low * found.high == pytest.approx(found.value**2)
    exact = ratio(5.0, 0.0, 10, 20.0, 0.0, 10)
    assert exact.low == exact.value == exact.high == 0.25


def test_two_samples_of_two_outcomes_give_the_fourfold_chi_square():
    statistic, freedom, p = same_distribution({"x": 30, "y": 70}, {"x": 50, "y": 50})
    assert statistic == pytest.approx(200 * (30 * 50 - 70 * 50) ** 2 / (100 * 100 * 80 * 120))
    assert freedom == 1 and p == pytest.approx(math.erfc(math.sqrt(statistic / 2)))


def test_rare_outcomes_are_one_class_and_equal_samples_do_not_differ():
    a = {"x": 50, **{f"rare {number}": 1 for number in range(10)}}
    assert same_distribution(a, a) == (0.0, 1, 1.0)
    assert same_distribution({"x": 100}, {"x": 50}) == (pytest.approx(0.0), 0, 1.0)


@pytest.mark.parametrize(("right", "passes", "verdict", "words"), (
    (90, 4.0, HOLDS, "no loss above 9 points"),
    (100, 4.0, HOLDS, "more right answers"),
    (86, 4.0, OPEN, "accuracy not settled: -13 to +5 points"),
    (60, 4.0, FAILS, "fewer right answers"),
    (90, 20.0, FAILS, "not fewer passes"),
    (100, 25.0, FAILS, "not fewer passes"),
))
def test_a_faster_decoder_must_save_passes_and_lose_no_answers(right, passes, verdict, words):
    ours = replace(BASE, right=right, percent=float(right), passes=passes)
    found = finding(FASTER, ours, BASE)
    assert found.verdict == verdict and words in found.words
    assert found.points.value == right - 90 and found.passes.value == passes / 20


def test_a_saving_within_its_interval_is_undecided():
    found = finding(FASTER, replace(BASE, passes=19.0, passes_sd=12.0), BASE)
    assert found.verdict == OPEN and found.passes.low < 1 < found.passes.high


@pytest.mark.parametrize(("right", "verdict"), ((100, HOLDS), (95, OPEN), (90, OPEN), (75, FAILS)))
def test_a_better_decoder_must_show_it_beyond_the_interval(right, verdict):
    assert finding(BETTER, replace(BASE, right=right), BASE).verdict == verdict


@pytest.mark.parametrize(("right", "verdict"), ((100, HOLDS), (90, HOLDS), (86, OPEN), (75, FAILS)))
def test_a_decoder_that_is_as_good_must_exclude_a_loss_above_the_margin(right, verdict):
    item = next(item for item in COMPARISONS if item.name == "ccd")
    assert finding(item, replace(BASE, right=right), BASE).verdict == verdict


def test_the_summary_says_where_a_claim_holds():
    assert summary([HOLDS, HOLDS]) == "Holds on all 2 tasks."
    assert summary([HOLDS, FAILS, OPEN, OPEN]) == "Holds in part: of 4 tasks it holds on 1, fails on 1, is undecided on 2."
    assert summary([OPEN, FAILS]) == "Not seen to hold: of 2 tasks it fails on 1, is undecided on 1."
    assert summary([OPEN, OPEN]) == "Undecided on all 2 tasks."
    assert summary([FAILS]) == "Fails on all 1 tasks."


def test_a_bound_holds_only_when_every_run_keeps_it():
    verdict, words = bounded(120, 120, 1.5)
    assert verdict == HOLDS and "120 of 120" in words and "96.9 %" in words
    assert bounded(119, 120, 0.9)[0] == FAILS


@pytest.mark.parametrize("item", COMPARISONS, ids=lambda item: item.name)
def test_both_sides_of_a_comparison_have_settings_that_their_decoders_take(item):
    layout = Layout(8, 32, tuple(range(8, 40)))
    for arm in (item.ours, item.base):
        given = arm.settings(32) if arm.settings else {}
        assert not resolved(find_decoder(arm.decoder), given, layout)[1]
