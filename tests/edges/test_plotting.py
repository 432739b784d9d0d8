import io
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from occlumap import explain, plotting
from occlumap.errors import ArgumentError, ImageError, MissingDependencyError, UnknownArgumentError
from occlumap.regions import Region

SIDE = 32
OF_RECTANGLES = [kind for kind in plotting.PLOTS if kind != "uncertainty"]


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
    return explain(brightness, photograph, depth=3, method="paper")


@pytest.fixture(scope="module")
def by_segments(photograph):
    """The same, by method joint."""

    def brightness(batch):
        return np.clip((batch.mean(axis=(1, 2, 3)) - 120)[:, None] / 20, 0, 1)

    brightness.input_size = (SIDE, SIDE)
    return explain(brightness, photograph, method="joint", budget=60, fill="constant:120")


def drawn(figure):
    return np.asarray(Image.open(io.BytesIO(plotting.png(figure, dpi=60))).convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", OF_RECTANGLES)
def test_every_plot_draws_with_and_without_the_photograph(explanation, photograph, kind):
    for options in ({}, {"photograph": photograph}):
        picture = drawn(plotting.PLOTS[kind](explanation, **options))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("kind", list(plotting.PLOTS))
def test_every_plot_draws_segments_with_and_without_the_photograph(by_segments, photograph, kind):
    for options in ({}, {"photograph": photograph}):
        picture = drawn(plotting.PLOTS[kind](by_segments, **options))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_the_tree_of_segments_colours_those_that_matter(by_segments):
    figure = plotting.tree(by_segments)
    matter = [node for node in by_segments.tree() if node.state == "leaf"]
    assert f"{len(matter)} segments at the scale that says most" in figure.get_suptitle()
    values = np.asarray(figure.axes[0].get_images()[1].get_array().filled(np.nan))
    for node in matter:
        inside = np.isin(by_segments.posterior.tree.labels, node.segments)
        assert values[inside] == pytest.approx(node.importance)


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_the_tree_of_an_image_one_pixel_high_is_drawn():
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 3), np.uint8)
    explanation = explain(lambda batch: batch.mean((1, 2)) / 255, image, 0, regions="grid")
    assert drawn(plotting.tree(explanation)).any()


def test_uncertainty_is_drawn_on_the_heatmaps_scale(by_segments):
    left, right = plotting.uncertainty(by_segments).axes[:2]
    assert left.get_images()[1].get_clim() == right.get_images()[1].get_clim()
    np.testing.assert_array_equal(right.get_images()[1].get_array(), by_segments.std)


def test_uncertainty_is_not_drawn_for_methods_without(explanation):
    with pytest.raises(ArgumentError, match="method='joint'"):
        explanation.plot("uncertainty")


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
@pytest.mark.parametrize("kind", OF_RECTANGLES)
def test_a_heatmap_of_zeros_draws(kind):
    nothing = explain(
        lambda batch: np.full((len(batch), 1), 0.5), np.zeros((4, 9, 3), np.uint8), depth=1, method="paper"
    )
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
    assert "pip install &#x27;.[plot]&#x27;" in explanation._repr_html_()
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[plot\]'"):
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


@dataclass
class StandIn:
    """An explanation with a heatmap and leaves of the test's own."""

    heatmap: np.ndarray
    leaves: tuple = ()
    frame = None
    posterior = None
    target = 3
    target_name = None
    original_score = 0.5

    @property
    def image(self):
        return np.full((*self.heatmap.shape, 3), 120, np.uint8)

    def trees(self):
        return (SimpleNamespace(offset=(0, 0), density=0.0, leaves=lambda: list(self.leaves)),)

    def scale_maps(self):
        return {"scale 1": self.heatmap.astype(np.float64), "scale 2": np.zeros(self.heatmap.shape)}


def alone(figure, axes):
    """The pixels of one panel's box as drawn, RGB (H, W, 3)."""
    figure.canvas.draw()
    whole = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    box = axes.get_window_extent()
    return whole[round(len(whole) - box.y1) : round(len(whole) - box.y0), round(box.x0) : round(box.x1)]


