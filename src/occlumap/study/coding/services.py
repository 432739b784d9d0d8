"""What coders do: the next answer, a coding, a new code, a difference settled, a participant excluded."""

import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from django.db import transaction
from django.db.models import Max

from occlumap.errors import ArgumentError
from occlumap.study.coding.models import Code, Coding, Exclusion
from occlumap.study.domain import codebook, progress
from occlumap.study.participants.models import Answer

SHARE_TWICE = 0.2
"""Of the answers, for a second coder."""


def prepare() -> None:
    """The codebook to begin with, where there is none."""
    if not Code.objects.exists():
        Code.objects.bulk_create([Code(name=name, group=group, since=1) for name, group in codebook.STARTER])


def lock_codebook() -> None:
    """Nobody else adds codes, or takes a file, until this transaction ends."""
    Code.objects.select_for_update().order_by("pk").first()


def version() -> int:
    """The codebook's version."""
    return int(Code.objects.aggregate(Max("since"))["since__max"] or 1)


def code_name(name: str) -> str:
    """A code's name as the codebook writes it; ArgumentError for one that cannot be."""
    written = re.sub(r"[\s-]+", "_", name.strip().lower())
    if not re.fullmatch(r"[a-z][a-z_]{0,60}", written):
        raise ArgumentError(f"expected a name of letters for a code, got {name!r}")
    return written


def add_code(name: str, group: str) -> Code:
    """A new code, and with it a new version of the codebook; ArgumentError for a name or group that cannot be."""
    name = code_name(name)
    if group not in codebook.GROUPS:
        raise ArgumentError(f"expected a group of {', '.join(codebook.GROUPS)}, got {group!r}")
    with transaction.atomic():
        lock_codebook()
        if Code.objects.filter(name=name).exists():
            raise ArgumentError(f"expected a new code, but {name!r} is in the codebook")
        return Code.objects.create(name=name, group=group, since=version() + 1)


def answers(coder_pk: int | None = None) -> list[Answer]:
    """All answers of people who finished, in an order that tells nothing; one of a coder's own for a coder."""
    found = Answer.objects.filter(participant__state=progress.FINISHED).select_related("participant")
    return sorted(found, key=lambda answer: codebook.order_of(answer.pk, coder_pk))


def left() -> int:
    """How many answers nobody has coded."""
    return (
        Answer.objects.filter(participant__state=progress.FINISHED).exclude(coding__adjudicated=False).count()
    )


def latest() -> dict[int, dict[int, Coding]]:
    """The latest coding of each coder by answer: {answer: {coder: coding}}; those that settle a difference apart.

    The coders of an answer stand in the order in which they first coded it.
    """
    found: dict[int, dict[int, Coding]] = {}
    for coding in Coding.objects.filter(adjudicated=False).order_by("pk"):
        found.setdefault(coding.answer_id, {})[coding.coder_id] = coding
    return found


def settled() -> dict[int, Coding]:
    """The latest coding that settles a difference, by answer; not one that a coder has overtaken since."""
    since, found = _since(), {}
    said: dict[int, dict[int, Coding]] = {}
    then: dict[int, dict[int, Coding]] = {}
    for coding in Coding.objects.order_by("pk"):
        if coding.adjudicated:
            found[coding.answer_id] = coding
            then[coding.answer_id] = dict(said.get(coding.answer_id, {}))
        else:
            said.setdefault(coding.answer_id, {})[coding.coder_id] = coding
    return {
        answer: settling
        for answer, settling in found.items()
        if not any(
            _overtakes(coding, then[answer].get(coder), settling, since)
            for coder, coding in list(said.get(answer, {}).items())[:2]
        )
    }


def _overtakes(coding: Coding, earlier: Coding | None, settling: Coding, since: Mapping[str, int]) -> bool:
    """Whether a coder's coding says, of the codes that were settled, neither what the same coder said then nor what
    was settled.
    """
    if coding.pk < settling.pk:
        return False
    now, before, decided = (
        {name for name in one.codes if since[name] <= settling.version} if one else None
        for one in (coding, earlier, settling)
    )
    return now not in (before, decided)


def _since() -> dict[str, int]:
    return dict(Code.objects.values_list("name", "since"))


def own(answer_pk: int, coder_pk: int) -> Coding | None:
    """The coder's latest coding of an answer."""
    codings = Coding.objects.filter(answer_id=answer_pk, coder_id=coder_pk, adjudicated=False)
    return codings.order_by("pk").last()


def next_answer(coder_pk: int) -> tuple[Answer | None, Coding | None]:
    """What the coder codes next, and the own earlier coding where the codebook has grown since.

    First answers that nobody coded, then those for a second coder, then those to be looked at again. Each coder has an
    order of their own, so that two who work at once do not code the same answers.
    """
    coded, now = latest(), version()
    everything = answers(coder_pk)
    for answer in everything:
        if not coded.get(answer.pk):
            return answer, None
    for answer in everything:
        by = coded[answer.pk]
        if len(by) < 2 and coder_pk not in by and codebook.coded_twice(answer.pk, SHARE_TWICE):
            return answer, None
    for answer in everything:
        own = coded[answer.pk].get(coder_pk)
        if own is not None and own.version < now:
            return answer, own
    return None, None


def answer_of(pk: int) -> Answer:
    """An answer of somebody who finished; ArgumentError for any other, one that was withdrawn, for example."""
    found = Answer.objects.filter(pk=pk, participant__state=progress.FINISHED).first()
    if found is None:
        raise ArgumentError("expected an answer of this study; this one is no longer there: it was withdrawn")
    return found


