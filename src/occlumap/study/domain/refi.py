"""REFI-QDA 1.0, by which programs of qualitative analysis exchange codebooks (.qdc) and coded projects (.qdpx).

A group is a parent code that cannot be chosen itself. An answer is a plain text of its own, and what one coder said of
it one selection over the whole text: without a code where the coder chose none.
"""

import io
import lzma
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree
from xml.parsers import expat

from occlumap.errors import FileFormatError

CODEBOOK, PROJECT = "urn:QDA-XML:codebook:1.0", "urn:QDA-XML:project:1.0"
SETTLED = "settled"
"""The name of a selection that settles a difference."""

_VERSION = "codebook version "
"""Begins the description of a selection; its number follows."""

_NAMESPACE = uuid.UUID("6c1f6b52-6d3b-5c0c-9a50-4a6f0f0a3a10")
_MOST = 64 * 2**20
"""Bytes that a project may hold unpacked."""

_MOST_MEMBERS = 100_000
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(KeyError, ValueError, RuntimeError, NotImplementedError),
)
"""What reading an archive raises that is none, or is damaged or encrypted."""


@dataclass(frozen=True)
class Coded:
    """What `coder` said of the answer that the text `source` names; `settles`: it settles a difference.

    `version`: of the codebook then; None where a file does not say.
    """

    source: str
    coder: str
    codes: tuple[str, ...]
    settles: bool = False
    version: int | None = None


def guid(*what: object) -> str:
    """The same id for the same thing, each time that it is exported.

    >>> guid("code", "ears") == guid("code", "ears") != guid("code", "nose")
    True
    """
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(map(str, what)))).upper()


def codebook_file(codes: Sequence[tuple[str, str]]) -> bytes:
    """The codebook, given as (code, group), as a .qdc file."""
    root = ElementTree.Element("CodeBook", {"xmlns": CODEBOOK, "origin": "occlumap"})
    _codes(root, codes)
    return _bytes(root)


def read_codebook(data: bytes) -> list[tuple[str, str]]:
    """(code, group) of a .qdc file, in its order; the group is the outermost parent code, else a set, else "".

    Raises FileFormatError for another file.
    """
    root = _parsed(data, "a REFI-QDA codebook (.qdc)")
    if _name(root) != "CodeBook":
        raise FileFormatError(
            f"expected a REFI-QDA codebook (.qdc), got XML that begins with {_name(root)!r}"
        )
    return [(name, group) for _, name, group in _read_codes(root)]


