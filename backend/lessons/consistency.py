"""Consistency: sure is not the same as settled."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, Survey, asked

GRID = "sudoku: .413/.3../..3./...1="
SLOW = asked(GRID, "llada", 20)
GRIDS = {name: Survey("sudoku4", name, right, passes) for name, right, passes in
         (("llada", 59, 20.0), ("ccd", 56, 11.5), ("fast_dllm", 54, 1.7))}
SUMS = {name: Survey("tail", name, right, passes) for name, right, passes in (("llada", 49, 13.0), ("ccd", 45, 7.7), ("fast_dllm", 49, 3.9))}

LESSON = Lesson(
    "consistency", "Sure or settled?",
    "A token can be probable now and gone two passes later; CCD writes what has stopped moving.",
    (
        LessonStep(
            "Sure, and wrong",
            (
                "The pinned cell, in the second row on the right. After the first pass the model's favourite is {best}, with probability {best_prob}. "
                "A threshold of 0.9 would write it now; the lesson on speed shows that this spoils the grid.",
                "One pass has no past to compare with. So let us watch the guess over time.",
            ),
            Shown(SLOW, step=1, position=8, layer="confidence", facts={"best": "2", "best_prob": ".926"}),
        ),
        LessonStep(
            "The favourite changes",
            (
                "Step {step}: the favourite is {best} now, with probability {best_prob}. It had been 2 in every pass up to the one before; "
                "the cells written meanwhile have turned it.",
                "The layer shown is consistency: 1 when the distribution at a place is the mean of its last few, lower when it has moved. Here it is {consistency}.",
            ),
            Shown(SLOW, step=15, position=8, layer="consistency", facts={"step": 15, "best": "4", "best_prob": ".998", "consistency": ".626"}),
            Question("Confidence {best_prob}, consistency {consistency}: what do the two say together?", (
                Choice("The model is sure now, and has only just changed its mind.", True,
                       "Confidence looks at this pass alone. Consistency compares it with the passes before, and finds that the place was still moving."),
                Choice("The model is unsure.", False, "Its probability is close to one. It is the past that disagrees."),
                Choice("The two are the same thing in other units.", False, "Then they could not differ: one is high here, the other low."),
            )),
        ),
        LessonStep(
            "Writing what has settled",
            (
                "CCD (coherent contextual decoding) keeps the last few distributions of each place and writes those that agree with their own past: "
                "several at once when several have settled, none that is still moving.",
                "The pinned cell is written at step {step_of}, as {token}. {passes} passes in place of 20, and the answer is right. "
                "The rule is our reading of the paper; the label “reconstructed” says so.",
            ),
            Shown(asked(GRID, "ccd", 20), position=8, layer="order", facts={"step_of": 12, "token": "4", "passes": 12, "right": True}),
        ),
        LessonStep(
            "What it is worth",
            (
                f"Over 60 held-out 4x4 grids: one token per pass, {GRIDS['llada']}; CCD, {GRIDS['ccd']}; a threshold of 0.9, {GRIDS['fast_dllm']}.",
                f"On running sums: one token per pass, {SUMS['llada']}; CCD, {SUMS['ccd']}; the threshold, {SUMS['fast_dllm']}.",
                "Sixty prompts leave a wide margin: differences of four or five may be chance.",
            ),
            Shown(asked(GRID, "ccd", 20), layer="order", facts={"right": True}),
            Question("What may one conclude about this model?", (
                Choice("CCD is better than a threshold.", False, "On running sums it needs twice the passes and is not more often right."),
                Choice("CCD lies between: cheaper than one token per pass, dearer than a threshold, with no clear gain in right answers here.", True,
                       "That is what these numbers show. On large models the balance may be another one; measure it there."),
                Choice("Consistency is useless.", False, "As a score to look at it showed what confidence hid. Whether a rule built on it pays is another question."),
            )),
        ),
    ),
    surveys=(*GRIDS.values(), *SUMS.values()),
)
