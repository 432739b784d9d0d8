import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from occlumap import explain, plotting
from occlumap.errors import ArgumentError, MissingDependencyError

SIDE = 32


@pytest.fixture(scope="module")
def photograph():
    """Grey, with a white square at rows 40:56, columns 60:76 that the classifier looks for."""
    pixels = np.full((96, 128, 3), 120, np.uint8)
    pixels[36:60, 52:76] = 255
    return pixels


@pytest.fixture(scope="module")
def explanation(photograph):
    def brightness(batch):
        return np.clip((batch.mean(axis=(1, 2, 3)) - 120)[:, None] / 20, 0, 1)

    brightness.input_size = (SIDE, SIDE)
    brightness.classes = [
        "a bright square, with a name that goes on and on, and on, and further on than any title"
    ]
    return explain(brightness, photograph, depth=3)


def drawn(figure):
    return np.asarray(Image.open(io.BytesIO(plotting.png(figure, dpi=60))).convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", list(plotting.PLOTS))
def test_every_plot_draws_with_and_without_the_photograph(explanation, photograph, kind):
    for options in ({}, {"photograph": photograph}):
        picture = drawn(plotting.PLOTS[kind](explanation, **options))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_the_overlay_is_redder_where_the_heatmap_is_greater(explanation, photograph):
    figure = plotting.overlay(explanation, photograph)
    axes = figure.axes[0]
    image, heatmap = axes.get_images()
    assert tuple(heatmap.get_extent()) == (16, 112, 96, 0)  # the centre square of 96 x 128
    assert heatmap.get_clim()[0] == 0
    shown = heatmap.cmap(heatmap.norm(np.asarray(heatmap.get_array())))
    greatest = np.unravel_index(explanation.heatmap.argmax(), explanation.heatmap.shape)
    assert 36 / 3 <= greatest[0] < 60 / 3
    assert shown[greatest][1] < shown[0, 0][1]  # less green is redder
    np.testing.assert_array_equal(image.get_array(), photograph)


def test_the_signed_map_is_white_at_zero(explanation):
    heatmap = plotting.signed(explanation).axes[0].get_images()[1]
    low, high = heatmap.get_clim()
    assert low == -high


def test_the_tree_has_a_rectangle_for_each_leaf(explanation):
    figure = plotting.tree(explanation)
    assert len(figure.axes[0].patches) == len(explanation.trees()[0].leaves())


def test_there_is_a_panel_for_each_scale(explanation):
    titles = [axes.get_title() for axes in plotting.scales(explanation).axes]
    assert [title for title in titles if title] == [
        "scale 1: 16 x 16 px",
        "scale 2: 8 x 8 px",
        "scale 3: 4 x 4 px",
    ]


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
@pytest.mark.parametrize("kind", list(plotting.PLOTS))
def test_a_heatmap_of_zeros_draws(kind):
    nothing = explain(lambda batch: np.full((len(batch), 1), 0.5), np.zeros((4, 9, 3), np.uint8), depth=1)
    figure = nothing.plot(kind)
    assert drawn(figure).any()
    assert "zero everywhere" in figure.get_suptitle()


def test_single_scale_has_no_tree_and_says_so():
    one = explain(
        lambda batch: batch.mean(axis=(1, 2, 3))[:, None], np.eye(8)[..., None], method="single-scale"
    )
    assert drawn(one.plot("scales")).any()
    with pytest.raises(ArgumentError, match="made of trees"):
        one.plot("tree")


def test_an_unknown_plot_offers_the_nearest(explanation):
    with pytest.raises(ArgumentError, match="did you mean overlay"):
        explanation.plot("overlays")


def test_it_shows_itself_in_a_notebook_and_says_what_is_missing(explanation, monkeypatch):
    page = explanation._repr_html_()
    assert "data:image/png;base64," in page
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert "occlumap[plot]" in explanation._repr_html_()
    with pytest.raises(MissingDependencyError, match=r"pip install 'occlumap\[plot\]'"):
        explanation.plot()


def test_a_picture_is_written_whole(explanation, tmp_path):
    plotting.save(plotting.overlay(explanation), tmp_path / "overlay.png")
    with Image.open(tmp_path / "overlay.png") as picture:
        assert picture.size[0] > 300
    assert [path.name for path in tmp_path.iterdir()] == ["overlay.png"]


def test_a_name_with_mathematics_in_it_is_drawn_as_it_is(explanation):
    named = replace(explanation, target_name="5$ bill, \\frac $x\x1b")
    assert "5$ bill" in plotting.overlay(named).get_suptitle()
    assert drawn(plotting.overlay(named)).any()
