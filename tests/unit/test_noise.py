"""Noise by place: the same place always gets the same draw, whatever was drawn before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.noise import ORDER, TOKENS, KeyedNoise, gumbel, ranks

places = st.tuples(st.sampled_from([TOKENS, ORDER]), st.integers(0, 10_000), st.integers(0, 10_000))
seeds = st.integers(0, 2**63 - 1)


@given(seeds, st.lists(places, min_size=2, max_size=6, unique=True), st.randoms())
def test_draws_do_not_depend_on_the_order_of_asking(seed: int, asked: list, shuffle) -> None:
    first = {place: KeyedNoise(seed).uniform(*place, 4).tolist() for place in asked}
    noise = KeyedNoise(seed)
    shuffle.shuffle(asked)
    assert all(noise.uniform(*place, 4).tolist() == first[place] for place in asked)
    assert len({tuple(draws) for draws in first.values()}) == len(asked)


@given(seeds, seeds.map(lambda seed: seed), places)
def test_another_seed_draws_otherwise(seed: int, other: int, place: tuple[int, int, int]) -> None:
    same = KeyedNoise(seed).uniform(*place, 4).tolist() == KeyedNoise(other).uniform(*place, 4).tolist()
    assert same is (seed == other)


@given(seeds, st.integers(1, 9), st.integers(10, 40))
def test_a_longer_draw_begins_with_the_shorter_one(seed: int, short: int, long: int) -> None:
    noise = KeyedNoise(seed)
    assert noise.uniform(TOKENS, 1, 2, long)[:short].tolist() == noise.uniform(TOKENS, 1, 2, short).tolist()


@given(seeds, places)
def test_draws_are_inside_the_open_interval(seed: int, place: tuple[int, int, int]) -> None:
    draws = KeyedNoise(seed).uniform(*place, 500)
    assert draws.min() > 0.0 and draws.max() < 1.0


def test_the_draws_of_a_place_are_uniform() -> None:
    draws = np.sort(np.concatenate([KeyedNoise(3).uniform(TOKENS, step, 0, 1000) for step in range(20)]))
    distance = np.abs(draws - (np.arange(len(draws)) + 0.5) / len(draws)).max()  # Kolmogorov-Smirnov
    assert distance < 1.63 / len(draws) ** 0.5  # 1 % level; the draws are fixed


def test_gumbel_noise_has_the_mean_and_spread_of_the_standard_gumbel() -> None:
    noise = gumbel(KeyedNoise(5), 1, range(40), 1000)
    assert noise.shape == (40, 1000)
    assert abs(noise.mean() - 0.5772156649) < 4 * (np.pi / 6**0.5) / noise.size**0.5
    assert abs(noise.var() - np.pi**2 / 6) < 0.05


def test_positions_get_ranks_of_their_own() -> None:
    drawn = ranks(KeyedNoise(5), 2, (7, 3, 9))
    assert drawn == [ranks(KeyedNoise(5), 2, (at,))[0] for at in (7, 3, 9)] and len(set(drawn)) == 3
