"""What a picture's file holds beside the picture: segments, chunks and bytes that a browser gets and does not show."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

JPEG, WEBP, PNG = b"\xff\xd8", b"RIFF", b"\x89PNG\r\n\x1a\n"
_WEBP_NEEDED = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
_PNG_NEEDED = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sRGB", b"gAMA", b"cHRM", b"pHYs"}
_ENDINGS = {"JPEG": (".jpg", ".jpeg"), "WebP": (".webp",), "PNG": (".png",)}
_LEAST_DIGITS = 8
"""Of 32 random hexadecimal digits fewer than eight different ones come less than once in 100 million."""


def format_of(content: bytes) -> str:
    """The format by its first bytes: "JPEG", "WebP" or "PNG", or "" for another."""
    if content.startswith(JPEG):
        return "JPEG"
    if content.startswith(WEBP) and content[8:12] == b"WEBP":
        return "WebP"
    return "PNG" if content.startswith(PNG) else ""


def hidden_in(content: bytes, name: str = "") -> list[str]:
    """What a file of an image holds that the picture does not need, in words; [] when there is nothing.

    JPEG: comments and application segments but JFIF's and Adobe's of their fixed length. WebP and PNG: chunks that are
    not of the picture. All: bytes after the image's end, an image cut off, and an ending of another format in `name`.
    What the pixels themselves may hide is not looked for.

    >>> hidden_in(bytes.fromhex("ffd8fffe000563617 4ffd9".replace(" ", "")) + b"TP")
    ['a COM segment of 3 bytes', '2 bytes after its end']
    """
    kind = format_of(content)
    if not kind:
        return ["bytes of no image format of a browser's (JPEG, WebP or PNG)"]
    found = list({"JPEG": _jpeg, "WebP": _webp, "PNG": _png}[kind](content))
    ending = PurePosixPath(name).suffix
    if ending and ending not in _ENDINGS[kind]:
        found.append(f"{kind} under a name that ends in {ending}")
    return found


def tells(stem: str) -> str | None:
    """What is wrong with 32 hexadecimal digits as an opaque name, in words; None when nothing is.

    Of hashes it suspects 3 in 1000 of being text.

    >>> tells("0" * 31 + "1")
    'has only 2 different digits, as numbers that count do'
    >>> tells("cat_TP_2008_0001".encode().hex())
    'is hexadecimal for "cat_TP_2008_0001"'
    """
    text = re.search(rb"[\x20-\x7e]{8,}", bytes.fromhex(stem))
    if text is not None:
        return f'is hexadecimal for "{text.group().decode()}"'
    if len(set(stem)) < _LEAST_DIGITS:
        return f"has only {len(set(stem))} different digits, as numbers that count do"
    return None


def _jpeg(content: bytes) -> Iterator[str]:
    place = 2
    while place + 2 <= len(content):
        if content[place] != 0xFF:
            yield f"bytes between its segments at {place}"
            return
        marker = content[place + 1]
        if marker == 0xFF:  # fill bytes are allowed, and hide nothing
            place += 1
            continue
        if marker == 0xD9:
            if len(content) > place + 2:
                yield f"{len(content) - place - 2} bytes after its end"
            return
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        body = content[place + 4 : place + 2 + length]
        if length < 2 or len(body) < length - 2:
            break
        if marker == 0xFE:
            yield f"a COM segment of {len(body)} bytes"
        elif 0xE0 <= marker <= 0xEF:
            jfif = marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) == 14
            adobe = marker == 0xEE and body[:5] == b"Adobe" and len(body) == 12
            if not jfif and not adobe:
                yield f"an APP{marker - 0xE0} segment of {len(body)} bytes"
        elif not (0xC0 <= marker <= 0xCF or 0xDA <= marker <= 0xDD) or marker == 0xC8:
            yield f"an unknown segment {marker:02x} of {len(body)} bytes"
        place += 2 + length
        if marker == 0xDA:  # the scan: up to the next marker that is neither a stuffed 0 nor a restart
            following = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL).search(content, place)
            if following is None:
                break
            place = following.start()
    yield "no end: the file is cut off"


def _webp(content: bytes) -> Iterator[str]:
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        yield "no end: the file is cut off"
        return
    place = 12
    while place + 8 <= end:
        name, length = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if place + 8 + length > end:
            yield f"a chunk {_word(name)} that is cut off"
        if name not in _WEBP_NEEDED:
            yield f"a chunk {_word(name)} of {length} bytes"
        place += 8 + length + length % 2
    if place < end:
        yield f"{end - place} bytes after its last chunk"
    if len(content) > end:
        yield f"{len(content) - end} bytes after its end"


def _png(content: bytes) -> Iterator[str]:
    place = len(PNG)
    while place + 12 <= len(content):
        length, name = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if name not in _PNG_NEEDED:
            yield f"a chunk {_word(name)} of {length} bytes"
        place += 12 + length
        if name == b"IEND":
            if len(content) > place:
                yield f"{len(content) - place} bytes after its end"
            return
    yield "no end: the file is cut off"


def _word(name: bytes) -> str:
    return repr(name.decode("latin-1").strip())
