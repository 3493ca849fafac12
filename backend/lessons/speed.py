"""Speed against quality: how many tokens a pass may write."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, asked, figure, mean_passes

EASY, HARD, DIGITS = "sudoku: 3.2./..3./...2/24.3=", "sudoku: .413/.3../..3./...1=", "shuffle: 942013="
LOOSE, STRICT = asked(HARD, "fast_dllm", 20, threshold=0.9), asked(HARD, "fast_dllm", 20, threshold=0.99)

LESSON = Lesson(
    "speed", "Speed against quality",
    "Several tokens per pass: ten times faster, until two of them disagree.",
    (
        LessonStep(
            "Everything that is sure, at once",
            (
                "One token per pass needs 20 passes for this grid. This decoder writes, in each pass, every token whose probability "
                "is at least 0.9.",
                "The first pass wrote {first} tokens, and {passes} passes were enough. The answer is right: ten times less work for the same result.",
            ),
            Shown(asked(EASY, "fast_dllm", 20, threshold=0.9), step=1, layer="confidence", facts={"first": 17, "passes": 2, "right": True}),
        ),
        LessonStep(
            "Two guesses that did not see each other",
            (
                "Another grid, the same threshold, again {passes} passes. This time the answer is wrong: {why}.",
                "Both were written in the first pass. Each was sure enough on its own: the pinned one had {prob}, its left neighbour {neighbour}. "
                "But each probability was computed while the other place was still a mask.",
            ),
            Shown(LOOSE, step=1, position=8, layer="confidence",
                  facts={"passes": 2, "right": False, "why": "row 2 has two 2s", "prob": ".926", "neighbour": ".936"}),
            Question("What would have helped here?", (
                Choice("Another seed.", False, "Nothing is drawn in this run: the most probable token is taken. Every seed gives the same answer."),
                Choice("A higher threshold.", True, "Then neither is written in the first pass, and the next pass sees more. Let us look."),
                Choice("More tokens per pass.", False, "That puts even more tokens next to each other that have not seen each other."),
            )),
        ),
        LessonStep(
            "A higher threshold",
            (
                "The same grid with a threshold of 0.99: {passes} passes in place of 2, and the answer is right.",
                "The cell that was written too early waited until step {step_of}, and then it was not a 2 but {token}, with probability {prob}.",
            ),
            Shown(STRICT, position=8, layer="confidence", facts={"passes": 5, "right": True, "step_of": 4, "token": "4", "prob": ".997"}),
        ),
        LessonStep(
            "What it costs on average",
            (
                f"Over 200 held-out 4x4 grids: one token per pass gets {figure('sudoku4', 'llada, 1 per step')} right in 20 passes; the threshold of 0.9 "
                f"{figure('sudoku4', 'fast_dllm, threshold 0.9')} in {mean_passes('sudoku4', 'fast_dllm, threshold 0.9')}; a fixed eight tokens per pass "
                f"{figure('sudoku4', 'llada, 8 per step')} in 2.",
                "A threshold spends passes where they are needed; a fixed number spends them evenly. At about the same cost the threshold is far ahead.",
            ),
            Shown(STRICT, layer="order", facts={"right": True}),
        ),
        LessonStep(
            "When many answers are right",
            (
                "Write the six digits of the prompt in any order, each once. Two tokens per pass: the answer is wrong, {why}.",
                "At this step two neighbours were written together, both {token}, with probabilities of {prob} and {neighbour}. All six digits were possible "
                "at both places. Taken one by one, the guesses are fine; as a pair they are not an answer.",
            ),
            Shown(asked(DIGITS, "llada", 10, steps=5), step=3, position=4, layer="confidence",
                  facts={"right": False, "why": "0 is missing", "token": "2", "prob": ".217", "neighbour": ".220"}),
            Question(f"One token per pass gets {figure('shuffle', 'llada, 1 per step')} of these right. How many with two per pass?", (
                Choice("About half of that.", False, f"Fewer: {figure('shuffle', 'llada, 2 per step')} of 200."),
                Choice("Almost none.", True,
                       f"{figure('shuffle', 'llada, 2 per step')} of 200. Tokens that are written in one pass are chosen independently of each other, and here "
                       "everything depends on everything."),
                Choice("The same: each place is still most probable.", False,
                       f"{figure('shuffle', 'llada, 2 per step')} of 200: most probable at each place is not most probable together."),
            )),
        ),
    ),
)
