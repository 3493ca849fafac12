"""The lessons, in the order of the menu. A new lesson is one file and one line here."""

from __future__ import annotations

from backend.lessons.attribution import LESSON as ATTRIBUTION
from backend.lessons.base import Lesson
from backend.lessons.bits import LESSON as BITS
from backend.lessons.causal import LESSON as CAUSAL
from backend.lessons.consistency import LESSON as CONSISTENCY
from backend.lessons.masked import LESSON as MASKED
from backend.lessons.order import LESSON as ORDER
from backend.lessons.speed import LESSON as SPEED

LESSONS: tuple[Lesson, ...] = (MASKED, ORDER, SPEED, CONSISTENCY, BITS, CAUSAL, ATTRIBUTION)
