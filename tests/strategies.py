"""Random runs for property tests: writes, erases, rewrites, insertions, missing scores, odd texts."""

from __future__ import annotations

import functools

from hypothesis import strategies as st

from backend.events import Candidates, Edit, End, Event, Fork, ModelInfo, RunRequest, Start, Step, Totals

MASK, EOS, VOCABULARY = 9, 8, 10
MODEL = ModelInfo("random", "fake", "masked_diffusion", "0" * 16, "float32", "cpu", VOCABULARY, MASK, EOS, {"torch": "1"})

FORK = Fork(2, (Edit("erase", 3), Edit("forbid", 4, 7)), "left_to_right", {"tokens_per_step": 2}, "a parent")

# Made once: a strategy that is made anew for every draw is also checked anew, which took most of the time.
tokens = st.integers(0, VOCABULARY - 2)  # all but the mask, which is the last
probabilities = st.floats(0, 1)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
notes = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False) | texts, max_size=3)
_prompts, _few, _one_or_two = st.lists(tokens, max_size=4), st.integers(0, 2), st.integers(1, 2)
_forks = st.sampled_from(((), (FORK,)))
_names = st.dictionaries(st.integers(0, VOCABULARY - 1), texts, max_size=VOCABULARY)
_new_names = st.dictionaries(tokens, texts, max_size=2)
_missing_or_not = st.none() | probabilities


@functools.cache
def _fixed(length: int) -> st.SearchStrategy[dict[int, int]]:
    """Return up to two positions of a response with the tokens that they keep."""
    return st.dictionaries(st.integers(0, length - 1), tokens, max_size=2)


@functools.cache
def _places(first: int, end: int, most: int) -> st.SearchStrategy[list[int]]:
    """Return up to ``most`` different positions from ``first`` on, before ``end``."""
    return st.lists(st.integers(first, end - 1), unique=True, max_size=most)


@st.composite
def runs(draw: st.DrawFn, steps: int = 6, grows: bool = True) -> tuple[Event, ...]:
    """Return the events of a finished run that no decoder would make, and every reader must bear."""
    prompt = draw(_prompts)
    length = draw(st.integers(1, 8))
    fixed = draw(_fixed(length))
    canvas = [*prompt, *(fixed.get(at, MASK) for at in range(length))]
    request = RunRequest("llada", prompt_ids=tuple(prompt), length=length, fixed=fixed, seed=draw(st.integers(0, 2**63 - 1)), forks=draw(_forks))
    named = draw(_names)
    events: list[Event] = [Start(request, MODEL, tuple(canvas), len(prompt), ((len(prompt), len(canvas)),), {"steps": steps}, named)]
    for index in range(1, draw(st.integers(0, steps)) + 1):
        events.append(_step(draw, index, canvas, len(prompt), grows))
    count = len(events) - 1
    events.append(End("done", draw(texts), Totals(count, count, 0, 0.5, 0, 0.0, 0, 0.0, 0)))
    return tuple(events)


def _step(draw: st.DrawFn, index: int, canvas: list[int], first: int, grows: bool) -> Step:
    """Return one step and change ``canvas`` by it, independently of the code under test."""
    masked = tuple(at for at, token in enumerate(canvas) if token == MASK and at >= first)
    grown = []
    for _ in range(draw(_few) if grows else 0):
        at, count = draw(st.integers(first, len(canvas))), draw(_one_or_two)
        grown.append((at, count))
        canvas[at:at] = [MASK] * count
    erased = draw(_places(first, len(canvas), 2))
    written = draw(_places(first, len(canvas), 3))
    writes = tuple((at, draw(tokens), draw(probabilities)) for at in written)
    for at in erased:
        canvas[at] = MASK
    for at, token, _ in writes:
        canvas[at] = token
    scores = {name: tuple(draw(_missing_or_not) for _ in masked) for name in ("confidence", "consistency")}
    kept = Candidates(masked, tuple((draw(tokens), MASK) for _ in masked), tuple((draw(probabilities), 0.0) for _ in masked))
    return Step(
        index, index, index * len(canvas), index / 8, writes=writes, erases=tuple(erased), grows=tuple(grown),
        masked=masked, scores=scores, candidates=kept, notes=draw(notes), texts=draw(_new_names),
    )
