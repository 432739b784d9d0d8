"""Region, a rectangle of whole pixels, and Frame, where an explained image lies in its photograph."""

from typing import NamedTuple


class Region(NamedTuple):
    """A half-open rectangle of whole pixels, rows before columns.

    >>> region = Region(row_start=0, row_stop=2, col_start=1, col_stop=4)
    >>> region.area, region.slices
    (6, (slice(0, 2, None), slice(1, 4, None)))
    """

    row_start: int
    row_stop: int
    col_start: int
    col_stop: int

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return self.row_stop - self.row_start

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return self.col_stop - self.col_start

    @property
    def area(self) -> int:
        """Pixels inside; 0 for an empty rectangle."""
        return max(self.height, 0) * max(self.width, 0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the region in an array of shape (H, W, ...)."""
        return slice(self.row_start, self.row_stop), slice(self.col_start, self.col_stop)


class Frame(NamedTuple):
    """The size of a photograph in pixels, and the part of it that the explained image shows."""

    height: int
    width: int
    region: Region
