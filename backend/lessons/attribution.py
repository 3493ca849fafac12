"""Reading an attribution, and when not to believe it."""

from __future__ import annotations

from backend.lessons.base import Choice, Lesson, LessonStep, Question, Shown, asked

RUN = asked("tail: 07357656=", "llada", 13)

LESSON = Lesson(
    "attribution", "Why this token? And when not to believe the answer",
    "Here the true reason of a token is known, so one can see which explanation finds it.",
    (
        LessonStep(
            "A token whose reason is known",
            (
                "The pinned digit, {token}, was written at step {step_of} with probability {prob}. Each digit of the answer is the digit above it plus the answer's next digit, "
                "without tens: 6 + 1 = 7. So the reasons are the 6 in the prompt and the 1 to the right, which had been written before.",
                "Ask “Why this token?” below the time line: it names the positions that the model used, by one of several methods. They do not agree with each other.",
            ),
            Shown(RUN, step=7, position=5, layer="order", facts={"token": "7", "step_of": 7, "prob": ".998"}),
        ),
        LessonStep(
            "Take one token away and look",
            (
                "Occlusion hides one position at a time and measures how much the log probability of the token falls, in nats.",
                "Hiding the 6 of the prompt costs {occlusion_6} nats: it is needed. Hiding the 1 to the right costs {occlusion_1}. Yet the 1 is part of the sum.",
            ),
            Shown(RUN, step=7, position=5, layer="order", facts={"occlusion_6": "9.48", "occlusion_1": "0.00"}),
            Question("Why does hiding the 1 cost nothing?", (
                Choice("The model does not use it.", False,
                       "That cannot be told from this number: hidden, it may be worked out again from the digits of the prompt."),
                Choice("Something else can stand in for it.", True,
                       "The last two digits of the prompt, 5 and 6, give the same 1. Hiding one position at a time cannot see what is known twice."),
                Choice("The method has failed.", False, "It measured what it says: the effect of hiding this one position. Reading “not used” into it is the mistake."),
            )),
        ),
        LessonStep(
            "A sum that does not add up",
            (
                "Integrated gradients walk from a row of masks to the canvas and add up gradients on the way. The scores should add up to the change of "
                "the log probability between the two, {change} nats here.",
                "With 256 points on the way they miss it by {delta} nats, more than the whole change. The page says so below the scores: “The sum misses …”, for every method whose scores should add up.",
            ),
            Shown(RUN, step=7, position=5, layer="order", facts={"change": "2.71", "delta": "7.0"}),
            Question("What does a gap of that size mean?", (
                Choice("The scores are wrong by that much in total: do not read them.", True,
                       "Take more points, or another method. Here more points do not help: halfway between a mask and a token the input stands for no text the "
                       "model was trained on, and the probability jumps up and down there."),
                Choice("The token itself is wrong.", False, "The token is right. It is the explanation that does not add up."),
                Choice("Nothing: scores are relative.", False, "Their sum is a promise of the method, and it is broken here. Their order is then not to be trusted either."),
            )),
        ),
        LessonStep(
            "What has been measured",
            (
                "A good ranking of positions should make the token lose its probability quickly when its top is hidden, and keep it when only its top is shown. "
                "Both were measured for every method against rankings by chance, on five tasks (docs/faithfulness.md).",
                "Occlusion beats chance on both in four of the five tasks. Integrated gradients do in two, 6x6 Sudoku and rearranging digits; where the answer needs "
                "arithmetic their sums miss by about 1 to 1.6 nats. Gradient times input, the cheapest, does in none.",
                "So: look first at how far the sum misses, compare two methods, and test a claim by hiding the token yourself.",
            ),
            Shown(RUN, step=7, position=5, layer="order"),
        ),
    ),
)
