"""The pieces of a report, as Markdown and as one HTML file; knows nothing of benchmarks.

What comes from outside (names of photographs, methods, classifiers) travels as `Name` and is made harmless
where it is written.
"""

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote

THUMBNAIL = 160
"""Longest side of a picture of the gallery in HTML, in pixels."""


@dataclass(frozen=True)
class Name:
    """Text from outside, shown as code: nothing in it is markup."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Our own text, bold."""

    text: str


@dataclass(frozen=True)
class Small:
    """Our own text, below a figure."""

    text: str


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the gallery, its path relative to the folder."""

    path: str


Part = str | Name | Strong | Small | Thumbnail
Inline = Sequence[Part]


@dataclass(frozen=True)
class Heading:
    """A heading, level 1 to 3."""

    level: int
    content: Inline


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    content: Inline


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first cell of a row names it.

    `folded`: HTML shows it when asked. `instead`: what Markdown, which cannot scroll, says in its place.
    """

    caption: Inline
    header: Sequence[Inline]
    rows: Sequence[Sequence[Inline]]
    folded: bool = False
    instead: Inline = ()


@dataclass(frozen=True)
class Chart:
    """A drawing (SVG) under the name of its file, and what it shows in words."""

    file: str
    alt: str


Block = Heading | Paragraph | Table | Chart


def to_markdown(blocks: Iterable[Block]) -> str:
    """The report as GitHub-flavoured Markdown."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {_markdown(block.content)}")
        elif isinstance(block, Paragraph):
            parts.append(_markdown(block.content))
        elif isinstance(block, Chart):
            parts.append(f"![{block.alt}]({quote(block.file)})")
        elif block.instead:
            parts.append(f"{_markdown(block.caption)}. {_markdown(block.instead)}")
        else:
            lines = [block.header, [["---"]] * len(block.header), *block.rows]
            table = "\n".join(
                f"| {' | '.join(_markdown(cell, in_table=True) for cell in row)} |" for row in lines
            )
            parts += [_markdown(block.caption), table]
    return "\n\n".join(parts) + "\n"


def _markdown(content: Inline, *, in_table: bool = False) -> str:
    def one(part: Part) -> str:
        if isinstance(part, Name):
            return _code_span(part.text, in_table=in_table)
        if isinstance(part, Strong):
            return f"**{part.text}**"
        if isinstance(part, Small):
            return f" {part.text}"
        return f"![]({quote(part.path)})" if isinstance(part, Thumbnail) else part

    return "".join(map(one, content))


def _code_span(text: str, *, in_table: bool) -> str:
    text = printable(text).strip() or "?"
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    if in_table:  # cells are cut before code is seen, also at a bar behind a backslash
        text = (
            text.replace("\\", "\\\u200b").replace("|", "\\|") if "\\|" in text else text.replace("|", "\\|")
        )
    return f"{fence}{pad}{text}{pad}{fence}"


def to_html(blocks: Sequence[Block], folder: Path, charts: dict[str, str]) -> str:
    """The report as one HTML file; pictures of `folder` and `charts` (file name -> SVG) are put into it."""
    body, sections = [], []
    for block in blocks:
        if isinstance(block, Heading):
            text = _html(block.content, folder)
            mark = ""
            if block.level == 2:
                sections.append(text)
                mark = f' id="section-{len(sections)}"'
            body.append(f"<h{block.level}{mark}>{text}</h{block.level}>")
        elif isinstance(block, Paragraph):
            body.append(f"<p>{_html(block.content, folder)}</p>")
        elif isinstance(block, Chart):
            image = _data_uri("image/svg+xml", charts[block.file].encode())
            body.append(
                f'<div class="scroll"><img class="chart" src="{image}" alt="{html.escape(block.alt)}"></div>'
            )
        else:
            body.append(_html_table(block, folder))
    links = "".join(f'<li><a href="#section-{n}">{text}</a></li>' for n, text in enumerate(sections, 1))
    body.insert(1, f"<nav><ul>{links}</ul></nav>")
    template = (
        resources.files("occlumap.evaluation").joinpath("templates/report.html").read_text(encoding="utf-8")
    )
    title = re.sub("<[^>]*>", "", body[0])
    return Template(template).substitute(title=title, body="\n".join(body))


def _html(content: Inline, folder: Path) -> str:
    def one(part: Part) -> str:
        if isinstance(part, Thumbnail):
            return _html_thumbnail(folder / part.path)
        if isinstance(part, str):
            return html.escape(part)
        if isinstance(part, Strong) and part.text.startswith("-"):
            return f'<strong class="minus">{html.escape(part.text)}</strong>'
        tag = {Name: "code", Strong: "strong", Small: "small"}[type(part)]
        return f"<{tag}>{html.escape(printable(part.text))}</{tag}>"

    return "".join(map(one, content))


def _html_table(table: Table, folder: Path) -> str:
    caption = _html(table.caption, folder)
    header = "".join(f'<th scope="col">{_html(cell, folder)}</th>' for cell in table.header)
    rows = []
    for first, *others in table.rows:
        cells = "".join(f"<td>{_html(cell, folder)}</td>" for cell in others)
        rows.append(f'<tr><th scope="row">{_html(first, folder)}</th>{cells}</tr>')
    start = '<table class="wide">' if len(table.header) > 12 else "<table>"
    inside = f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody>"
    if table.folded:
        scroll = f'<div class="scroll" tabindex="0">{start}{inside}</table></div>'
        return f"<details><summary>{caption}</summary>{scroll}</details>"
    return f'<div class="scroll" tabindex="0">{start}<caption><span>{caption}</span></caption>{inside}</table></div>'


def _html_thumbnail(path: Path) -> str:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        data = io.BytesIO()
        small.save(data, "JPEG", quality=80)
    except (
        OSError,
        ValueError,
        Image.DecompressionBombError,
    ):  # an unfinished picture must not cost the report
        return "not readable"
    return f'<img src="{_data_uri("image/jpeg", data.getvalue())}" alt="" width="{small.width}">'


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def printable(text: str) -> str:
    """`text` on one line: what cannot be seen (line breaks, direction marks, half characters) as its escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
