"""Bytes in an image's file that are not of the picture, and names that tell something."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from occlumap.stimuli.hidden import format_of, hidden_in, tells


def saved(kind, **options):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_segment(marker, body):
    content = saved("JPEG")
    return content[:2] + bytes([0xFF, marker]) + (2 + len(body)).to_bytes(2, "big") + body + content[2:]


def with_chunk(name, body):
    content = saved("WEBP") + name + len(body).to_bytes(4, "little") + body
    return content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "quality": 95}),
        ("JPEG", {"optimize": True, "subsampling": 0}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
    ],
)
def test_a_plain_picture_hides_nothing(kind, options):
    content = saved(kind, **options)
    assert hidden_in(content) == []
    assert format_of(content).upper() == kind


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (with_segment(0xEB, b"cat TP"), "an APP11 segment of 6 bytes"),
        (with_segment(0xE0, b"JFXX" + b"cat TP"), "an APP0 segment of 10 bytes"),
        (with_segment(0xFE, b"cat TP"), "a COM segment of 6 bytes"),
        (saved("JPEG", comment=b"cat"), "a COM segment of 3 bytes"),
        (saved("JPEG") + b"cat TP", "6 bytes after its end"),
        (saved("JPEG")[:-200], "no end: the file is cut off"),
        (with_chunk(b"NOTE", b"cat TP"), "a chunk 'NOTE' of 6 bytes"),
        (saved("WEBP", xmp=b"<x>cat</x>"), "a chunk 'XMP' of 10 bytes"),
        (saved("WEBP") + b"cat TP", "6 bytes after its end"),
        (saved("WEBP")[:-30], "no end: the file is cut off"),
        (saved("PNG") + b"cat", "3 bytes after its end"),
        (b"cat TP", "bytes of no image format of a browser's (JPEG, WebP or PNG)"),
    ],
)
def test_what_is_not_of_the_picture_is_named(content, found):
    assert found in hidden_in(content)


def test_text_in_a_png_and_a_name_of_another_format_are_named():
    text = PngImagePlugin.PngInfo()
    text.add_text("class", "cat")
    assert hidden_in(saved("PNG", pnginfo=text), "a.png") == ["a chunk 'tEXt' of 9 bytes"]
    assert hidden_in(saved("PNG"), "a.webp") == ["PNG under a name that ends in .webp"]


def test_hashes_are_hardly_ever_suspected():
    told = [tells(hashlib.sha256(str(one).encode()).hexdigest()[:32]) for one in range(2000)]
    assert sum(one is not None for one in told) < 20
