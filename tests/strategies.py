"""Random runs for property tests: writes, erases, rewrites, insertions, missing scores, odd texts."""

from __future__ import annotations

from hypothesis import strategies as st

from backend.events import Candidates, Edit, End, Event, Fork, ModelInfo, RunRequest, Start, Step, Totals

MASK, EOS, VOCABULARY = 9, 8, 10
MODEL = ModelInfo("random", "fake", "masked_diffusion", "0" * 16, "float32", "cpu", VOCABULARY, MASK, EOS, {"torch": "1"})

FORK = Fork(2, (Edit("erase", 3), Edit("forbid", 4, 7)), "left_to_right", {"tokens_per_step": 2}, "a parent")

tokens = st.integers(0, VOCABULARY - 1).filter(lambda token: token != MASK)
probabilities = st.floats(0, 1)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
notes = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False) | texts, max_size=3)


@st.composite
def runs(draw: st.DrawFn, steps: int = 6, grows: bool = True) -> tuple[Event, ...]:
    """Return the events of a finished run that no decoder would make, and every reader must bear."""
    prompt = draw(st.lists(tokens, max_size=4))
    length = draw(st.integers(1, 8))
    fixed = draw(st.dictionaries(st.integers(0, length - 1), tokens, max_size=2))
    canvas = [*prompt, *(fixed.get(at, MASK) for at in range(length))]
    request = RunRequest("llada", prompt_ids=tuple(prompt), length=length, fixed=fixed, seed=draw(st.integers(0, 2**63 - 1)),
                         forks=draw(st.sampled_from(((), (FORK,)))))
    named = draw(st.dictionaries(st.integers(0, VOCABULARY - 1), texts, max_size=VOCABULARY))
    events: list[Event] = [Start(request, MODEL, tuple(canvas), len(prompt), ((len(prompt), len(canvas)),), {"steps": steps}, named)]
    for index in range(1, draw(st.integers(0, steps)) + 1):
        events.append(draw(_steps(index, canvas, len(prompt), grows)))
    count = len(events) - 1
    events.append(End("done", draw(texts), Totals(count, count, 0, 0.5, 0, 0.0, 0, 0.0, 0)))
    return tuple(events)


@st.composite
def _steps(draw: st.DrawFn, index: int, canvas: list[int], first: int, grows: bool) -> Step:
    """Return one step and change ``canvas`` by it, independently of the code under test."""
    masked = tuple(at for at, token in enumerate(canvas) if token == MASK and at >= first)
    grown = []
    for _ in range(draw(st.integers(0, 2)) if grows else 0):
        at, count = draw(st.integers(first, len(canvas))), draw(st.integers(1, 2))
        grown.append((at, count))
        canvas[at:at] = [MASK] * count
    response = list(range(first, len(canvas)))
    erased = draw(st.lists(st.sampled_from(response), unique=True, max_size=2))
    written = draw(st.lists(st.sampled_from(response), unique=True, max_size=3))
    writes = tuple((at, draw(tokens), draw(probabilities)) for at in written)
    for at in erased:
        canvas[at] = MASK
    for at, token, _ in writes:
        canvas[at] = token
    scores = {name: tuple(draw(st.none() | probabilities) for _ in masked) for name in ("confidence", "consistency")}
    kept = Candidates(masked, tuple((draw(tokens), MASK) for _ in masked), tuple((draw(probabilities), 0.0) for _ in masked))
    return Step(
        index, index, index * len(canvas), index / 8, writes=writes, erases=tuple(erased), grows=tuple(grown),
        masked=masked, scores=scores, candidates=kept, notes=draw(notes), texts=draw(st.dictionaries(tokens, texts, max_size=2)),
    )
