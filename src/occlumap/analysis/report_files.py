"""The report as files: self-contained HTML, PDF, and each figure as SVG."""

import html
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from occlumap.analysis.document import Section, Table
from occlumap.analysis.figures import svg

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
    """
    for left in out.glob(f"{_UNFINISHED}*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=out) as temporary:
        folder = Path(temporary)
        results = folder / "results.json"
        results.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        write_html(found, folder / "report.html")
        write_pdf(found, folder / "report.pdf")
        made = [results, folder / "report.html", folder / "report.pdf", *figure_files(found, folder)]
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


def write_pdf(found: Sequence[Section], path: Path) -> None:
    """The same as PDF (A4), with reportlab."""
    import io

    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import (
        CondPageBreak,
        Image,
        LongTable,
        Paragraph,
        SimpleDocTemplate,
        Spacer,
        TableStyle,
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
    for section in found:
        flow.append(Paragraph(html.escape(section.title), styles["Heading2"]))
        if section.exploratory is not None:
            flow.append(Paragraph("Exploratory" if section.exploratory else "Confirmatory", small))
        flow += [Paragraph(html.escape(text), styles["BodyText"]) for text in section.paragraphs]
        for _, caption, figure in section.figures:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=200)
            buffer.seek(0)
            width, height = figure.get_size_inches()
            scale = min(1.0, document.width / (width * 72))
            flow += [
                Spacer(1, 6),
                Image(buffer, width * 72 * scale, height * 72 * scale),
                Paragraph(html.escape(caption), small),
            ]
        for table in section.tables:
            cells = [
                [Paragraph(html.escape(cell), small) for cell in row]
                for row in ([name.replace("_", "_ ") for name in table.header], *table.rows)
            ]
            widths = _widths(table, document.width, small.fontSize, 2 * PADDING + 1)
            flow += [
                CondPageBreak(80),  # no title alone at the foot of a page
                Paragraph(f"<b>{html.escape(table.title)}</b>", small),
                LongTable(cells, colWidths=widths, repeatRows=1, style=ruled, hAlign="LEFT"),
                Paragraph(html.escape(table.call), small),
                Spacer(1, 6),
            ]
    document.build(flow)


def _widths(table: Table, width: float, size: float, padding: float) -> list[float]:
    """Room for each column's longest word, not broken where that can be; the rest for those with longer texts."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    def longest(texts: Iterable[str]) -> float:
        return max((stringWidth(text, "Helvetica", size) for text in texts), default=0.0)

    columns = [
        ([*name.split("_"), *(word for cell in cells for word in cell.split())], [name, *cells])
        for name, *cells in zip(table.header, *table.rows, strict=True)
    ]
    least = [longest(words) + padding for words, _ in columns]
    wanted = [longest(texts) + padding - one for (_, texts), one in zip(columns, least, strict=True)]
    left = max(0.0, width - sum(least))
    scale = min(1.0, width / sum(least))
    more = min(1.0, left / sum(wanted)) if sum(wanted) else 0.0
    return [scale * one + more * extra for one, extra in zip(least, wanted, strict=True)]


def figure_files(found: Sequence[Section], folder: Path) -> Iterator[Path]:
    """Each figure as an SVG file in `folder`."""
    for section in found:
        for name, _, figure in section.figures:
            path = folder / f"{name}.svg"
            path.write_text(svg(figure), encoding="utf-8")
            yield path
