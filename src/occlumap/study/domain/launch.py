"""What stands between a configuration and real people: everything that must be mended before a launch."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from occlumap.study.domain import colours, stimulus_set, wording
from occlumap.study.domain import texts as own_texts
from occlumap.study.domain.configuration import MARK, PLACEHOLDERS, Configuration

_NO_WORDS = {
    "jfif",
    "jfif_version",
    "jfif_unit",
    "jfif_density",
    "adobe",
    "adobe_transform",
    "progressive",
    "progression",
    "dpi",
    "aspect",
    "gamma",
    "srgb",
    "chromaticity",
    "transparency",
    "interlace",
    "icc_profile",
    "version",
    "background",
    "loop",
    "duration",
    "timestamp",
    "extension",
}
"""What Pillow tells of a file that says how to show the picture, and nothing else."""

_FILLED_BY_US = (*PLACEHOLDERS, "title", "base", "per_correct", "maximum", "tasks", "examples")


def faults(configuration: Configuration) -> list[str]:
    """What must be mended before real people take part; an empty list is well.

    Placeholders that are not filled in, texts that are empty, name money themselves or do not name it, completion codes
    that cannot be told apart, a stimulus set that lacks heatmaps or images or gives tasks away, colours of too little
    contrast, quotas that cannot be met.
    """
    people = configuration.values["people"].items()
    return [
        *(f"people.{name} is not filled in" for name, value in people if wording.is_unfilled(str(value))),
        *_texts(configuration),
        *_stimuli(configuration),
        *colours.faults(configuration.values["colours"]),
        *_quotas(configuration),
        *_ends(configuration),
        *_signed_links(configuration),
    ]


def notes(configuration: Configuration) -> list[str]:
    """What is to be known before real people take part, and may be so."""
    if configuration.values["signed_links"]["keys"]:
        return []
    return [
        "links are not signed (signed_links): whoever knows or makes up a PROLIFIC_PID enters as that person, so look "
        "at the ids in bonuses.csv before they are paid"
    ]


def _texts(configuration: Configuration) -> Iterator[str]:
    own = configuration.own_texts
    currency, numbers = configuration.values["payment"]["currency"], _numbers(configuration)
    texts = {
        "title": configuration.values["title"],
        "information": own["information"],
        "consent": own["consent"],
    }
    for at, page in enumerate(own["instructions"], start=1):
        texts[f"instructions page {at}"] = page["text"]
    for at, question in enumerate(configuration.own_questions, start=1):
        texts[f"question {at}"] = question
    for name, text in texts.items():
        if not text.strip():
            yield f"the text {name} is empty"
        for said in wording.amounts(text, currency):
            yield f"the text {name} says {said!r}: money comes from `payment`, by {{{{ base }}}} and the like"
        for said in wording.unfilled_inside(text):
            yield f"the text {name} says {said!r}: it is not filled in"
        for said, number, kind in wording.counts(text):
            if number not in numbers[kind]:
                yield f"the text {name} says {said!r}, and there are {len(configuration.tasks)}: write {{{{ tasks }}}}"
        for word in MARK.findall(text):
            outcome = word.partition("_")[2]
            if name.startswith("instructions") and word in own_texts.FIGURES:
                if word not in own_texts.FORMS and configuration.example(outcome) is None:
                    yield f"the text {name} shows {{{{ {word} }}}}, and no example of the stimulus set is {outcome}"
            elif word not in _FILLED_BY_US:
                yield f"the text {name} has an unknown {{{{ {word} }}}}"
        if re.search(r"[{}]", MARK.sub("", text)):
            yield f"the text {name} has a brace that belongs to no {{{{ name }}}}"
    filled_in = MARK.findall(own["information"])
    for name in ("base", "per_correct"):
        if configuration.money(name) and name not in filled_in:
            yield f"the text information does not say {{{{ {name} }}}}: people agree without knowing what they get"


def _numbers(configuration: Configuration) -> dict[str, set[int]]:
    """Which numbers texts may name of what, as `wording.counts` tells it.

    Photos may be those of tasks, of a class or of a task's examples, questions those of tasks or of comprehension.
    """
    tasks = configuration.tasks.values()
    asked = [
        len(configuration.questions(scores, heatmap))
        for scores in configuration.values["scores"]
        for heatmap in configuration.values["heatmaps"]
    ]
    of_class = {sum(task["class"] == name for task in tasks) for name in configuration.classes}
    return {
        "task": {len(tasks)},
        "task of a class": {len(tasks), *of_class},  # or "14 tasks for each of you"
        "photo": {len(tasks), *of_class, *(len(task["examples"]) for task in tasks)},
        "question": {len(tasks), *asked},
    }


def _stimuli(configuration: Configuration) -> Iterator[str]:
    shown = [name for name in configuration.values["heatmaps"] if name != "none"]
    tasks = configuration.tasks.values()
    for task in tasks:
        for example in task["examples"]:
            missing = [name for name in shown if not (example.get("heatmaps") or {}).get(name)]
            if missing:
                yield f"an example of task {task['id']} has no heatmap {', '.join(missing)}"
                break
    frozen = configuration.manifest.get("files")
    for name, path in configuration.images.items():
        if not path.is_file():
            yield f"the image {name} is not there"
            continue
        if isinstance(frozen, dict) and frozen.get(name) != configuration.images_sha256[name]:
            yield f"the image {name} is not the one of the manifest (`files`): it has changed since the set was frozen"
        carried = _carried(path)
        if carried is None:
            yield f"the image {name} cannot be read as a picture"
        elif carried:
            yield f"the image {name} carries metadata ({', '.join(carried)}), which may give its task away: remove it"
    words = {"tp", "fp", "fn", "tn", *map(str.lower, configuration.classes)}
    for task in tasks:
        if words & set(re.split(r"[^a-z]+", Path(task["image"]).stem.lower())):
            yield f"the file name {task['image']} gives its task away"
    yield from stimulus_set.faults(
        configuration.manifest, (configuration.folder / configuration.values["stimuli"]).parent
    )


def _carried(path: Path) -> list[str] | None:
    """The names of what an image's file holds in words beside the picture; None for what is no picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.format not in ("PNG", "JPEG", "WEBP", "GIF"):
                return None
            picture.load()  # texts of a PNG may follow the picture
            found = {str(key) for key in picture.info} - _NO_WORDS | set(getattr(picture, "text", ()))
            return sorted(found | ({"exif"} if picture.getexif() else set()))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _quotas(configuration: Configuration) -> Iterator[str]:
    """Which quotas cannot be met."""
    quota, places = configuration.values["quota_per_cell"], configuration.values["places"]
    needed, orders = quota * len(configuration.cells), len(configuration.classes)
    if places and places < needed:
        yield (
            f"places is {places}, but {len(configuration.cells)} cells of quota_per_cell {quota} need {needed}: no "
            "quota would be met"
        )
    if quota < orders:
        yield f"quota_per_cell is {quota}, fewer than the {orders} orders of classes that a cell is to have"
    for scores in configuration.values["scores"]:
        for heatmap in configuration.values["heatmaps"]:
            if not configuration.questions(scores, heatmap):
                yield f"the condition {heatmap}:{scores} has no comprehension question"
            if not configuration.own_pages(scores, heatmap):
                yield f"the condition {heatmap}:{scores} has no instructions"


