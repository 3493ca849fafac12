"""From bits to rounds: sure tokens carry no information."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, Survey, asked

DIGITS, SUMS = "shuffle: 942013=", "tail: 63686280675="
EXPLORED = asked(DIGITS, "explore_then_exploit", 10)
PLAIN, AHEAD = asked(SUMS, "fast_dllm", 13, threshold=0.9), asked(SUMS, "explore_then_exploit", 13)
RULE, EXPLORING = Survey("tail", "fast_dllm", 49, 3.9), Survey("tail", "explore_then_exploit", 46, 3.8)


def told(rule: Survey, exploring: Survey) -> str:
    """Return in numbers what exploring changes against the plain rule: passes first, then right answers."""
    passes, right = round(rule.passes - exploring.passes, 1), exploring.right - rule.right
    saved = "saves no pass" if not passes else f"{'saves' if passes > 0 else 'costs'} {abs(passes):.1f} passes an answer"
    won = "gets as many right" if not right else f"{'wins' if right > 0 else 'loses'} {abs(right)} of {rule.count} answers"
    return f"On this task it {saved} and {won}."


LESSON = Lesson(
    "bits", "From bits to rounds",
    "Why certain tokens are cheap, doubtful ones dear, and when it pays to write a doubtful one on purpose.",
    (
        LessonStep(
            "A token that was certain says nothing",
            (
                "Six digits in any order, each once. The first pass wrote {first} tokens at once: the end of the answer, which was certain.",
                "In bits, log2 of 1 / probability, they carry {bits_1} together. A decoder that only writes what is sure gets many tokens out of such a pass "
                "and no news.",
            ),
            Shown(EXPLORED, step=1, layer="confidence", facts={"first": 4, "bits_1": "0.05 bits"}),
        ),
        LessonStep(
            "A token that was not certain decides something",
            (
                "Now no place is sure: any digit may stand anywhere. The decoder writes the most uncertain place on purpose: {token}, with probability {prob}.",
                "That is {bits_2}, more than all {first} tokens before. It rules out this digit everywhere else, and the next pass knows that.",
            ),
            Shown(EXPLORED, step=2, position=5, layer="entropy", facts={"token": "2", "prob": ".189", "bits_2": "2.41 bits", "first": 4}),
            Question("Which token would have told the next pass more?", (
                Choice("One with probability 0.99.", False, "That is 0.01 bits: the model has already reckoned with it."),
                Choice("One with probability 0.05.", True, "4.3 bits. It changes the guesses elsewhere most. It also is the one most likely to be wrong where only one answer is right."),
            )),
        ),
        LessonStep(
            "All the bits have to be paid",
            (
                "{passes} rounds in all, and {bits} together. Six digits can be ordered in 720 ways, which is 9.5 bits: an answer has to be picked out of these, "
                "whatever the decoder.",
                "A round can carry only as many bits as can be written at once without contradicting each other. This is why the number of rounds follows "
                "the bits and not the number of tokens.",
            ),
            Shown(EXPLORED, layer="order", facts={"passes": 7, "bits": "8.42 bits", "right": True}),
        ),
        LessonStep(
            "Where it saves a round",
            (
                "A running sum. The threshold rule alone needs {passes} passes and is right: at step 4 only one place was sure, so only one was written.",
            ),
            Shown(PLAIN, step=4, layer="confidence", facts={"passes": 6, "right": True}),
        ),
        LessonStep(
            "Explore, then exploit",
            (
                "The same prompt. At step 4 the decoder also writes the leftmost digit, on purpose, although it has only {prob}. It is {token}, and it is right; "
                "{passes} passes in place of 6.",
                f"That is a bet. Over 60 prompts: with exploring {EXPLORING}; without {RULE}. {told(RULE, EXPLORING)}",
                "The rule is our reconstruction from the paper's abstract.",
            ),
            Shown(AHEAD, step=4, position=0, layer="confidence", facts={"prob": ".314", "token": "7", "passes": 5, "right": True}),
            Question("When should exploring pay?", (
                Choice("Where many answers are right, so that a doubtful token is a choice and not an error.", True,
                       "Then nothing is lost by choosing early, and the bits are paid sooner. Where one answer is right, a probability of {prob} is mostly a wrong token."),
                Choice("Where exactly one answer is right.", False, "There a doubtful token is wrong most of the time, and is never taken back."),
            )),
        ),
    ),
    surveys=(RULE, EXPLORING),
)
