"""What a participant earns."""

from decimal import Decimal

RIGHT = {"TP": "yes", "FP": "yes", "FN": "no", "TN": "no"}
"""What the system does with an image of each outcome: does it recognise the class?"""


def correct(outcome: str, answer: str) -> bool:
    """Whether `answer` ("yes", "no") is what the system does."""
    return RIGHT[outcome] == answer


def bonus(right: int, tasks: int, per_correct: Decimal) -> Decimal:
    """The bonus for `right` of `tasks` answers: never below 0, never above that for all.

    >>> bonus(9, 14, Decimal("0.50"))
    Decimal('4.50')
    """
    return (min(max(right, 0), tasks) * per_correct).quantize(Decimal("0.01"))


def maximum(base: Decimal, tasks: int, per_correct: Decimal) -> Decimal:
    """What somebody earns who is right in all tasks."""
    return (base + tasks * per_correct).quantize(Decimal("0.01"))
