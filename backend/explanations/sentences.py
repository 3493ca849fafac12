"""What an attribution says, in one sentence for the reader."""

from __future__ import annotations

from backend.explanations.base import Attribution
from backend.models.base import Model

BASELINE_WORDS = {
    "mask": "nothing", "pad": "a canvas of padding", "zero": "a canvas of zeros", "mean": "a canvas of the mean embedding",
}


def sentence(model: Model, found: Attribution) -> str:
    """Return what the scores add up to, as a check that can be done by hand."""
    request, total = found.request, float(found.scores.double().sum())
    baseline = BASELINE_WORDS[request.baseline]
    if request.objective == "contrast":
        what = f"the lead of {model.token(found.token)!r} over {model.token(request.against)!r}"
    else:
        what = f"{'log p' if request.objective == 'log_prob' else 'the logit'} of {model.token(found.token)!r}"
    if not found.complete:
        return f"Here {what} is {found.value:.2f} on this canvas and {found.baseline_value:.2f} given {baseline}."
    return (f"The scores add up to {total:+.2f}: {what} is {found.value:.2f} on this canvas and {found.baseline_value:.2f} given "
            f"{baseline} (the sum misses {abs(found.delta):.2g}).")
