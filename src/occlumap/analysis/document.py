"""What the report consists of, whatever it is written as: sections with paragraphs, tables and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """`header` and `rows` as text; `call`: what makes it, here and in R."""

    title: str
    header: Sequence[str]
    rows: Rows
    call: str


@dataclass
class Section:
    """A heading with paragraphs, tables and figures. `exploratory`: it is not in the frozen plan, if there is one.

    `told_of`: the id of the result that a paragraph tells of.
    """

    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[tuple[str, str, Any]] = field(default_factory=list)
    exploratory: bool | None = None
    told_of: dict[str, str] = field(default_factory=dict)

    def tell(self, of: str, *texts: str) -> None:
        """Add paragraphs that tell of the result `of`."""
        self.paragraphs += texts
        self.told_of |= dict.fromkeys(texts, of)

    def show(self, title: str, of: Mapping[str, Mapping[str, Any]], call: str, first: str = "") -> None:
        """Add a table: rows by name, columns by the keys of the rows."""
        columns = list(
            dict.fromkeys(key for row in of.values() for key in row if not isinstance(row[key], dict | list))
        )
        rows = [[name, *(number(row.get(column)) for column in columns)] for name, row in of.items()]
        self.tables.append(Table(title, [first, *columns], rows, call))


def number(value: Any, places: int = 3) -> str:
    """A value as the tables show it."""
    if value is None:
        return "-"
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if value != 0 and (abs(value) < 10**-places or abs(value) >= 1e5):
        return f"{value:.2e}"
    return f"{value:.{places}f}"


def with_interval(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Coefficients with Wald's 95 % interval."""
    return {
        name: dict(row)
        | {
            end: row["estimate"] + side * 1.959964 * row["se"]
            for end, side in (("lower", -1), ("upper", 1))
            if isinstance(row["estimate"], float) and isinstance(row["se"], float)
        }
        for name, row in rows.items()
    }
