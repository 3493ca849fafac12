"""Why the order of writing matters."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, asked, figure

GRID, SUMS = "sudoku: ..4./4.1./.2../...1=", "tail: 07357656="
GRID_LEFT, GRID_SURE = asked(GRID, "left_to_right", 20), asked(GRID, "llada", 20)
SUMS_LEFT, SUMS_SURE = asked(SUMS, "left_to_right", 13), asked(SUMS, "llada", 13)

LESSON = Lesson(
    "order", "Why order matters",
    "The same model, the same puzzle: wrong from left to right, right when the surest place goes first.",
    (
        LessonStep(
            "From left to right",
            (
                "The decoder here writes from left to right, as a usual language model does. So the top left cell comes first, "
                "although nothing near it is given.",
                "It wrote {token}. The model gave that a probability of {prob}: a guess, not a conclusion.",
            ),
            Shown(GRID_LEFT, step=1, position=0, layer="confidence", facts={"token": "1", "prob": ".614"}),
            Question("What does the model do when it looks again and sees that 1?", (
                Choice("It takes it as given and fits the rest around it.", True,
                       "Prompt and written tokens look the same to it. The next cells are chosen so that they go with the 1."),
                Choice("It notices that the 1 is doubtful and repairs it.", False,
                       "It is asked only about places that are still masked. Nothing comes back to the first cell."),
            )),
        ),
        LessonStep(
            "The price",
            (
                "The finished grid is wrong: {why}. A small program judged it, not a model.",
                "Look at the first row: it agrees with itself. The contradiction shows only further down, where cells that were given in the prompt "
                "leave no other choice.",
            ),
            Shown(GRID_LEFT, layer="confidence", facts={"right": False, "why": "column 1 has two 1s"}),
        ),
        LessonStep(
            "The surest first",
            (
                "Same model, same puzzle, another decoder: in each pass it writes the place where the model is surest.",
                "The top left cell had to wait until step {step_of}. By then it was no guess any more: {token}, with probability {prob}. The answer is right.",
            ),
            Shown(GRID_SURE, step=14, position=0, layer="confidence", facts={"step_of": 14, "token": "2", "prob": ">.999", "right": True}),
            Question("Why was the cell so much easier at step {step_of}?", (
                Choice("The model had learnt something during the run.", False, "Its weights never change while it decodes."),
                Choice("More of the grid was known, and only one digit was left for it.", True,
                       "The decoder spent its early passes where the answer was certain, and these tokens then decided the doubtful cell."),
            )),
        ),
        LessonStep(
            "How often does it happen?",
            (
                f"Over 200 held-out 4x4 grids, the surest-first decoder gets {figure('sudoku4', 'llada, 1 per step')} right, left to right "
                f"{figure('sudoku4', 'left_to_right')}, a random order {figure('sudoku4', 'random_order')}. "
                f"On 6x6 grids it is {figure('sudoku6', 'llada, 1 per step')} against {figure('sudoku6', 'left_to_right')}.",
                "So most grids of this size come out right either way, and the one shown here is one of those that do not. "
                "The model card holds the table with its confidence intervals.",
            ),
            Shown(GRID_SURE, layer="order", facts={"right": True}),
            Question("Is surest first always the better order?", (
                Choice("Yes: a sure token can only help.", False,
                       f"Measured: on additions it gets {figure('sum', 'llada, 1 per step')} right, left to right {figure('sum', 'left_to_right')}."),
                Choice("No: it depends on the task.", True,
                       f"On additions the same model does better from left to right: {figure('sum', 'left_to_right')} against "
                       f"{figure('sum', 'llada, 1 per step')}. What it feels sure of and what it knows are not the same."),
            )),
        ),
        LessonStep(
            "A task that runs the other way",
            (
                "Below each digit, write the last digit of the sum of all digits from there to the right end. The leftmost one needs all of them; "
                "the rightmost is a copy.",
                "From left to right the hardest comes first: {token}, with probability {prob}. The answer is wrong: {why}.",
            ),
            Shown(SUMS_LEFT, step=1, position=0, layer="confidence",
                  facts={"token": "8", "prob": ".179", "right": False, "why": "digit 1 should be 9, not 8"}),
        ),
        LessonStep(
            "An order that nobody taught",
            (
                "Surest first writes the end of the answer, then goes from right to left, digit by digit: the leftmost comes at step {step_of}. "
                "See the marks under “Order”. The answer is right.",
                f"Over 200 such prompts: {figure('tail', 'llada, 1 per step')} against {figure('tail', 'left_to_right')} from left to right.",
            ),
            Shown(SUMS_SURE, position=0, layer="order", facts={"step_of": 12, "right": True}),
        ),
    ),
)
