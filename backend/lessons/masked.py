"""What a masked diffusion language model is."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, asked

RUN = asked("sudoku: .4.1/...3/1.../....=", "llada", 20)

LESSON = Lesson(
    "masked", "What a masked diffusion model is",
    "One look, a guess for every place; then somebody has to choose what is written.",
    (
        LessonStep(
            "An answer made of masks",
            (
                "The prompt is a small Sudoku: fill the grid so that every row, column and 2x2 box holds 1 to 4 once. "
                "The answer repeats the grid, row by row; a slash ends a row.",
                "It begins as {free} masked places, the dashed boxes. Nothing is written yet.",
                "A left-to-right model would now predict the next token, and only that. A masked diffusion model was trained "
                "differently: some tokens of a text were hidden, anywhere, and it had to name all of them at once.",
            ),
            Shown(RUN, step=0, facts={"free": 20}),
        ),
        LessonStep(
            "One look, a guess for every place",
            (
                "One forward pass has given every token a probability at every masked place. The pale sign in a dashed box is the most "
                "probable one; the bar below it says how probable. Point at a box to see what else was considered.",
                "One place has been written: {token}, the end of the first row, which is always there. The other {left} guesses are thrown away "
                "and made anew in the next pass.",
            ),
            Shown(RUN, step=1, position=4, layer="confidence", facts={"token": "“/”", "left": 19}),
            Question("Who decided that this place is written first?", (
                Choice("The model: it fills the answer in its own order.", False,
                       "The model gives probabilities for all places and has no opinion about the order."),
                Choice("The decoder: a rule outside the model that reads its probabilities.", True,
                       "This one writes the place where the best guess is most probable. Other decoders choose other places from the very same pass."),
                Choice("The prompt: the first row is asked for first.", False, "The prompt only says what has to be answered."),
            )),
        ),
        LessonStep(
            "Look again, write again",
            (
                "Now the run plays. After each write the model looks at the whole canvas again, so that every new token helps to guess the others.",
                "It takes {passes} passes for {free} places, and the answer is right. Stop at any moment with the space bar; "
                "the left and right arrow keys move one step.",
            ),
            Shown(RUN, step=0, layer="confidence", play=True, facts={"passes": 20, "free": 20, "right": True}),
            Question("May a written token be changed later in this run?", (
                Choice("Yes, when a later pass finds a better one.", False,
                       "A later pass is not even asked about it: only masked places are predicted here. Some other decoders do erase and write again."),
                Choice("No: what is written stays.", True,
                       "That is why the order matters so much: a wrong token is never taken back, and everything later has to live with it."),
            )),
        ),
        LessonStep(
            "The last place",
            (
                "This place was written last, at step {step_of}. Follow its line under “Candidates” through the whole run: the guess was there early and "
                "became sure when its neighbours were known.",
                "Next: what happens when the same model has to write from left to right.",
            ),
            Shown(RUN, position=13, layer="confidence", facts={"step_of": 20}),
        ),
    ),
)