def _ends(configuration: Configuration) -> Iterator[str]:
    """How people are led back."""
    codes = {name: str(code).strip() for name, code in configuration.values["codes"].items()}
    yield from (f"codes.{name} is empty" for name, code in codes.items() if not code)
    for one, other in combinations(("completed", "no_consent", "over_quota", "screened_out"), 2):
        pays_alike = (one, other) == ("over_quota", "screened_out")
        if codes[one] and codes[one] == codes[other] and not pays_alike:
            yield f"codes.{one} is {codes[one]!r}, that of {other} too: who is to be paid could not be told"
    url = configuration.values["completion_url"]
    if not url:
        yield "completion_url is empty: participants would not be led back"
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or re.search(r"\s", url) or "#" in url:
        yield f"completion_url is {url!r}, not an address to which cc= and a code can be added"
    elif "cc" in parse_qs(parts.query, keep_blank_values=True):
        yield "completion_url has a code in it (cc=): leave it out there, and write it under `codes`"


def _signed_links(configuration: Configuration) -> Iterator[str]:
    """How links that Prolific signs let people in."""
    signed = configuration.values["signed_links"]
    keys = signed["keys"]
    if not keys:
        return
    if not signed["study_id"]:
        yield (
            "signed_links.study_id is empty: links that are signed for another study would let people in; write the "
            "STUDY_ID of Prolific there"
        )
    if keys.startswith("https://"):
        return
    try:
        found = json.loads((configuration.folder / keys).read_text(encoding="utf-8"))["keys"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        yield f"signed_links.keys is {keys!r}, neither an address with https:// nor a file of keys (JWKS)"
        return
    if not (isinstance(found, list) and any(map(_is_key, found))):
        yield (
            f"signed_links.keys is {keys!r}, a file without a key that can be used (kty RSA, with kid, n and e): "
            "nobody would be let in"
        )


def _is_key(one: object) -> bool:
    """Whether it is a public RSA key of a JWKS, with a name."""
    return (
        isinstance(one, dict)
        and one.get("kty") == "RSA"
        and all(
            isinstance(one.get(name), str) and re.fullmatch(r"[A-Za-z0-9_-]+", one[name])
            for name in ("n", "e")
        )
        and bool(one.get("kid"))
    )
