"""The codebook that a study begins with, and agreement of two coders for each of its codes.

The groups are ours to change.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from occlumap.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

GROUPS = ("saliency", "general")

NONE = "(none)"
"""Beside a code of one coder, where the other gave none; no code can be called so."""

FEW = 10
"""Answers of two coders: with fewer, one answer more or less turns agreement over."""

STARTER: tuple[tuple[str, str], ...] = (
    *((name, "saliency") for name in ("eyes", "ears", "nose", "mouth", "legs", "face", "neck")),
    *((name, "saliency") for name in ("body", "tail", "head", "mane", "hooves", "paws", "whiskers", "fur")),
    *(
        (name, "general")
        for name in ("image_quality", "background", "colour", "texture", "lighting", "size", "pose")
    ),
    *((name, "general") for name in ("number_of_objects", "other_objects", "context")),
)
"""(code, group): those that the text names, and ours."""


@dataclass(frozen=True)
class CodeAgreement:
    """Of one code over the answers that two coders coded.

    Kappa (Cohen's, and Fleiss') and alpha (Krippendorff's) are NaN where nobody, or everybody, chose it.
    """

    code: str
    answers: int
    both: int
    one: int
    kappa: float
    alpha: float
    fleiss: float

    @property
    def note(self) -> str:
        """Why a number is not defined or tells little; "" where nothing is to be said."""
        if self.both == self.answers:
            return "both coders chose it every time: agreement beyond chance needs answers without it"
        if not self.both and not self.one:
            return "nobody chose it: agreement beyond chance needs answers with it"
        if self.answers < FEW:
            return f"only {self.answers} of the at least {FEW} answers by two coders that the numbers need to tell much"
        return ""


def agreement(pairs: Sequence[tuple[Set[str], Set[str]]], codes: Sequence[str]) -> list[CodeAgreement]:
    """Agreement for each code: was it chosen or not, by each of two coders, of every answer in `pairs`.

    >>> agreement([({"ears"}, {"ears"}), (set(), set())], ["ears"])[0].kappa
    1.0
    """
    found = []
    for code in codes if pairs else ():
        chosen = [(code in first, code in second) for first, second in pairs]
        kappa = cohen_kappa([first for first, _ in chosen], [second for _, second in chosen]).kappa
        alpha = krippendorff_alpha(chosen).alpha
        fleiss = fleiss_kappa(chosen).kappa
        both = sum(first and second for first, second in chosen)
        one = sum(first != second for first, second in chosen)
        found.append(CodeAgreement(code, len(pairs), both, one, kappa, alpha, fleiss))
    return found


def segments(first: Set[str], second: Set[str]) -> list[tuple[str, str]]:
    """The codes of two coders of one answer side by side: the same ones together, then the others by name.

    >>> segments({"ears", "tail"}, {"ears", "eyes", "fur"})
    [('ears', 'ears'), ('tail', 'eyes'), ('(none)', 'fur')]
    """
    from itertools import zip_longest

    both = [(code, code) for code in sorted(first & second)]
    return both + list(zip_longest(sorted(first - second), sorted(second - first), fillvalue=NONE))


def coded_twice(answer: int, share: float) -> bool:
    """Whether an answer, by its number, belongs to the share that two coders code; the same each time.

    >>> sum(coded_twice(number, 0.2) for number in range(1000))
    205
    """
    import hashlib

    return int(hashlib.sha256(str(answer).encode()).hexdigest()[:8], 16) / 2**32 < share


def order_of(answer: int, coder: int | None = None) -> str:
    """Answers sorted by this come in an order that tells nothing of participant, condition or task.

    `coder`: in an order of that coder's own.
    """
    import hashlib

    of = "" if coder is None else f" {coder}"
    return hashlib.sha256(f"order {answer}{of}".encode()).hexdigest()


def codes_to_check(coded_at: int, since: Mapping[str, int]) -> list[str]:
    """The codes that were added after the version with which an answer was coded: it must be looked at again for
    them.
    """
    return sorted(code for code, version in since.items() if version > coded_at)