def test_drawn_cells_are_darker_the_more_important_they_are():
    heatmap = np.array([[0.0, 0.2, 0.4, 0.8]], np.float32).repeat(4, axis=0)
    figure = plotting.overlay(StandIn(heatmap))
    panel = alone(figure, figure.axes[0])
    cells = [panel[len(panel) // 2, round((cell + 0.5) * panel.shape[1] / 4)].sum() for cell in range(4)]
    assert cells == sorted(cells, reverse=True)
    assert len(set(cells)) == 4


def test_the_overlay_paints_inside_the_frame_only(explanation, photograph):
    figure = plotting.overlay(explanation, photograph)
    panel = alone(figure, figure.axes[0])
    height, width = panel.shape[:2]
    for row in (0.1, 0.5, 0.9):  # the explained square is columns 16 to 112 of 128
        for col in (5, 123):
            assert panel[round(row * height), round(col / 128 * width)].tolist() == [120, 120, 120]
        assert panel[round(row * height), round(25 / 128 * width)].tolist() != [120, 120, 120]


def test_the_signed_map_gives_opposite_values_opposite_colours():
    figure = plotting.signed(StandIn(np.array([[-0.3, 0.0, 0.3]], np.float32)))
    against, nothing, supporting = (
        figure.axes[0].get_images()[1].cmap(value)[:3] for value in (0.0, 0.5, 1.0)
    )
    assert figure.axes[0].get_images()[1].get_clim() == pytest.approx((-0.3, 0.3))
    assert against[2] > against[0]
    assert supporting[0] > supporting[2]
    assert min(nothing) > 0.95


@pytest.mark.parametrize("kind", OF_RECTANGLES)
def test_odd_heatmaps_draw(kind):
    random = np.random.default_rng(0)
    for shape in ((1, 1), (1, 40), (40, 1)):
        for heatmap in (np.zeros(shape), np.ones(shape), -random.random(shape), np.full(shape, 1e-42)):
            region = Region(0, shape[0], 0, shape[1])
            leaf = SimpleNamespace(region=region, importance=float(heatmap.max()), scale=1)
            assert drawn(plotting.PLOTS[kind](StandIn(heatmap.astype(np.float32), (leaf,)))).any()


def test_a_heatmap_without_anything_positive_says_so():
    figure = plotting.overlay(StandIn(np.full((2, 2), -0.1, np.float32)))
    assert "nothing in the heatmap is above zero" in figure.get_suptitle()


def test_a_name_of_one_long_word_is_shortened_not_lost():
    named = StandIn(np.ones((2, 2), np.float32))
    named.target_name = "x" * 90
    title = plotting.overlay(named).get_suptitle()
    assert title.startswith("x" * 40)
    assert len(title) < 70


@pytest.mark.parametrize("kind", sorted({*OF_RECTANGLES} - {"scales"}))
def test_another_photograph_than_the_explained_one_is_an_error(explanation, kind):
    with pytest.raises(ImageError, match="96 x 128 pixels"):
        plotting.PLOTS[kind](explanation, np.zeros((50, 50, 3), np.uint8))


@pytest.mark.parametrize("kind", OF_RECTANGLES)
def test_every_plot_says_how_to_install_matplotlib(explanation, kind, monkeypatch):
    modules = __import__("sys").modules
    for name in [name for name in modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[plot\]'"):
        plotting.PLOTS[kind](explanation)


@pytest.mark.parametrize("kind", OF_RECTANGLES)
def test_a_photograph_is_whatever_explain_takes_as_an_image(explanation, photograph, kind, tmp_path):
    Image.fromarray(photograph).save(tmp_path / "photo.png")
    for source in (str(tmp_path / "photo.png"), photograph.tolist(), photograph[..., 0]):
        first = explanation.plot(kind, photograph=source).axes[0].get_images()[0].get_array()
        assert first.shape[2] == 3
    with pytest.raises(ImageError, match="no file at"):
        explanation.plot(kind, photograph=str(tmp_path / "no.png"))


def test_an_option_that_a_plot_does_not_have_is_an_error_that_names_those_it_has(explanation):
    with pytest.raises(
        UnknownArgumentError, match="no option 'alfa'.*photograph, cmap, alpha; did you mean alpha"
    ):
        explanation.plot("overlay", alfa=0.3)


def test_panels_side_by_side_are_of_one_size(explanation, photograph):
    figure = plotting.side_by_side(explanation, photograph)
    figure.canvas.draw()
    sizes = [axes.get_window_extent().size for axes in figure.axes[:3]]
    np.testing.assert_allclose(sizes[1:], sizes[:1] * 2, atol=1)
    extents = [axes.get_images()[-1].get_extent() for axes in figure.axes[:3]]
    assert [tuple(extent) for extent in extents] == [(0, 128, 96, 0), (16, 112, 96, 0), (16, 112, 96, 0)]


def test_the_trees_colours_reach_from_the_least_leaf_to_the_greatest():
    leaves = [
        SimpleNamespace(region=Region(0, 4, col, col + 2), importance=importance, scale=1)
        for col, importance in ((0, -0.1), (2, 0.4))
    ]
    figure = plotting.tree(StandIn(np.ones((4, 4), np.float32), tuple(leaves)))
    assert figure.axes[1].get_ylim() == pytest.approx((-0.1, 0.4))
    assert figure.get_suptitle().endswith("2 leaves")


def test_the_scales_are_drawn_over_the_photograph_too(explanation, photograph):
    figure = plotting.scales(explanation, photograph)
    picture, values = figure.axes[0].get_images()
    assert picture.get_array().shape == photograph.shape
    assert tuple(values.get_extent()) == (16, 112, 96, 0)
    with pytest.raises(ImageError, match="expected the photograph that was explained"):
        plotting.scales(explanation, photograph[1:])


@pytest.mark.parametrize("kind", OF_RECTANGLES)
def test_a_large_photograph_is_thinned_out_in_its_place(explanation, photograph, kind, monkeypatch):
    monkeypatch.setattr(plotting, "DRAWN_SIDE", 50)
    figure = plotting.PLOTS[kind](explanation, photograph=photograph)
    under = figure.axes[0].images[0]
    assert under.get_array().shape[:2] == (48, 64)
    assert under.get_extent() == [0, 128, 96, 0]
