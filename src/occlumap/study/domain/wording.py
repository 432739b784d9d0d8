"""What texts say by themselves that belongs in the configuration: places not filled in, money, numbers of tasks."""

import re
from collections.abc import Iterator

_UNITS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {name: value for value, name in enumerate(_UNITS, start=1)} | {
    name: 10 * value for value, name in enumerate(_TENS, start=2)
}
_WORD = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-]+(?:{'|'.join(_UNITS[:9])}))?|{'|'.join(reversed(_UNITS))})"
_BETWEEN = r"(?:(?:new|short|easy|different|other|similar|such|more|multiple|choice|yes/no|test|example|single)[\s-]+)*"
_COUNT = re.compile(
    rf"(?<![\w.,])(\d{{1,4}}|{_WORD})[\s-]+{_BETWEEN}(questions?|tasks?|trials?|photos?|photographs?|images?|pictures?)\b",
    re.IGNORECASE,
)
_KINDS = {"question": "question", "task": "task", "trial": "task"}
FEWEST = 5
"""Smaller numbers are of something else: "two questions for each photo"."""

_BEGINS_UNFILLED = (
    r"^\W*(?:fill[\s_-]*in|demo|to[\s_-]?do|tb[acd]|x{2,}|placeholder|insert|your|change[\s_-]?me|lorem)"
    r"(?!\w)"
)
_TO_BE = r"to be (?:confirmed|determined|decided|announced|added|filled in)"
_UNFILLED = re.compile(
    rf"{_BEGINS_UNFILLED}|\b(?:fill[\s_-]in|tb[acd]|x{{3,}}|placeholder|insert\b.*\bhere|{_TO_BE})\b|^\W*n/?a\W*$|^\W*[<\[].*[>\]]\W*$|^\W*$",
    re.IGNORECASE | re.DOTALL,
)
_UNFILLED_INSIDE = re.compile(
    r"\b(?:FILL[ _-]IN|TB[ACD]|XXX+|TODO|PLACEHOLDER|INSERT\b[^.\n]*\bHERE|[Ll]orem ipsum)\b"
)


def is_unfilled(value: str) -> bool:
    """Whether a value has not been filled in: empty, or what stands for it ("TBC", "[your contact]").

    >>> is_unfilled("INSERT NAME HERE"), is_unfilled("Ada Fillinger, ada@uni.example")
    (True, False)
    """
    return _UNFILLED.search(value) is not None


def unfilled_inside(text: str) -> Iterator[str]:
    """What stands in a text, in capitals, for something that is to be filled in."""
    return (match[0] for match in _UNFILLED_INSIDE.finditer(text))


def amounts(text: str, currency: str) -> Iterator[str]:
    """Amounts of money as people write them, in digits and words, in the study's currency and the usual ones.

    An amount without a currency is known by two decimals after a word of paying, or as a maximum or total.

    >>> list(amounts("at most five pounds, or 10p", "GBP"))
    ['five pounds', '10p']
    >>> list(amounts("That is eight quid, a tenner at most", "GBP"))
    ['eight quid', 'tenner']
    >>> list(amounts("I get 8.60 for this; the score was 0.25", "GBP"))
    ['get 8.60']
    >>> list(amounts("Up to a maximum of 8.6. Scores have a maximum of 1.0, and pages one of 2.5 minutes.", "GBP"))
    ['maximum of 8.6']
    """
    names = rf"(?:{re.escape(currency)}|GBP|USD|EUR)"
    spoken = r"(?:pounds?|euros?|dollars?|pence|penny|cents?|quid|bucks?)"
    after = rf"[£$€]|(?:{names}|{spoken}|p)\b"
    digits = rf"(?:[£$€]|\b{names})\s*\d[\d.,]*|\d[\d.,]*\s*(?:{after})"
    words = rf"\b(?:{_WORD}|hundred)[\s-]+(?:{spoken}|{names})\b|\b(?:fiver|tenner)s?\b"
    paying = r"\b(?:get|paid|pay|receive|earn|reward|bonus|payment|compensation)\b"
    paid = rf"{paying}[^.\n\d]{{0,30}}\d+[.,]\d\d\b(?![.,]?\d|\s*%)"
    most = r"\b(?:maximum|total) of (?![01]\b)\d+[.,]\d\d?\b(?!\s*(?:%|[a-z]))"  # scores go to 1, and units follow
    return (match[0] for match in re.finditer(f"{digits}|{words}|{paid}|{most}", text, re.IGNORECASE))


def counts(text: str) -> Iterator[tuple[str, int, str]]:
    """Numbers of questions, tasks, photos and the like from FEWEST on: as written, their value, and of what they are.

    That is "question", "photo", "task", or "task of a class" where each or every of something is named behind it.

    >>> list(counts("There are thirty-six new questions, three for each of 12 pictures."))
    [('thirty-six new questions', 36, 'question'), ('12 pictures', 12, 'photo')]
    >>> list(counts("14 tasks, that is seven trials of each class"))
    [('14 tasks', 14, 'task'), ('seven trials', 7, 'task of a class')]
    """
    for match in _COUNT.finditer(text):
        said = match[1].lower()
        value = int(said) if said.isdecimal() else sum(_VALUES[one] for one in re.split(r"[\s-]+", said))
        kind = _KINDS.get(match[2].lower().rstrip("s"), "photo")
        if kind == "task" and re.match(
            r"[\s\w]{0,12}\b(?:each|every|per|both)\b", text[match.end() :], re.IGNORECASE
        ):
            kind = "task of a class"
        if value >= FEWEST:
            yield " ".join(match[0].split()), value, kind
