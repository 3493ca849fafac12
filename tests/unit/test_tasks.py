"""The puzzle tasks: seeded and valid examples, splits that never meet, checkers that say why.

Run: ``python -m pytest tests/unit/test_tasks.py``
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from itertools import product

import pytest

from backend.tasks.catalogue import TASKS, find_task
from backend.tasks.shuffle import Shuffle
from backend.tasks.sudoku import PREFIX, Sudoku
from backend.tasks.sum import Sum
from backend.tasks.tail import Tail

PUZZLES = tuple(task for task in TASKS if task.model == "tiny-diffusion")
SUDOKUS = tuple(task for task in TASKS if isinstance(task, Sudoku))
DIGIT_TASKS = (Tail(), Sum(), Shuffle())


def anew(task, split, count=30, seed=0):
    """Return ``count`` examples of one seed."""
    rng = random.Random(seed)
    return [task.generate(rng, split) for _ in range(count)]


@functools.cache
def stream(task, split):
    """Return a generator of random numbers and the examples that were drawn with it so far."""
    return random.Random(0), []


def examples(task, split, count=30):
    """Return the first ``count`` examples of a seed; none of them is drawn for two tests."""
    rng, drawn = stream(task, split)
    drawn.extend(task.generate(rng, split) for _ in range(count - len(drawn)))
    return drawn[:count]


def clues_of(task, example):
    """Return the puzzle as a flat tuple, 0 for an empty cell."""
    return tuple(int(c) if c != "." else 0 for c in example.prompt[len(PREFIX) : -1].replace("/", ""))


def moved(task, puzzle, rng):
    """Apply a random symmetry, written without the code under test."""
    size, digits = task.size, [0, *rng.sample(range(1, task.size + 1), task.size)]

    def lines(band):
        bands = rng.sample(range(size // band), size // band)
        return [start * band + line for start in bands for line in rng.sample(range(band), band)]

    rows, columns = lines(task.box_rows), lines(task.box_columns)
    cells = [(row, column) for row, column in product(rows, columns)]
    if task.box_rows == task.box_columns and rng.random() < 0.5:
        cells = [(column, row) for row, column in cells]
    return tuple(digits[puzzle[row * size + column]] for row, column in cells)


@pytest.mark.parametrize("task", PUZZLES, ids=lambda task: task.name)
@pytest.mark.parametrize("split", ["train", "test"])
def test_generated_answers_are_right_and_fit_the_offered_length(task, split):
    for example in examples(task, split):
        verdict = task.check(example.prompt, example.answer)
        assert verdict.right, verdict.why
        assert len(example.answer) < task.length
        assert example.task == task.name


@pytest.mark.parametrize("task", PUZZLES, ids=lambda task: task.name)
def test_the_same_seed_gives_the_same_examples(task):
    assert anew(task, "train", seed=3) == anew(task, "train", seed=3)
    assert anew(task, "train", seed=3) != anew(task, "train", seed=4)


@pytest.mark.parametrize("task", PUZZLES, ids=lambda task: task.name)
def test_a_prompt_belongs_to_exactly_its_own_task(task):
    for example in examples(task, "test", 5):
        assert find_task(example.prompt) is task
        assert [other.name for other in TASKS if other.matches(example.prompt)] == [task.name]


@pytest.mark.parametrize("task", DIGIT_TASKS, ids=lambda task: task.name)
def test_training_and_test_prompts_never_meet(task):
    train = {example.prompt for example in examples(task, "train", 2000)}
    assert train.isdisjoint(example.prompt for example in examples(task, "test", 300))


@pytest.mark.parametrize("task", [Tail(), Sum()], ids=lambda task: task.name)
def test_the_easier_training_examples_are_right_and_never_test_prompts(task):
    rng = random.Random(0)
    practised = [task.practise(rng) for _ in range(500)]
    assert all(task.check(example.prompt, example.answer).right for example in practised)
    assert {e.prompt for e in practised}.isdisjoint(e.prompt for e in examples(task, "test", 300))
    zeros = sum(example.prompt.count("0") for example in practised)
    assert zeros > 1.5 * sum(example.prompt.count("0") for example in examples(task, "train", 500))


@pytest.mark.parametrize("task", SUDOKUS, ids=lambda task: task.name)
def test_symmetric_puzzles_have_one_canonical_form_and_one_split(task):
    rng = random.Random(1)
    for example in examples(task, "train", 8) + examples(task, "test", 4):
        puzzle = clues_of(task, example)
        for _ in range(5):
            other = moved(task, puzzle, rng)
            assert task.canonical(other) == task.canonical(puzzle)
            assert task.split(other) == task.split(puzzle)


@pytest.mark.parametrize("task", SUDOKUS, ids=lambda task: task.name)
def test_training_and_test_puzzles_are_never_symmetric_to_each_other(task):
    train, test = (
        {task.canonical(clues_of(task, example)) for example in examples(task, split, 150)}
        for split in ("train", "test")
    )
    assert train.isdisjoint(test)


@pytest.mark.parametrize("task", SUDOKUS, ids=lambda task: task.name)
def test_both_splits_have_the_same_clue_counts(task):
    expected = Counter(task.clues)
    for split in ("train", "test"):
        counts = Counter(sum(clue > 0 for clue in clues_of(task, e)) for e in examples(task, split, 200))
        assert set(counts) == set(expected)
        for clues, weight in expected.items():
            assert abs(counts[clues] / 200 - weight / len(task.clues)) < 0.12


@pytest.mark.parametrize("task", SUDOKUS, ids=lambda task: task.name)
def test_every_puzzle_has_exactly_one_solution(task):
    for example in examples(task, "train", 20):
        assert len(task.solutions(clues_of(task, example))) == 1


@pytest.mark.parametrize("task", PUZZLES, ids=lambda task: task.name)
def test_a_changed_digit_is_wrong_with_a_reason(task):
    rng = random.Random(2)
    for example in examples(task, "test", 20):
        place = rng.choice([i for i, character in enumerate(example.answer) if character.isdigit()])
        digit = str((int(example.answer[place]) + 1) % 10)
        verdict = task.check(example.prompt, example.answer[:place] + digit + example.answer[place + 1 :])
        assert not verdict.right
        assert verdict.why


@pytest.mark.parametrize("answer", ["", "/", "12", "+" * 20, "1\n2"])
@pytest.mark.parametrize("task", PUZZLES, ids=lambda task: task.name)
def test_a_malformed_answer_is_wrong_with_a_reason(task, answer):
    example = task.generate(random.Random(0), "test")
    assert task.check(example.prompt, answer).why
    assert not task.check(example.prompt, answer).right


@pytest.mark.parametrize("body", ["", "=", "..../....", "12x4/...=", "१२३="])
@pytest.mark.parametrize("prefix", ["sudoku: ", "tail: ", "sum: "])
def test_a_malformed_prompt_is_judged_without_an_error(prefix, body):
    task = find_task(prefix + body)
    assert task is not None
    assert not task.check(prefix + body, "1234").right


def test_sudoku_names_the_broken_rule():
    task = SUDOKUS[0]
    prompt = "sudoku: 12../..../..../...2="
    assert task.check(prompt, "1233/3421/2143/4312").why == "row 1 has two 3s"
    assert task.check(prompt, "2134/3421/1243/4312").why.startswith("row 1 column 1 should keep the clue 1")


def test_sudoku_takes_any_grid_that_keeps_the_clues():
    task = SUDOKUS[0]
    empty = "sudoku: ..../..../..../....="
    assert task.check(empty, "1234/3412/2143/4321").right
    assert task.check(empty, "2143/4321/1234/3412").right


def test_digit_tasks_name_the_first_wrong_digit():
    assert Tail().check("tail: 608377=", "155747").right
    assert Tail().check("tail: 608377=", "155447").why == "digit 4 should be 7, not 4"
    assert Sum().check("sum: 417923+193112=", "0611035").right
    assert Sum().check("sum: 417923+193112=", "611035").why == "the answer should have 7 digits, not 6"


def test_shuffle_takes_every_order_and_names_the_repeated_digit():
    assert Shuffle().check("shuffle: 4719=", "9174").right
    assert Shuffle().check("shuffle: 4719=", "9177").why == "4 is missing"
    assert Shuffle().check("shuffle: 4719=", "91774").why == "7 is used 2 times, not 1"
    assert Shuffle().check("shuffle: 4719=", "91745").why == "5 is not among the given digits"


def test_a_prompt_of_no_task_has_no_checker():
    assert find_task("Once upon a time") is None
