"""Branches: a run that repeats its parent up to a step and goes on with something changed there.

A branch is a request like any other: the parent's, with a ``Fork`` more. It is decoded from the beginning, so that
whatever its decoder remembers at the fork is what the parent's remembered; and since noise is keyed by seed,
step and position, every choice that the change does not reach is taken by the same draw. With the parent's own
decoder it is the counterfactual of the same run in the sense of Chatzi et al. (arXiv 2409.17027).

1. ``write`` puts a token at a position in the fork's step, whatever the decoder wrote there or not.
2. ``erase`` masks a position again; the decoder then begins anew on what is masked, since its schedule no longer fits.
3. ``forbid`` bars a token from a position, from the fork's step on: its probability is 0.
4. ``pin`` puts a token at a position as ``write`` does, if it does not stand there; no later step erases or replaces it.
5. Another decoder, or other settings, begin after the fork's step on the canvas as it stands.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backend.canvas import start_of, steps_of
from backend.decoders.base import Choice, Decoder, Layout, resolved
from backend.decoders.catalogue import find_decoder
from backend.errors import AppError, Problem, RequestError
from backend.events import Edit, Event, Fork, RunRequest
from backend.fitting import unfit

if TYPE_CHECKING:
    from backend.models.base import Model
    from backend.observing import Seen
    from backend.shapes import Float
    from backend.world import Decoding, World

ACTIONS = ("write", "erase", "forbid", "pin")
BARRED = 1e4
"""How far below the favourite a forbidden token's logit is put: its probability is exactly 0, its logarithm finite."""


def branch(
    model: Model, events: Iterable[Event], at: int, edits: Iterable[Edit | tuple[Any, ...]] = (),
    decoder: str | None = None, settings: Mapping[str, Any] | None = None,
) -> Iterator[Event]:
    """Return the events of the branch of a run at step ``at``, the steps before it included.

    ``edits`` are ``Edit``s or (action, position, token) tuples, with positions of the canvas at that step. ``decoder`` and
    ``settings`` say who goes on after the step; without them the parent's decoder does. Raises ``RequestError``
    for a step that the run has not, for edits that do not fit, and for other weights than the run's.
    """
    from backend.runner import run

    events = tuple(events)
    made_with = start_of(events).model.weights_hash
    if made_with != model.weights_hash:
        raise RequestError([Problem("model", f"These events were made with the weights {made_with}, and {model.name} has "
                                             f"{model.weights_hash}; load the weights of the run.")])
    return run(model, branched(events, at, edits, decoder, settings))


def branched(
    events: Iterable[Event], at: int, edits: Iterable[Edit | tuple[Any, ...]] = (), decoder: str | None = None,
    settings: Mapping[str, Any] | None = None, parent: str = "",
) -> RunRequest:
    """Return the request of a branch; one that changes nothing is the parent's own.

    Raises ``RequestError`` for a step that the run has not.
    """
    events = tuple(events)
    request, count = start_of(events).request, len(steps_of(events))
    if isinstance(at, bool) or not isinstance(at, int) or not 1 <= at <= count:
        raise RequestError([Problem("forks", f"{at!r} is not a step of this run; give 1 to {count}.")])
    edits = tuple(Edit(*edit) for edit in edits)
    if not edits and decoder is None and settings is None:
        return request
    return replace(request, forks=(*request.forks, Fork(at, edits, decoder, dict(settings or {}), parent)))


