"""The report as files: self-contained HTML, PDF, and each figure as SVG."""

import html
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from occlumap.analysis.document import Section, Table
from occlumap.analysis.figures import saved, svg
from occlumap.errors import OcclumapWarning

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; font-size: 13px; margin: .5rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
td.number { white-space: nowrap; }
.scroll { overflow-x: auto; }
.call, figcaption, .mark { color: #555; font-size: 12px; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
"""


def write(found: Sequence[Section], values: Mapping[str, Any], out: Path) -> list[Path]:
    """results.json, report.html, report.pdf and the figures in the folder `out`; their paths.

    They take an earlier set's place once all are whole, so that a run that is stopped leaves that one as it was.
    Without report.pdf, and with a warning, where that cannot be made.
    """
    from reportlab.platypus.doctemplate import LayoutError

    for left in out.glob(f"{_UNFINISHED}*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=out) as temporary:
        folder = Path(temporary)
        results = folder / "results.json"
        results.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        write_html(found, folder / "report.html")
        made = [results, folder / "report.html"]
        try:
            write_pdf(found, folder / "report.pdf")
            made.append(folder / "report.pdf")
        except (ArithmeticError, LookupError, TypeError, ValueError, LayoutError) as error:
            (out / "report.pdf").unlink(missing_ok=True)
            told = f"report.pdf could not be made ({type(error).__name__}: {error}); please report it."
            warnings.warn(told, OcclumapWarning, stacklevel=2)
        made += figure_files(found, folder)
        for earlier in out.glob("figure-*.svg"):
            if _FIGURE.fullmatch(earlier.name) and not (folder / earlier.name).exists():
                earlier.unlink()
        for path in made:
            path.replace(out / path.name)
    return [out / path.name for path in made]


_UNFINISHED = ".unfinished-"
_FIGURE = re.compile(r"figure-(2[5-9]|28[b-z])\.svg")
"""What `figures` names its own; others in the folder are left alone."""


def write_html(found: Sequence[Section], path: Path) -> None:
    """One file that needs no other, figures as SVG in it."""
    parts = [
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Analysis of the study</title><style>{STYLE}</style>",
        "<h1>Analysis of the study</h1>",
    ]
    for section in found:
        parts.append(f"<h2>{html.escape(section.title)}</h2>{_mark(section)}")
        parts += [f"<p>{html.escape(text)}</p>" for text in section.paragraphs]
        for _, caption, figure in section.figures:
            parts.append(f"<figure>{svg(figure)}<figcaption>{html.escape(caption)}</figcaption></figure>")
        for table in section.tables:
            names = (html.escape(str(cell)).replace("_", "_<wbr>") for cell in table.header)
            head = "".join(f"<th scope=col>{name}</th>" for name in names)
            rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
            parts.append(
                f"<div class=scroll><table><caption>{html.escape(table.title)}</caption><thead><tr>{head}</tr></thead>"
                f"<tbody>{rows}</tbody></table></div><p class=call>{html.escape(table.call)}</p>"
            )
    path.write_text("\n".join(parts) + "\n</html>\n", encoding="utf-8")


def _cell(text: str) -> str:
    return f"<td{' class=number' if _is_number(text) else ''}>{html.escape(text)}</td>"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _mark(section: Section) -> str:
    if section.exploratory is None:
        return ""
    told = (
        "Exploratory: not in the frozen plan."
        if section.exploratory
        else "Confirmatory: in the frozen plan. What is exploratory is marked."
    )
    return f"<p class=mark>{told}</p>"


PADDING = 2
"""Points at both sides of a cell of the PDF."""

TALLEST = 400
"""Points of a cell of the PDF; a longer text is cut, as a row cannot be longer than a page."""

FONT = "DejaVuSans"
"""Matplotlib's own, for letters that PDF's fonts do not have: those beyond Latin-1."""


def write_pdf(found: Sequence[Section], path: Path) -> None:
    """The same as PDF (A4), with reportlab. Warns of letters that it has no font for."""
    import io

    import matplotlib as mpl
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.platypus import (
        CondPageBreak,
        Image,
        LongTable,
        Paragraph,
        SimpleDocTemplate,
        Spacer,
        TableStyle,
    )

    font = TTFont(FONT, str(Path(mpl.get_data_path(), f"fonts/ttf/{FONT}.ttf")))
    pdfmetrics.registerFont(font)
    written = {
        letter for section in found for text in _texts(section) for letter in text if letter.isprintable()
    }
    missing = sorted(letter for letter in written if ord(letter) not in font.face.charToGlyph)
    if missing:
        told = f"{''.join(missing[:20])}{'...' if len(missing) > 20 else ''}"
        warnings.warn(
            f"report.pdf has no font for {told}: they stand as boxes there; report.html has them",
            OcclumapWarning,
            stacklevel=2,
        )
    styles = getSampleStyleSheet()
    styles["Heading2"].keepWithNext = 1  # no heading alone at the foot of a page
    small = styles["BodyText"].clone("small", fontSize=6.5, leading=8)
    flow: list[Any] = [Paragraph("Analysis of the study", styles["Title"])]
    document = SimpleDocTemplate(
        str(path), pagesize=A4, title="Analysis of the study", invariant=1, leftMargin=36, rightMargin=36
    )
    ruled = TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
            ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
            ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )

    def in_cell(text: str, width: float) -> Any:
        paragraph = Paragraph(_marked(text), small)
        while len(text) > 4 and (height := paragraph.wrap(width - 2 * PADDING, 1e6)[1]) > TALLEST:
            text = f"{text[: min(len(text) - 4, int(len(text) * TALLEST / height) - 3)]}..."
            paragraph = Paragraph(_marked(text), small)
        return paragraph

    for section in found:
        flow.append(Paragraph(_marked(section.title), styles["Heading2"]))
        if section.exploratory is not None:
            flow.append(Paragraph("Exploratory" if section.exploratory else "Confirmatory", small))
        flow += [Paragraph(_marked(text), styles["BodyText"]) for text in section.paragraphs]
        for _, caption, figure in section.figures:
            buffer = io.BytesIO()
            saved(figure, buffer, format="png", dpi=200)
            buffer.seek(0)
            width, height = figure.get_size_inches()
            scale = min(1.0, document.width / (width * 72))
            flow += [
                Spacer(1, 6),
                Image(buffer, width * 72 * scale, height * 72 * scale),
                Paragraph(_marked(caption), small),
            ]
        for table in section.tables:
            widths = _widths(table, document.width, small.fontSize, 2 * PADDING + 1)
            cells = [
                [in_cell(cell, width) for cell, width in zip(row, widths, strict=True)]
                for row in ([name.replace("_", "_ ") for name in table.header], *table.rows)
            ]
            flow += [
                CondPageBreak(80),  # no title alone at the foot of a page
                Paragraph(f"<b>{_marked(table.title)}</b>", small),
                LongTable(cells, colWidths=widths, repeatRows=1, style=ruled, hAlign="LEFT"),
                Paragraph(_marked(table.call), small),
                Spacer(1, 6),
            ]
    document.build(flow)


def _texts(section: Section) -> Iterator[str]:
    yield section.title
    yield from section.paragraphs
    for table in section.tables:
        yield from (table.title, *table.header, table.call)
        for row in table.rows:
            yield from row
    yield from (caption for _, caption, _ in section.figures)


_NOT_LATIN = re.compile("[^\x00-\xff]+")


def _marked(text: str) -> str:
    """As reportlab's markup, what is not Latin-1 in FONT."""
    return _NOT_LATIN.sub(lambda found: f'<font name="{FONT}">{found[0]}</font>', html.escape(text))


def _widths(table: Table, width: float, size: float, padding: float) -> list[float]:
    """Room for each column's longest word, the widest columns' broken where it must be; the rest for those with longer
    texts.
    """
    from reportlab.pdfbase.pdfmetrics import stringWidth

    def longest(texts: Iterable[str]) -> float:
        return max(
            (stringWidth(text, FONT if _NOT_LATIN.search(text) else "Helvetica", size) for text in texts),
            default=0.0,
        )

    columns = [
        ([*name.split("_"), *(word for cell in cells for word in cell.split())], [name, *cells])
        for name, *cells in zip(table.header, *table.rows, strict=True)
    ]
    least = [longest(words) + padding for words, _ in columns]
    wanted = [longest(texts) + padding - one for (_, texts), one in zip(columns, least, strict=True)]
    left = max(0.0, width - sum(least))
    more = min(1.0, left / sum(wanted)) if sum(wanted) else 0.0
    return [one + more * extra for one, extra in zip(_fitted(least, width), wanted, strict=True)]


def _fitted(widths: Sequence[float], total: float) -> list[float]:
    """The widths, the largest of them cut to one size so that they take `total` at most."""
    left = total
    for at, one in enumerate(sorted(widths)):
        share = left / (len(widths) - at)
        if one > share:
            return [min(width, share) for width in widths]
        left -= one
    return list(widths)


def figure_files(found: Sequence[Section], folder: Path) -> Iterator[Path]:
    """Each figure as an SVG file in `folder`."""
    for section in found:
        for name, _, figure in section.figures:
            path = folder / f"{name}.svg"
            path.write_text(svg(figure), encoding="utf-8")
            yield path
