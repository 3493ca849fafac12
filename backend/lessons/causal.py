"""Autoregressive against diffusion: the twin that writes from left to right."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, asked, figure

TWIN = "tiny-causal"
SUMS, GRID, ADD = "tail: 07357656=", "sudoku: .413/.3../..3./...1=", "sum: 417923+193112="


def _pair(task: str) -> str:
    return f"{figure(task, 'greedy', TWIN)} against {figure(task, 'llada, 1 per step')}"


LESSON = Lesson(
    "causal", "Autoregressive against diffusion",
    "Two models of one size and one corpus: what is won and what is lost by writing from left to right.",
    (
        LessonStep(
            "The hardest first",
            (
                "This is the twin of the model you know: same corpus, same tokens, same size. It was trained to name the next token, and it sees only what stands "
                "to the left of it.",
                "The task is the running sum from the right, so its first digit needs all the others. It writes {token} with probability {prob}, about as sure as one "
                "who picks a digit blindly.",
            ),
            Shown(asked(SUMS, "greedy", 13), TWIN, step=1, position=0, layer="confidence", facts={"token": "5", "prob": ".108"}),
            Question("Could another decoder help this model here?", (
                Choice("Hardly: it cannot be asked for a place in the middle.", True,
                       "A causal model gives one distribution, for the next token. Search can weigh whole beginnings, but the order is built into the model."),
                Choice("Yes: let it write the last digit first.", False, "It was never trained to: what is to the right of a place does not exist for it."),
            )),
        ),
        LessonStep(
            "Sure of a wrong answer",
            (
                "The rest was written with a probability close to 1 each, and the answer is wrong: {why}. After the first digit, the others follow from it.",
                f"Over 200 prompts of this kind: {_pair('tail')} for the diffusion model, surest place first.",
                "It did need fewer passes, {passes}, one per token: it stops by itself, where the diffusion model fills the length it was given.",
            ),
            Shown(asked(SUMS, "greedy", 13), TWIN, layer="confidence", facts={"right": False, "why": "digit 1 should be 9, not 5", "passes": 9}),
        ),
        LessonStep(
            "One doubtful cell on the way",
            (
                "A Sudoku. Up to here the twin was sure of everything; the last cell of the second row it is not: {token} with probability {prob}. It has to decide "
                "now, because the next token cannot be written otherwise.",
                "The finished grid is wrong: {why}.",
            ),
            Shown(asked(GRID, "greedy", 20), TWIN, step=8, position=7, layer="confidence",
                  facts={"token": "4", "prob": ".516", "right": False, "why": "row 4 has two 2s"}),
        ),
        LessonStep(
            "The one that may wait",
            (
                "The diffusion model on the same grid left this cell to the very end, step {step_of}, and wrote {token} with probability {prob}. The answer is right, in "
                "{passes} passes.",
                f"Over 200 grids: {_pair('sudoku4')}; on 6x6 grids {_pair('sudoku6')}.",
            ),
            Shown(asked(GRID, "llada", 20), position=7, layer="order", facts={"step_of": 20, "token": "2", "prob": ">.999", "passes": 20, "right": True}),
        ),
        LessonStep(
            "Where left to right wins",
            (
                "An addition. The twin is right, and sure of every digit it writes, although carries run the other way.",
                f"Over 200 additions: {_pair('sum')}. On rearranged digits, where each token has to know exactly what was written before it: {_pair('shuffle')}.",
                "Each training text teaches it a prediction at every place at once; the diffusion model learns from the hidden places only, and has every order to learn.",
            ),
            Shown(asked(ADD, "greedy", 10), TWIN, layer="confidence", facts={"right": True}),
            Question("Which of the two is the better model?", (
                Choice("The diffusion model.", False, "On three of five tasks. On additions and rearranged digits the twin made no mistake in 200."),
                Choice("The autoregressive one.", False, "On two of five tasks. On running sums it is lost: its order is the wrong one, and it has no other."),
                Choice("It depends on whether the order of writing suits the task.", True,
                       "These are one pair of small models, trained for the same time. What carries over is the question to ask: in which order does the answer become certain?"),
            )),
        ),
    ),
)
