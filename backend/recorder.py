"""Records a researcher's own sampling loop as an ordinary run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.errors import Problem, RequestError
from backend.events import Event, RunRequest
from backend.forks import BARRED
from backend.models.base import Model
from backend.observing import Observer
from backend.shapes import Float
from backend.tape import Tape


class Recorder:
    """Turns the passes of a loop that lives elsewhere into events.

    >>> recorder = Recorder(model, prompt_ids, length=16)
    >>> while recorder.masked:
    ...     logits = my_forward(recorder.canvas)
    ...     recorder.step(logits, writes=[(position, token), ...])
    >>> events = recorder.events()
    """

    def __init__(
        self, model: Model, prompt_ids: Sequence[int], length: int, *, name: str = "recorded", top_k: int = 8
    ) -> None:
        """Open a canvas of the prompt and ``length`` masks.

        Raises ``RequestError`` when the model's mask is unknown or the canvas does not fit it.
        """
        prompt = tuple(int(token) for token in prompt_ids)
        if model.mask_id is None:
            raise RequestError([Problem("model", "The mask token is not known; load the model with mask_id=...")])
        if length < 1 or len(prompt) + length > model.max_length:
            raise RequestError([Problem("length", f"{length} positions after {len(prompt)} prompt tokens do not fit the "
                                                  f"window of {model.max_length}; give 1 to {model.max_length - len(prompt)}.")])
        self._model = model
        self._observer = Observer(model.mask_id, top_k)
        self._tape = Tape(model)
        canvas = (*prompt, *[model.mask_id] * length)
        request = RunRequest(name, prompt_ids=prompt, length=length, top_k=top_k)
        blocks = ((len(prompt), len(canvas)),)
        self._events: list[Event] = [self._tape.start(request, canvas, len(prompt), blocks, {})]

    @property
    def canvas(self) -> tuple[int, ...]:
        """The canvas as it stands."""
        return tuple(self._tape.canvas)

    @property
    def masked(self) -> tuple[int, ...]:
        """The positions that hold a mask."""
        return self._tape.masked()

    def step(
        self, logits: Float["L V"], writes: Iterable[tuple[int, int]], *,
        erases: Iterable[int] = (), notes: Mapping[str, Any] | None = None, rows: int | None = None,
    ) -> Event:
        """Record one pass: its logits [L, V] for the canvas as it stood, and what was changed.

        ``rows`` counts sequences x positions computed in this pass, one canvas unless given.
        Raises ``RequestError`` when the logits do not have a row per canvas position, or a change names a position or
        a token that is not there.
        """
        logits = logits.squeeze(0) if logits.dim() == 3 else logits
        if logits.shape != (len(self.canvas), self._model.vocab_size):
            raise RequestError([Problem("logits", f"The shape is {list(logits.shape)}; give [{len(self.canvas)}, {self._model.vocab_size}].")])
        logits = _finite(logits.float())
        changes = [(int(at), int(token)) for at, token in writes]
        _check_changes(changes, [int(at) for at in erases], *logits.shape)
        masked = self.masked
        self._tape.count_pass(len(self.canvas) if rows is None else rows)
        probs = logits.log_softmax(dim=-1).exp()
        # Tokens and positions often come as tensors of one number; events hold plain ones.
        written = tuple((at, token, float(probs[at, token])) for at, token in changes)
        seen = self._observer.observe(logits[list(masked)], masked)
        event = self._tape.step(seen, written, erases=tuple(map(int, erases)), notes=dict(notes or {}))
        self._events.append(event)
        return event

    def events(self, reason: str = "done") -> tuple[Event, ...]:
        """Return the run so far, closed by an ``End``."""
        return (*self._events, self._tape.end(reason))


def _finite(logits: Float["L V"]) -> Float["L V"]:
    """Return logits with minus infinity, by which loops rule a token out, as a number whose probability is 0 all the same."""
    return logits.maximum(logits.amax(dim=-1, keepdim=True) - BARRED)


def _check_changes(writes: Sequence[tuple[int, int]], erases: Sequence[int], length: int, vocabulary: int) -> None:
    wrong = [Problem("writes", f"Position {at} is outside the canvas; give 0 to {length - 1}.") for at, _ in writes if not 0 <= at < length]
    wrong += [Problem("writes", f"Token {token} is outside the vocabulary; give 0 to {vocabulary - 1}.")
              for _, token in writes if not 0 <= token < vocabulary]
    wrong += [Problem("erases", f"Position {at} is outside the canvas; give 0 to {length - 1}.") for at in erases if not 0 <= at < length]
    if wrong:
        raise RequestError(wrong)
