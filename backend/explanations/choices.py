"""What the objectives and baselines mean, in words: the page draws its controls from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One entry of a control: its name in a request, its title and what it asks."""

    name: str
    title: str
    help: str


OBJECTIVE_CHOICES = (
    Choice("log_prob", "log-probability", "What made this token probable? In nats: +1 makes it 2.7 times as likely."),
    Choice("logit", "logit", "What raised this token's own logit, whatever happened to the others?"),
    Choice("contrast", "contrast", "What made it this token rather than another one? The lead of the first over the second."),
)
BASELINE_CHOICES = (
    Choice("mask", "nothing (all masked)", "Compared with a canvas of masks: what the visible tokens told the model."),
    Choice("pad", "padding", "Compared with a canvas of padding tokens."),
    Choice("mean", "mean embedding", "Compared with the mean of all token embeddings at every position."),
    Choice("zero", "zeros", "Compared with vectors of zeros, which no text has. Not recommended; slow."),
)