def checked(model: Model, request: RunRequest, layout: Layout) -> list[Problem]:
    """Return what is wrong with the forks of ``request``: each is held against the decoder that is at work by then."""
    problems, at_work = [], find_decoder(request.decoder)
    for fork in sorted(request.forks, key=lambda fork: fork.step if _is_step(fork.step) else 0):
        at_work = at_work if fork.decoder is None else find_decoder(fork.decoder)
        problems += [Problem("forks", sentence) for sentence in _wrong(model, request, fork, at_work, layout)]
    return problems


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _wrong(model: Model, request: RunRequest, fork: Fork, at_work: Decoder | None, layout: Layout) -> Iterator[str]:
    positions = range(layout.prompt_length, layout.end)
    if not _is_step(fork.step):
        yield f"{fork.step!r} is not a step; steps count from 1."
    if fork.decoder is not None and at_work is None:
        yield f"There is no decoder {fork.decoder!r} to go on with."
    elif fork.decoder is not None and at_work.needs - model.capabilities:
        yield f"{at_work.name} needs a model that offers {', '.join(sorted(at_work.needs - model.capabilities))}; {model.name} does not."
    else:
        yield from _unfit(model, at_work, fork, layout)
    fixed = {positions.start + at for at in request.fixed}
    for action, position, token in fork.edits:
        if action not in ACTIONS:
            yield f"{action!r} is not a change; the changes are {', '.join(ACTIONS)}."
        if isinstance(position, bool) or not isinstance(position, int) or position not in positions:
            yield f"Position {position!r} is outside the answer; give {positions.start} to {positions.stop - 1}."
        elif position in fixed:
            yield f"Position {position} is fixed by the request; change the request instead."
        no_id = isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < model.vocab_size
        if action in ("write", "forbid", "pin") and (no_id or token == model.mask_id):
            yield f"Token {token!r} cannot be meant; give 0 to {model.vocab_size - 1}, and not the mask."


def _unfit(model: Model, following: Decoder | None, fork: Fork, layout: Layout) -> Iterator[str]:
    """Yield what keeps the decoder that goes on from working on the canvas of the run."""
    if following is None or (fork.decoder is None and not fork.settings):
        return
    settings, wrong = resolved(following, fork.settings, layout)
    for problem in wrong or unfit(model, following, settings, layout):
        yield f"{problem.field}: {problem.message}"
    if not wrong and following.extent(settings, layout) != layout.length:
        yield (f"{following.name} fills whole blocks, which would make the answer {following.extent(settings, layout)} positions long; "
               f"this one has {layout.length}. Go on with another decoder, or begin with {following.name}.")


class Interventions:
    """The changes of a request's forks, as one run meets them."""

    def __init__(self, forks: Sequence[Fork]) -> None:
        self._edits = [(fork.step, edit) for fork in forks for edit in fork.edits]

    @property
    def forbid(self) -> bool:
        """Whether some token is forbidden somewhere, so that logits are changed before they are looked at."""
        return any(edit.action == "forbid" for _, edit in self._edits)

    def allowed(self, logits: Float["M V"], positions: Sequence[int], step: int) -> Float["M V"]:
        """Return the logits with the tokens that are forbidden at ``step`` made impossible."""
        barred = {(edit.position, edit.token) for since, edit in self._edits if edit.action == "forbid" and since <= step}
        rows = [(row, token) for row, position in enumerate(positions) for at, token in barred if at == position]
        if not rows:
            return logits
        logits = logits.clone()
        for row, token in rows:
            logits[row, token] = logits[row].max() - BARRED
        return logits

    def applied(self, choice: Choice, step: int, canvas: Sequence[int], mask_id: int, seen: Seen | None) -> Choice:
        """Return what a step does once the reader's changes are made to it."""
        for at, edit in self._edits:
            if at == step and edit.action == "write":
                choice = _written(choice, edit, seen)
            elif at == step and edit.action == "erase":
                choice = _erased(choice, edit, canvas[edit.position] != mask_id)
            elif at <= step and edit.action == "pin":
                choice = _pinned(choice, edit, seen, canvas[edit.position] == edit.token, at == step)
        return choice