def code(answer_pk: int, coder_pk: int, names: Iterable[str], adjudicated: bool = False) -> Coding:
    """Keep a coding; ArgumentError for a code that is not in the codebook."""
    chosen = sorted(set(names))
    unknown = sorted(set(chosen) - set(Code.objects.values_list("name", flat=True)))
    if unknown:
        raise ArgumentError(f"expected codes of the codebook, got {', '.join(unknown)}")
    answer = answer_of(answer_pk)
    return Coding.objects.create(
        answer=answer, coder_id=coder_pk, codes=chosen, version=version(), adjudicated=adjudicated
    )


def history(most: int = 200) -> list[tuple[Coding, list[str], list[str]]]:
    """The newest codings first, each with the codes that it added to, and took from, the same coder's one before.

    A coding that settles a difference is compared with the one that settled it before.
    """
    before: dict[tuple[int, int, bool], list[str]] = {}
    found = []
    for coding in Coding.objects.select_related("answer").order_by("pk"):
        key = (coding.answer_id, 0 if coding.adjudicated else coding.coder_id, coding.adjudicated)
        earlier = before.get(key, [])
        added = sorted(set(coding.codes) - set(earlier))
        found.append((coding, added, sorted(set(earlier) - set(coding.codes))))
        before[key] = coding.codes
    return found[::-1][:most]


def pairs() -> list[tuple[Answer, Coding, Coding]]:
    """The answers that two coders coded, with both codings, that of who coded it first before the other."""
    found = []
    by_answer = latest()
    for answer in answers():
        codings = list(by_answer.get(answer.pk, {}).values())
        if len(codings) >= 2:
            found.append((answer, codings[0], codings[1]))
    return found


def common() -> dict[tuple[int, int], list[tuple[Answer, Coding, Coding]]]:
    """The answers that two persons both coded, with the codings of each, by the two persons' numbers.

    The smaller number comes first, whoever coded an answer first: Cohen's kappa compares persons. The two who coded
    most answers together come first.
    """
    found: dict[tuple[int, int], list[tuple[Answer, Coding, Coding]]] = {}
    by_answer = latest()
    for answer in answers():
        codings = by_answer.get(answer.pk, {})
        for two in combinations(sorted(codings), 2):
            found.setdefault(two, []).append((answer, codings[two[0]], codings[two[1]]))
    return dict(sorted(found.items(), key=lambda one: (-len(one[1]), one[0])))


def differences() -> list[tuple[Answer, Coding, Coding]]:
    """Those of `pairs` that differ in a code that both coders have seen and that is not settled."""
    done, since = settled(), _since()
    found = []
    for answer, a, b in pairs():
        decided = done[answer.pk].version if answer.pk in done else 0
        seen = min(a.version, b.version)
        if any(decided < since[name] <= seen for name in set(a.codes) ^ set(b.codes)):
            found.append((answer, a, b))
    return found


def segments() -> list[tuple[Answer, str, str]]:
    """(answer, code, code) of the two persons who coded most answers together, of the codes that both have seen."""
    since = _since()
    found = []
    for answer, a, b in next(iter(common().values()), []):
        seen = {name for name, version in since.items() if version <= min(a.version, b.version)}
        found += [(answer, *pair) for pair in codebook.segments(seen & set(a.codes), seen & set(b.codes))]
    return found


def agreement() -> dict[tuple[int, int], list[codebook.CodeAgreement]]:
    """Agreement for each code, by the numbers of two persons, over the answers that both coded when it was in the
    codebook.
    """
    codes = list(Code.objects.order_by("group", "name"))
    found: dict[tuple[int, int], list[codebook.CodeAgreement]] = {}
    for two, coded in common().items():
        found[two] = []
        for code in codes:
            seen = [
                (set(a.codes), set(b.codes)) for _, a, b in coded if min(a.version, b.version) >= code.since
            ]
            found[two] += codebook.agreement(seen, [code.name])
    return found


def exclude(answer_pk: int, coder_pk: int, reason: str) -> None:
    """Mark the answer's participant as one who misunderstood; ArgumentError without a reason."""
    reason = reason.replace("\x00", "")  # PostgreSQL keeps none
    if not reason.strip():
        raise ArgumentError("expected a reason for leaving a participant out, got none")
    participant = answer_of(answer_pk).participant
    Exclusion.objects.update_or_create(
        participant=participant, defaults={"reason": reason.strip()[:2000], "coder_id": coder_pk}
    )


def include(exclusion_pk: int) -> None:
    """Undo an exclusion; one that is undone already stays so."""
    Exclusion.objects.filter(pk=exclusion_pk).delete()


def counting() -> dict[int, list[str]]:
    """The codes that count, by answer: those that settled a difference, else the latest of who coded it first.

    Of codes that came into the codebook after a difference was settled, that coder's count too.
    """
    done, since = settled(), _since()
    found = {answer: next(iter(codings.values())).codes for answer, codings in latest().items()}
    for answer, settling in done.items():
        later = [name for name in found.get(answer, ()) if since[name] > settling.version]
        found[answer] = sorted({*settling.codes, *later})
    return found


def final_codes() -> list[tuple[Answer, str, str]]:
    """(answer, code, group) as the analysis wants it: those that count."""
    group_of, codes = dict(Code.objects.values_list("name", "group")), counting()
    found = Answer.objects.filter(participant__state=progress.FINISHED).select_related("participant")
    return [(answer, name, group_of[name]) for answer in found for name in codes.get(answer.pk, ())]


def excluded() -> dict[int, Any]:
    """Exclusions by participant."""
    return {exclusion.participant_id: exclusion for exclusion in Exclusion.objects.all()}
