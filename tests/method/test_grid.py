import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap.errors import ArgumentError, ImageError
from occlumap.grid import Grid, unique_rectangles
from occlumap.regions import Region
from tests.method.conftest import inside
from tests.reference import paper as twin


@st.composite
def grids(draw):
    depth = draw(st.integers(1, 4))
    side = st.integers(2**depth, 70)
    return Grid(draw(side), draw(side), depth)


def nodes_below_root(grid):
    return sum(
        len(grid.cells(scale, offset)) for offset in grid.offsets() for scale in range(1, grid.depth + 1)
    )


@pytest.mark.parametrize(
    ("depth", "unique", "nodes"), [(3, 1099, 6597), (4, 5708, 97589), (5, 27661, 1483541)]
)
def test_number_of_regions_at_224_pixels(depth, unique, nodes):
    grid = Grid(224, 224, depth)
    assert len(grid.regions()) == unique
    assert nodes_below_root(grid) == nodes


@pytest.mark.parametrize(("shift", "children"), [((0, 0), 4), ((0, 3), 6), ((3, 0), 6), ((3, 3), 9)])
def test_root_has_4_6_or_9_children(shift, children):
    assert len(Grid(224, 224, 3).cells(1, shift)) == children


def test_paper_example_of_80_pixels():
    grid = Grid(80, 80, 3)
    assert len(grid.offsets()) == 64
    assert grid.pixels((1, 7)) == (5.0, 35.0)


def test_offsets_run_rows_outside():
    assert Grid(8, 8, 1).offsets() == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert Grid(80, 80, 3).offsets("four") == [(0, 0), (0, 4), (4, 0), (4, 4)]
    assert Grid(80, 80, 3).offsets("none") == [(0, 0)]


def test_halves_are_rounded_up():
    assert Grid(9, 9, 1).edges(axis=0, scale=1, shift=0).tolist() == [0, 5, 9]


@settings(max_examples=60, deadline=None)
@given(grids(), st.data())
def test_edges_equal_the_plain_twins(grid, data):
    shift = data.draw(st.integers(0, grid.steps - 1))
    scale = data.draw(st.integers(1, grid.depth))
    offsets = twin.all_offsets(grid.height, grid.width, grid.depth)
    rows = twin.cell_edges(grid.height, scale, offsets[shift * grid.steps][0])
    assert grid.edges(0, scale, shift).tolist() == rows


@settings(max_examples=60, deadline=None)
@given(grids(), st.data())
def test_every_scale_tiles_and_every_cell_has_one_parent(grid, data):
    offset = data.draw(st.sampled_from(grid.offsets()))
    above = [Region(0, grid.height, 0, grid.width)]
    for scale in range(1, grid.depth + 1):
        cells = [Region(*bounds) for bounds in grid.cells(scale, offset).tolist()]
        covered = np.zeros((grid.height, grid.width), int)
        for cell in cells:
            assert cell.area > 0
            covered[cell.slices] += 1
            assert sum(inside(cell, parent) for parent in above) == 1
        assert (covered == 1).all()
        above = cells


@settings(max_examples=30, deadline=None)
@given(grids())
def test_regions_are_all_cells_of_all_offsets_once(grid):
    regions = [tuple(bounds) for bounds in grid.regions().tolist()]
    cells = {
        tuple(bounds)
        for offset in grid.offsets()
        for scale in range(1, grid.depth + 1)
        for bounds in grid.cells(scale, offset).tolist()
    }
    assert len(regions) == len(set(regions))
    assert set(regions) == cells


def test_unique_rectangles_keep_their_order():
    bounds = np.array([[2, 3, 0, 1], [0, 1, 0, 1], [2, 3, 0, 1]], np.int32)
    assert unique_rectangles(bounds, 5, 5).tolist() == [[2, 3, 0, 1], [0, 1, 0, 1]]


def test_an_image_that_is_too_small_is_an_error_that_says_which_depth_fits():
    with pytest.raises(ImageError, match=r"at least 2\^depth = 16 pixels.*got 15 x 40; use depth=3 or less"):
        Grid(15, 40, 4)


@pytest.mark.parametrize("depth", [0, -1, 9, 2.5, True, "4", None])
def test_depth_out_of_range_is_an_error(depth):
    with pytest.raises(ArgumentError, match="expected depth to be a whole number from 1 to 8"):
        Grid(512, 512, depth)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_numbers_of_numpy_are_as_good_as_ints(kind):
    grid = Grid(kind(100), kind(90), kind(6))
    assert grid == Grid(100, 90, 6)
    assert {type(value) for value in (grid.height, grid.width, grid.depth)} == {int}
    assert grid.cells(6, (5, 7)).tolist() == Grid(100, 90, 6).cells(6, (5, 7)).tolist()


def test_unknown_offsets_offer_the_nearest():
    with pytest.raises(ArgumentError, match="did you mean four"):
        Grid(16, 16, 2).offsets("fours")


def test_no_offset_is_an_error():
    with pytest.raises(ArgumentError, match="at least one offset"):
        Grid(16, 16, 2).regions([])