def _written(choice: Choice, edit: Edit, seen: Seen | None) -> Choice:
    if any(position == edit.position and token == edit.token for position, token, _ in choice.writes):
        return choice
    if seen is None or edit.position not in seen.positions:
        raise AppError(f"Position {edit.position} was not predicted in this step, so no token can be put there.",
                       "Branch at the step that writes it, or at one where it is masked.")
    prob = float(seen.log_probs[seen.positions.index(edit.position), edit.token].exp())
    others = [write for write in choice.writes if write[0] != edit.position]
    return _noted(replace(choice, writes=tuple(sorted([*others, (edit.position, edit.token, prob)]))),
                  edit, f"Your change: position {edit.position} takes another token.")


def _erased(choice: Choice, edit: Edit, stands: bool) -> Choice:
    others = tuple(write for write in choice.writes if write[0] != edit.position)
    if not stands and len(others) == len(choice.writes):
        raise AppError(f"Position {edit.position} is masked at this step: there is nothing to erase.", "Choose a written position.")
    erases = tuple(sorted({*choice.erases, edit.position})) if stands else choice.erases
    return _noted(replace(choice, writes=others, erases=erases), edit, f"Your change: position {edit.position} is masked again.")


def _pinned(choice: Choice, edit: Edit, seen: Seen | None, stands: bool, now: bool) -> Choice:
    writes = tuple(write for write in choice.writes if write[0] != edit.position or write[1] == edit.token)
    erases = tuple(at for at in choice.erases if at != edit.position)
    kept = replace(choice, writes=writes, erases=erases)
    if now:
        kept = kept if stands else _written(kept, edit, seen)
        return _noted(kept, edit, f"Your change: position {edit.position} is pinned.")
    if (writes, erases) == (choice.writes, choice.erases):
        return choice
    return _noted(kept, edit, f"Position {edit.position} is pinned: the decoder's change of it is not made.")


def _noted(choice: Choice, edit: Edit, sentence: str) -> Choice:
    edited = (*choice.notes.get("edited", ()), edit.position)
    return replace(choice, why=f"{choice.why} {sentence}".strip(), notes={**choice.notes, "edited": edited})


def staged(decoder: Decoder, forks: Sequence[Fork], world: World) -> Decoding:
    """Decode with ``decoder``, and after each fork that asks for it with a fresh start.

    Raises ``AppError`` when the run is over before a fork.
    """
    process = world.decoding(decoder)
    for fork in sorted(forks, key=lambda fork: fork.step):
        if not _begins_anew(decoder, fork):
            continue
        yield from _until(process, world, fork.step)
        _reached(world, fork)
        decoder = _hand_over(world, decoder, fork)
        process = world.decoding(decoder)
    yield from process
    for fork in forks:
        _reached(world, fork)


def _begins_anew(decoder: Decoder, fork: Fork) -> bool:
    """Tell whether what the decoder remembers no longer fits after the fork."""
    actions = {edit.action for edit in fork.edits}
    own_loop = hasattr(decoder, "decode")
    return fork.decoder is not None or bool(fork.settings) or "erase" in actions or (own_loop and bool(actions & {"write", "pin"}))


def _until(process: Decoding, world: World, step: int) -> Generator[Any, Any, None]:
    """Drive a decoder's loop until it has made ``step`` steps, or is over."""
    reply = None
    try:
        while world.next_step <= step:
            reply = yield process.send(reply)
    except StopIteration:
        pass
    finally:
        process.close()


def _reached(world: World, fork: Fork) -> None:
    if world.next_step <= fork.step:
        raise AppError(f"The run was over after {world.next_step - 1} steps, and the branch begins at step {fork.step}.",
                       "Branch at a step that the run has.")


def _hand_over(world: World, decoder: Decoder, fork: Fork) -> Decoder:
    """Let the next decoder begin on the canvas as it stands; return it."""
    following = find_decoder(fork.decoder) if fork.decoder is not None else decoder
    given = fork.settings if fork.decoder is not None or fork.settings else world.given_settings
    layout = world.layout_now
    settings, wrong = resolved(following, given, layout)
    wrong = wrong or following.check(settings, layout)
    if wrong:
        raise RequestError(wrong)
    world.hand_over(following, settings, given, layout)
    return following