def project_file(
    title: str,
    codes: Sequence[tuple[str, str]],
    texts: Mapping[str, str],
    coded: Iterable[Coded],
    at: datetime,
) -> bytes:
    """A coded project as a .qdpx file. `texts`: by name, every answer, also those that nobody coded."""
    by_source: dict[str, list[Coded]] = {name: [] for name in texts}
    for one in coded:
        by_source[one.source].append(one)
    coders = sorted({one.coder for many in by_source.values() for one in many}) or ["nobody"]
    made = {"creatingUser": guid("coder", coders[0]), "creationDateTime": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    head = {"xmlns": PROJECT, "name": title, "origin": "occlumap"}
    head |= {"creatingUserGUID": made["creatingUser"], "creationDateTime": made["creationDateTime"]}
    root = ElementTree.Element("Project", head)
    users = ElementTree.SubElement(root, "Users")
    for coder in coders:
        ElementTree.SubElement(users, "User", {"guid": guid("coder", coder), "name": coder})
    _codes(ElementTree.SubElement(root, "CodeBook"), codes)
    if texts:  # the standard knows no empty list
        sources = ElementTree.SubElement(root, "Sources")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text in texts.items():
            of = {
                "guid": guid("text", name),
                "name": name,
                "plainTextPath": f"internal://{guid('text', name)}.txt",
            }
            source = ElementTree.SubElement(sources, "TextSource", {**of, **made})
            for one in by_source[name]:
                _selection(source, one, len(text), made)
            zipped.writestr(f"Sources/{guid('text', name)}.txt", text.encode())
        zipped.writestr("project.qde", _bytes(root))
    return buffer.getvalue()


def _selection(source: ElementTree.Element, one: Coded, length: int, made: Mapping[str, str]) -> None:
    by = {**made, "creatingUser": guid("coder", one.coder)}
    what = (one.source, one.coder, one.settles)
    of = {"guid": guid("selection", *what), "name": SETTLED if one.settles else "coding"}
    of |= {"startPosition": "0", "endPosition": str(length), **by}
    selection = ElementTree.SubElement(source, "PlainTextSelection", of)
    if one.version is not None:
        ElementTree.SubElement(selection, "Description").text = f"{_VERSION}{one.version}"
    for code in one.codes:
        coding = ElementTree.SubElement(selection, "Coding", {"guid": guid("coding", *what, code), **by})
        ElementTree.SubElement(coding, "CodeRef", {"targetGUID": guid("code", code)})


def read_project(data: bytes) -> tuple[list[tuple[str, str]], list[Coded]]:
    """The codebook and the codings of a .qdpx file.

    A coder may have selected parts of a text: the codes of all parts count, with the oldest version that a part tells.
    Texts are known by their names. Raises FileFormatError for another file, or one that refers to what is not in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            members = zipped.infolist()
            if len(members) > _MOST_MEMBERS or sum(one.file_size for one in members) > _MOST:
                raise FileFormatError(
                    f"expected a project of {_MOST_MEMBERS} files and {_MOST // 2**20} MiB at most, got a greater one"
                )
            document = zipped.read("project.qde")
    except FileFormatError:
        raise
    except _DAMAGED as error:
        raise FileFormatError(
            f"expected a REFI-QDA project (.qdpx): a zip archive with project.qde ({type(error).__name__}: {error})"
        ) from error
    root = _parsed(document, "the project.qde of a REFI-QDA project")
    found = list(_read_codes(root))
    names = {key: name for key, name, _ in found}
    coders = {_key(one, "guid"): one.get("name", "") for one in _all(root, "User")}
    said: dict[tuple[str, str, bool], list[str]] = {}
    versions: dict[tuple[str, str, bool], int] = {}
    for source in _all(root, "TextSource"):
        for selection in _all(source, "PlainTextSelection"):
            settles = selection.get("name") == SETTLED
            codings = list(_all(selection, "Coding"))
            for coding in codings or [selection]:
                by = _key(coding, "creatingUser") or _key(selection, "creatingUser")
                key = (source.get("name", ""), coders.get(by, ""), settles)
                codes = said.setdefault(key, [])
                if version := _version(selection):
                    versions[key] = min(version, versions.get(key, version))
                for reference in _all(coding, "CodeRef"):
                    target = _key(reference, "targetGUID")
                    if target not in names:
                        raise FileFormatError(
                            f"expected every code that is referred to in the project, lacks {target}"
                        )
                    codes.append(names[target])
    return [(name, group) for _, name, group in found], [
        Coded(*key[:2], tuple(dict.fromkeys(codes)), key[2], versions.get(key)) for key, codes in said.items()
    ]


def _version(selection: ElementTree.Element) -> int | None:
    told = "".join(one.text or "" for one in selection if _name(one) == "Description")
    number = re.fullmatch(rf"\s*{_VERSION}([0-9]{{1,9}})\s*", told)
    return int(number[1]) if number else None


def _codes(parent: ElementTree.Element, codes: Sequence[tuple[str, str]]) -> None:
    inside = ElementTree.SubElement(parent, "Codes")
    for group in dict.fromkeys(group for _, group in codes):
        of = {"guid": guid("group", group), "name": group, "isCodable": "false"}
        outer = ElementTree.SubElement(inside, "Code", of)
        for name, belongs in codes:
            if belongs == group:
                of = {"guid": guid("code", name), "name": name, "isCodable": "true"}
                ElementTree.SubElement(outer, "Code", of)


def _read_codes(root: ElementTree.Element) -> Iterator[tuple[str, str, str]]:
    """(guid, name, group) of each code that can be chosen."""
    in_set = {
        _key(member, "targetGUID") or _key(member, "guid"): one.get("name", "")
        for one in _all(root, "Set")
        for member in _all(one, "MemberCode")
    }

    for codes in _all(root, "Codes"):
        waiting = [(child, "") for child in reversed(codes)]
        while waiting:  # no recursion: codes may stand in codes without end
            child, outermost = waiting.pop()
            if _name(child) != "Code":
                continue
            name = child.get("name", "")
            if child.get("isCodable", "true").strip() in ("true", "1"):
                key = _key(child, "guid")
                yield key, name, outermost or in_set.get(key, "")
            waiting += [(inner, outermost or name) for inner in reversed(child)]


def _parsed(data: bytes, what: str) -> ElementTree.Element:
    """The document, unless it declares a type of its own: entities, which could grow without end, are not taken."""

    def refuse(*_: object) -> None:
        raise FileFormatError(f"expected {what} without a DOCTYPE, got one with")

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    try:
        guard.Parse(data, True)
        return ElementTree.fromstring(data)  # noqa: S314 - no DOCTYPE, so no entities
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"expected {what}, got no XML ({error})") from error


def _all(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (one for one in element.iter() if _name(one) == name)


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _key(element: ElementTree.Element, name: str) -> str:
    return element.get(name, "").strip("{} ").upper()


def _bytes(root: ElementTree.Element) -> bytes:
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
