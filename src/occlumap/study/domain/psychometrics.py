"""A model of how people answer, for bots that rehearse a study: how often right by outcome, and how people differ."""

import csv
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pvariance

from occlumap.errors import FileFormatError
from occlumap.study.domain import reward


@dataclass(frozen=True)
class Model:
    """`right`: the rate of right answers by outcome. `spread`: the standard deviation of people's ability, in log-odds.

    `confidence`: how often each of 1 to 4 is said.
    """

    right: Mapping[str, float]
    spread: float
    confidence: tuple[float, float, float, float]


OF_THE_TEXT = Model({"TP": 0.772, "FP": 0.442, "FN": 0.385, "TN": 0.5}, 0.0, (0.1, 0.25, 0.45, 0.2))
"""The rates that the dissertation gives (section 6); that of TN and of the confidences are ours. Its figures leave no
room for people who differ.
"""


def fit(rows: Iterable[Mapping[str, str]]) -> Model:
    """The model of answers: `participant_id`, `outcome`, `correct` (1 or 0), `confidence` (1 to 4).

    Rates are those found, drawn towards one half by one answer, so that none is 0 or 1. The spread is what the numbers
    of right answers vary by beyond chance (method of moments); 0 when they do not. People who differ have a mean nearer
    to one half than that of somebody in the middle, for whom the rates stand: the log-odds are stretched by as much
    (a logistic curve as a normal one, 0.346 = (16 sqrt(3) / 15 pi)^2).
    """
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    said: Counter[int] = Counter()
    tasks: dict[str, list[str]] = {}
    scores: Counter[str] = Counter()
    for row in rows:
        outcome, correct, person = row["outcome"], int(row["correct"]), row["participant_id"]
        asked[outcome] += 1
        right[outcome] += correct
        said[int(row["confidence"])] += 1
        tasks.setdefault(person, []).append(outcome)
        scores[person] += correct
    if not tasks:
        raise FileFormatError("expected answers to fit a model to, got none")
    rates = {outcome: (right[outcome] + 0.5) / (asked[outcome] + 1) for outcome in asked}
    by_chance = [[rates[one] * (1 - rates[one]) for one in outcomes] for outcomes in tasks.values()]
    beyond = pvariance(
        [scores[person] - sum(rates[one] for one in outcomes) for person, outcomes in tasks.items()]
    ) - fmean(map(sum, by_chance))
    # that is the sum of covariances of two answers of one person, each ability's variance times both curves' slopes
    pairs = fmean(sum(own) ** 2 - sum(one**2 for one in own) for own in by_chance)
    flat = min(2.0, max(0.0, beyond) / pairs) if pairs else 0.0
    spread = math.sqrt(flat / (1 - 0.346 * flat))
    stretch = math.sqrt(1 + 0.346 * spread**2)
    rates = {one: _rate(stretch * _log_odds(rate)) for one, rate in rates.items()}
    total = sum(said.values())
    one, two, three, four = (said[value] / total for value in (1, 2, 3, 4))
    return Model({**OF_THE_TEXT.right, **rates}, spread, (one, two, three, four))


def read(path: Path) -> Model:
    """The model of a `responses.csv`; FileFormatError for another file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return fit(csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"expected a table of responses at {path} ({type(error).__name__}: {error}); see occlumap study export"
        ) from error


def answer(model: Model, outcome: str, ability: float, chance: random.Random) -> tuple[str, str]:
    """(answer, confidence) of somebody with `ability`, in log-odds beside the average, to a task of `outcome`.

    >>> sure = Model({"FN": 1 - 1e-9}, 0.0, (0, 0, 0, 1))
    >>> answer(sure, "FN", 0.0, random.Random(0))
    ('no', '4')
    """
    rate = _rate(_log_odds(model.right[outcome]) + ability)
    truth = reward.RIGHT[outcome]
    wrong = "no" if truth == "yes" else "yes"
    (confidence,) = chance.choices("1234", weights=model.confidence)
    return (truth if chance.random() < rate else wrong), confidence


def _log_odds(rate: float) -> float:
    return math.log(rate / (1 - rate))


def _rate(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
