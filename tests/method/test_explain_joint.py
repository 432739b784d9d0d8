"""explain(method="joint") from the outside: budgets, stopping, resuming, results."""

import itertools
import sys
import warnings

import numpy as np
import pytest

import occlumap
from occlumap import Explanation, explain, explain_iter
from occlumap.errors import (
    ArgumentError,
    BudgetError,
    ClassifierError,
    FileFormatError,
    FillError,
    ImageError,
    MeasuringError,
    OcclumapWarning,
)
from occlumap.fills import Blur, Mean, Neighbours, Turns
from occlumap.segments import grid_labels, merged

PICTURE = np.random.default_rng(0).integers(0, 9, (40, 48, 3), np.uint8)
PICTURE[20:, :, 1] += 120
PICTURE[:, 24:, 2] += 150
PICTURE[8:24, 10:30] = (230, 20, 20)


class Counting:
    """Red in the place of the red patch, less green anywhere; counts its images."""

    def __init__(self, fails_at: int | None = None, error: BaseException | None = None) -> None:
        self.calls, self.fails_at, self.error = 0, fails_at, error

    def __call__(self, batch):
        self.calls += len(batch)
        if self.fails_at is not None and self.calls > self.fails_at:
            raise self.error or RuntimeError("boom")
        red = batch[:, 8:24, 10:30, 0].mean(axis=(1, 2)) / 255
        green = batch[:, :, :, 1].mean(axis=(1, 2)) / 255
        score = np.clip(red - 0.3 * green, 0, 1)
        return np.stack([score, 1 - score], axis=1)


def run(classifier=None, image=PICTURE, target=0, **settings) -> Explanation:
    return explain(classifier or Counting(), image, target, method="joint", **{"fill": "blur", **settings})


def same(one: Explanation, other: Explanation) -> bool:
    assert one.posterior is not None
    assert other.posterior is not None
    return (
        np.array_equal(one.heatmap, other.heatmap)
        and np.array_equal(one.posterior.covariance, other.posterior.covariance)
        and one.fit == other.fit
        and one.measurements.perturbations.keys() == other.measurements.perturbations.keys()
    )


def test_the_patch_that_the_classifier_looks_at_stands_out():
    found = run()
    patch = np.zeros((40, 48), bool)
    patch[8:24, 10:30] = True
    assert found.heatmap[patch].mean() > 5 * abs(found.heatmap[~patch].mean())
    assert found.importance(patch).mean > 0.2
    assert found.heatmap.dtype == np.float32
    assert found.std.shape == found.heatmap.shape
    assert found.settings["fill"] == "blur"


def test_blur_and_neighbours_take_turns_unless_said():
    found = explain(Counting(), PICTURE, 0)
    assert found.settings["fill"] == "blur+neighbours"
    assert same(found, run(fill=Turns((Blur(), Neighbours()))))
    assert not np.array_equal(found.heatmap, run(fill="neighbours+blur").heatmap)  # others have the other


def test_each_mask_shows_the_fill_whose_turn_it_is():
    seen: list[np.ndarray] = []

    def classifier(batch):
        seen.extend(batch)
        return batch.mean(axis=(1, 2, 3))[:, None] / 255

    found = explain(
        classifier, PICTURE, fill="constant:255,0,0+constant:0,255,0+constant:0,0,255", budget=100
    )
    masks = found.measurements.masks
    turns = masks.turns(3)
    assert np.bincount(turns, minlength=3).min() > 15
    for mask, turn, shown in zip(masks.kept, turns, seen[1:], strict=True):
        hidden = ~mask[masks.labels]
        expected = np.where(hidden[..., None], (255 * np.eye(3, dtype=np.uint8))[turn], PICTURE)
        np.testing.assert_array_equal(shown, expected)


def test_what_a_fill_costs_by_itself_is_no_importance():
    """A classifier that adds half a point for one of the colours: the map is that of the same without it."""

    def classifier(batch):
        red = batch[:, 8:24, 10:30, 0].mean(axis=(1, 2)) / 255
        return (red + 0.5 * (batch == (201, 202, 203)).all(axis=3).any(axis=(1, 2)))[:, None]

    fills = "constant:201,202,203+constant:201,202,204"
    with_steps = explain(classifier, PICTURE, fill=fills, budget=200)
    without = explain(
        lambda batch: batch[:, 8:24, 10:30, :1].mean(axis=(1, 2)) / 255, PICTURE, fill=fills, budget=200
    )
    np.testing.assert_allclose(with_steps.heatmap, without.heatmap, atol=1e-6)
    assert with_steps.fit is not None
    assert with_steps.fit.explained > 0.999


def test_fills_in_turn_are_of_joint_and_differ():
    with pytest.raises(ArgumentError, match="one fill for rectangles, got blur\\+mean"):
        explain(Counting(), PICTURE, 0, method="paper", depth=2, fill="blur+mean")
    for fill in ("blur+blur", "blur+", "+"):
        with pytest.raises(ArgumentError):
            explain(Counting(), PICTURE, 0, fill=fill)
    with pytest.raises(ArgumentError, match="two different fills"):
        Turns((Turns((Blur(), Mean())), Neighbours()))


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_three_hundred_calls_unless_said_and_never_more_than_the_budget():
    for budget, calls in ((None, 300), (3, 3), (57, 57)):
        classifier = Counting()
        found = run(classifier, budget=budget)
        assert classifier.calls == calls
        assert found.provenance["calls"] == calls
        assert found.settings["budget"] == calls


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_batch_sizes_change_no_bit(batch_size):
    assert same(run(batch_size=batch_size, budget=80), run(budget=80))


def test_the_seed_chooses_the_masks():
    assert same(run(seed=3, budget=50), run(seed=3, budget=50))
    assert not np.array_equal(run(seed=3, budget=50).heatmap, run(seed=4, budget=50).heatmap)


def test_iterating_gets_better_and_ends_where_explain_does():
    steps = list(explain_iter(Counting(), PICTURE, 0, method="joint", budget=200))
    assert [len(found.measurements) for found in steps] == [32, 64, 128, 199]
    assert [found.provenance["calls"] for found in steps] == [33, 65, 129, 200]
    assert same(steps[-1], explain(Counting(), PICTURE, 0, budget=200))
    assert same(steps[0], explain(Counting(), PICTURE, 0, budget=33))
    assert steps[-1].uncertainty < steps[0].uncertainty


def test_iterating_costs_nothing_that_is_not_asked_for():
    classifier = Counting()
    first = next(iter(explain_iter(classifier, PICTURE, 0, method="joint", budget=200)))
    assert classifier.calls == 33
    assert first.heatmap.any()


def test_other_methods_give_one_explanation():
    steps = list(explain_iter(Counting(), PICTURE, 0, method="paper", depth=2))
    assert len(steps) == 1
    assert np.array_equal(steps[0].heatmap, explain(Counting(), PICTURE, 0, method="paper", depth=2).heatmap)


def test_a_tolerance_ends_the_calls():
    sharp = run(budget=2000, tolerance=0.2)
    assert sharp.uncertainty <= 0.2
    assert len(sharp.measurements) % 32 == 0
    assert sharp.provenance["calls"] < 2000
    assert sharp.provenance["ended_by"] == "tolerance"
    assert run(budget=sharp.provenance["calls"] - 32).uncertainty > 0.2
    assert same(sharp, run(budget=2000, tolerance=0.2, batch_size=5))


def test_a_tolerance_holds_for_every_target():
    both = run(target=[0, 1], budget=2000, tolerance=0.2)
    assert all(found.uncertainty <= 0.2 for found in both)


def test_a_time_limit_ends_after_the_batch_that_passes_it(monkeypatch):
    clock = itertools.count()
    module = sys.modules["occlumap.explain"]  # the function hides it
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    found = run(time_limit=4.0, batch_size=10)
    assert found.provenance["ended_by"] == "time_limit"
    assert 10 <= len(found.measurements) < 299
    assert len(found.measurements) % 10 == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("boom")])
def test_what_stops_it_leaves_the_best_heatmap_so_far(error):
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ClassifierError
    with pytest.raises(kind) as caught:
        run(Counting(150, error), batch_size=16)
    known = caught.value.measurements
    assert len(known) == 144  # whole batches
    assert same(caught.value.explanation, run(budget=1 + len(known)))
    again = Counting()
    finished = run(again, resume=known)
    assert again.calls == 300 - len(known) + 1  # one is measured again
    assert same(finished, run())


def test_progress_counts_to_what_there_is():
    seen = []
    run(budget=50, batch_size=20, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(21, 50), (41, 50), (50, 50)]
    seen.clear()
    small = np.repeat([[0, 1], [2, 3]], (20, 20), axis=0).repeat(24, axis=1)
    run(regions=small, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (16, 16)  # 15 masks of four segments


def test_a_time_limit_that_is_over_at_once_still_gives_a_heatmap():
    with pytest.warns(OcclumapWarning):
        found = run(time_limit=1e-9, batch_size=1)
    assert len(found.measurements) == 2


def test_a_tolerance_is_looked_at_every_32_masks_with_a_time_limit_too():
    both = run(budget=2000, tolerance=0.2, time_limit=1e6, batch_size=5)
    assert same(both, run(budget=2000, tolerance=0.2))


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_a_score_that_never_changes_spends_the_whole_budget_and_explains_nothing():
    found = explain(lambda batch: np.full((len(batch), 1), 0.1), PICTURE, tolerance=0.5, budget=100)
    assert found.provenance["calls"] == 100
    assert not found.heatmap.any()
    assert any("zero everywhere" in text for text in found.warnings)
    assert len(found.warnings) == 1


def test_a_progress_that_raises_stop_iteration_loses_nothing():
    def stop(done, total):
        raise StopIteration

    with pytest.raises(MeasuringError, match="progress raised StopIteration") as caught:
        run(progress=stop)
    assert len(caught.value.measurements) == 32


def test_an_error_of_the_estimator_keeps_what_was_measured(monkeypatch):
    def broken(*arguments, **settings):
        raise ArithmeticError("no solution")

    monkeypatch.setattr("occlumap.methods.joint", broken)
    with pytest.raises(ArithmeticError, match="no solution") as caught:
        run(budget=40)
    assert len(caught.value.measurements) == 39
    assert not hasattr(caught.value, "explanation")


def test_a_time_limit_ends_no_sooner_than_what_is_known():
    known = run(budget=250).measurements
    found = run(resume=known, time_limit=1e-9, batch_size=10)
    assert len(found.measurements) == 249 + 10 - 249 % 10  # a step that has something new
    assert found.measurements.cover(known)


def test_what_was_known_counts_only_where_it_serves():
    known = run(budget=100, seed=0).measurements
    assert run(budget=150, seed=0, resume=known).provenance["resumed"] == 99
    assert run(budget=50, seed=0, resume=known).provenance["resumed"] == 49
    assert run(budget=50, seed=1, resume=known).provenance["resumed"] < 10


def test_masks_are_drawn_when_they_are_asked_for():
    found = run(budget=10**9, tolerance=0.5)
    assert len(found.measurements) < 1000


def test_several_targets_share_the_calls():
    classifier = Counting()
    both = run(classifier, target=[0, 1], budget=100)
    assert classifier.calls == 100
    assert same(both[0], run(target=0, budget=100))
    assert both[1].heatmap == pytest.approx(-both[0].heatmap, abs=1e-9)


def test_a_finished_explanation_goes_on_with_a_larger_budget():
    classifier = Counting()
    first = run(classifier, budget=100)
    more = run(classifier, budget=250, resume=first.measurements)
    assert classifier.calls == 100 + 1 + 1 + 150  # the image and one mask again
    assert same(more, run(budget=250))


def test_measurements_of_another_kind_or_of_other_segments_are_refused():
    rectangles = explain(Counting(), PICTURE, 0, method="paper", depth=2, fill="blur").measurements
    grid = run(budget=20, regions="grid").measurements
    for known, theirs in ((rectangles, "rectangles there"), (grid, "segments .* there, segments")):
        with pytest.raises(ArgumentError, match=f"what is hidden: {theirs}"):
            run(resume=known)
    with pytest.raises(ArgumentError, match="what is hidden"):
        explain(Counting(), PICTURE, 0, method="paper", depth=2, fill="blur", resume=grid)


def test_a_saved_explanation_is_the_same(tmp_path):
    found = run(budget=60)
    found.save(tmp_path / "found.npz")
    loaded = Explanation.load(tmp_path / "found.npz")
    assert same(found, loaded)
    assert loaded.settings == found.settings
    assert loaded.provenance == found.provenance
    assert loaded.tree() == found.tree()
    loaded.measurements.save(tmp_path / "measurements.npz")
    assert occlumap.Measurements.load(tmp_path / "measurements.npz").cover(found.measurements)


def test_limits_are_saved_whatever_kind_of_number_they_are(tmp_path):
    found = run(budget=20, tolerance=np.float32(0.25), time_limit=np.int64(60))
    found.save(tmp_path / "found.npz")
    settings = Explanation.load(tmp_path / "found.npz").settings
    assert (settings["tolerance"], settings["time_limit"]) == (0.25, 60.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays, document: arrays.update(posterior_mean=arrays["posterior_mean"] + 1),
        lambda arrays, document: arrays.update(posterior_mean=arrays["posterior_mean"][1:]),
        lambda arrays, document: arrays.update(posterior_mean=arrays["posterior_mean"].astype("f4")),
        lambda arrays, document: arrays.update(posterior_covariance=arrays["posterior_covariance"][:, 1:]),
        lambda arrays, document: arrays.update(posterior_covariance=-arrays["posterior_covariance"]),
        lambda arrays, document: arrays.update(segment_merges=arrays["segment_merges"][:-1]),
        lambda arrays, document: arrays.update(segment_labels=arrays["segment_labels"] + 1),
        lambda arrays, document: arrays.update(segments_kept=arrays["segments_kept"][:, 1:]),
        lambda arrays, document: arrays.update(segments_kept=arrays["segments_kept"].astype(int)),
        lambda arrays, document: arrays.pop("segment_merges"),
        lambda arrays, document: arrays.pop("posterior_mean"),
        lambda arrays, document: document["settings"].update(method="single-scale"),
        lambda arrays, document: document.pop("fit"),
        lambda arrays, document: document.update(fit=[1, 2, 3]),
        lambda arrays, document: document["fit"].update(intervals=[1, 2]),
        lambda arrays, document: document["fit"].update(noise=None),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change):
    from occlumap import _archive
    from occlumap.explanation import KIND

    path = tmp_path / "found.npz"
    run(budget=20).save(path)
    document, arrays = _archive.read(path, KIND)
    change(arrays, document)
    _archive.write(path, KIND, {k: v for k, v in document.items() if not k.startswith("format")}, arrays)
    with pytest.raises(FileFormatError):
        Explanation.load(path)


def test_any_partition_fits_in():
    labels = np.repeat(np.arange(8)[:, None], 5, axis=0) * 10 + np.arange(48) // 12
    mine = merged(PICTURE, grid_labels((40, 48), 24))
    for regions, name, leaves in (("grid", "grid", None), (labels, "labels", 32), (mine, "tree", 24)):
        found = run(regions=regions, budget=60)
        assert found.settings["regions"] == name
        assert leaves in (None, found.settings["leaves"])
        for label in np.unique(labels)[:3]:
            values = found.heatmap[labels == label]
            assert name != "labels" or (values == values[0]).all()
    assert run(regions=mine, budget=60).posterior.tree is mine


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ("squares", "regions"),
        (3, "got int"),
        ([[0, 1]], "got list"),
        (np.zeros((40, 47), int), r"shape \(40, 48\)"),
        (np.zeros((40, 48)), "whole numbers"),
        (merged(PICTURE[:20], grid_labels((20, 48), 9)), "a tree over 40 x 48 pixels"),
    ],
)
def test_regions_that_do_not_fit_are_refused_before_any_call(regions, message):
    classifier = Counting()
    with pytest.raises(ArgumentError, match=message):
        run(classifier, regions=regions)
    assert classifier.calls == 0


def test_one_segment_is_no_tree():
    with pytest.raises(ImageError, match="two segments or more"):
        run(image=PICTURE[:1, :1])
    with pytest.raises(ArgumentError, match="regions with two labels or more, got 1"):
        run(regions=np.zeros((40, 48), int))
    with pytest.warns(OcclumapWarning) as said:
        run(regions=np.repeat([0, 1], 20 * 48).reshape(40, 48))
    assert any("rests on 3 masks only" in str(one.message) for one in said)


@pytest.mark.parametrize("image", [np.full((30, 30, 3), 99, np.uint8), PICTURE[:2, :2], PICTURE[:1, :9]])
def test_an_image_that_hardly_divides_is_explained(image):
    with pytest.warns(OcclumapWarning) if (image == 99).all() else _nothing():
        found = explain(lambda batch: batch.mean(axis=(1, 2)) / 255, image, 0, method="joint", budget=40)
    assert found.heatmap.shape == image.shape[:2]


class _nothing:  # noqa: N801
    def __enter__(self):
        import warnings

        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *error):
        self.caught.__exit__(*error)


@pytest.mark.parametrize("budget", [1, 2])
def test_a_budget_of_less_than_two_masks_is_refused(budget):
    with pytest.raises(BudgetError, match="at least 3 calls"):
        run(budget=budget)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 3}, "depth only with method='paper'"),
        ({"best_k": 3}, "best_k only with method='paper'"),
        ({"window": 3}, "window only with method='single-scale'"),
        ({"tolerance": 0}, "tolerance to be a number"),
        ({"tolerance": "0.1"}, "tolerance to be a number"),
        ({"tolerance": float("nan")}, "tolerance to be a number"),
        ({"tolerance": 1j}, "tolerance to be a number"),
        ({"tolerance": 30}, "up to 1, a share of the heatmap"),
        (
            {"regions": np.arange(70 * 70).reshape(70, 70), "image": np.zeros((70, 70), np.uint8)},
            "at most 4000",
        ),
        ({"time_limit": float("inf")}, "time_limit to be a number of seconds, not infinite"),
        ({"time_limit": -1}, "time_limit to be a number of seconds"),
        ({"time_limit": True}, "time_limit to be a number of seconds"),
    ],
)
def test_arguments_that_it_cannot_use_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        run(**settings)


@pytest.mark.parametrize("name", ["regions", "tolerance", "time_limit"])
def test_other_methods_do_not_take_its_arguments(name):
    for method in ("paper", "single-scale"):
        with pytest.raises(ArgumentError, match=f"{name} only with method='joint'"):
            explain(Counting(), PICTURE, 0, method=method, **{name: "grid" if name == "regions" else 1.0})


def grey(image, mask):
    return np.where(mask[:, :, None], np.uint8(128), image)


@pytest.mark.parametrize("fill", ["neighbours", "mean", "constant:90", "blur", grey, (3, 4, 5)])
def test_every_fill_hides_any_shape(fill):
    found = run(fill=fill, budget=60)
    assert found.heatmap[8:24, 10:30].mean() > abs(found.heatmap[:6].mean())


def test_inpainting_hides_any_shape():
    pytest.importorskip("cv2")
    assert run(fill="inpaint:telea", budget=20).heatmap.any()


def test_what_is_hidden_is_the_fills_and_what_is_not_the_images():
    seen = []

    def watching(batch):
        seen.append(batch.copy())
        return Counting()(batch)

    found = run(watching, fill="constant:7", budget=30)
    images = np.concatenate(seen)[1:]
    kept = found.measurements.masks.kept[:, found.measurements.masks.labels]
    assert (images[~kept] == 7).all()
    assert (images == PICTURE)[kept].all()


class OnlyRectangles:
    def prepare(self, image):
        return Mean().prepare(image)


class Wrong:
    def __init__(self, value):
        self.value = value

    def prepare(self, image):
        return Mean().prepare(image)

    def prepare_mask(self, image):
        return lambda hidden: self.value


def test_a_fill_of_rectangles_only_is_refused_in_words():
    with pytest.raises(ArgumentError, match="no prepare_mask"):
        run(fill=OnlyRectangles())


@pytest.mark.parametrize(
    "value", [np.zeros((40, 48, 3)), np.zeros((3, 3, 3), np.uint8), None, np.zeros((1, 1, 4), np.uint8)]
)
def test_a_fill_that_paints_something_else_is_a_fill_error(value):
    with pytest.raises(FillError, match=r"uint8 image of shape \(40, 48, 3\)"):
        run(fill=Wrong(value))


@pytest.mark.parametrize("value", [np.uint8(9), np.array([9], np.uint8), np.full((1, 1, 1), 9, np.uint8)])
def test_a_fill_may_paint_one_grey(value):
    grey = run(fill=Wrong(np.full(PICTURE.shape, 9, np.uint8)), budget=30)
    found = run(fill=Wrong(np.asarray(value)), budget=30)
    np.testing.assert_array_equal(found.heatmap, grey.heatmap)


def test_a_model_that_does_not_fit_is_warned_about():
    def parity(batch):  # every segment turns the score round: no sum can say that
        bits = (batch[:, ::8, ::8, 0] // 16).sum(axis=(1, 2)) % 2
        return np.stack([0.2 + 0.6 * bits, 0.8 - 0.6 * bits], axis=1)

    with pytest.warns(OcclumapWarning, match="importances that add up explain only"):
        found = run(parity, target=None, budget=100)
    assert found.fit.explained < 0.2


def test_what_sums_predict_for_the_whole_image_is_told_and_warned_about_where_it_is_far_from_its_score():
    def all_or_nothing(batch):  # half as sure when a tenth is hidden, and ever less
        shown = (batch == PICTURE).all(axis=3).mean(axis=(1, 2))
        return np.stack([0.1 * shown + 0.9 * (shown == 1), 0.9 - 0.1 * shown], axis=1)

    with pytest.warns(
        OcclumapWarning, match="the image with nothing hidden, which scores 1: its parts act together"
    ):
        found = run(all_or_nothing, target=0, budget=100)
    assert found.predicted_score == pytest.approx(0.1, abs=0.01)
    assert run(budget=100).predicted_score == pytest.approx(
        run(budget=100).original_score, rel=0.1
    )  # adds up


def test_a_sum_of_more_than_there_is_to_lose_is_warned_about():
    def either_half(batch):  # each half of the picture is enough
        left, right = (
            (batch == PICTURE).all(axis=3)[:, :, part].mean(axis=(1, 2))
            for part in (slice(24), slice(24, 48))
        )
        shown = np.clip(2 * np.maximum(left, right) - 0.5, 0, 1)
        return np.stack([shown, 1 - shown], axis=1)

    with pytest.warns(
        OcclumapWarning, match="importances add up to .* can cost 1 at most: several parts can each"
    ):
        run(either_half, target=0, budget=200)


def test_scores_far_below_the_whole_image_all_alike_are_not_called_next_to_nothing():
    def fragile(batch):
        whole = (batch == PICTURE).all(axis=(1, 2, 3))
        return np.where(whole[:, None], [0.97, 0.03], [0.02, 0.98])

    with pytest.warns(
        OcclumapWarning, match="whatever was hidden, the score was about 0.02, far from the 0.97"
    ):
        run(fragile, target=0, budget=50)


def test_log_probabilities_of_a_sure_class_are_not_called_little_to_lose():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(
            lambda batch: np.log(Counting()(batch) / Counting()(batch).sum(axis=1, keepdims=True)), budget=100
        )


def test_one_targets_numbers_are_no_others():
    one, other = run(target=[0, 1], budget=50)
    before = other.predicted_score
    one.measurements.scores[:] = 0
    assert other.predicted_score == before


def test_too_many_labels_are_told_before_they_are_merged():
    large = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(ArgumentError, match="at most 4000 segments, got 10000"):
        explain(Counting(), large, 0, regions=np.arange(10_000).reshape(100, 100))


def test_trees_of_the_paper_and_of_segments_are_not_mixed_up(tmp_path):
    joint, paper = run(budget=30), explain(Counting(), PICTURE, 0, method="paper", depth=2)
    with pytest.raises(ArgumentError, match="made of trees"):
        joint.trees()
    for ask in (paper.tree, paper.pruned_heatmap, lambda: paper.uncertainty, lambda: paper.predicted_score):
        with pytest.raises(ArgumentError, match="made of segments"):
            ask()
    assert paper.std is None


def test_the_pruned_heatmap_shows_the_leaves_that_matter():
    found = run()
    pruned = found.pruned_heatmap()
    leaves = [node for node in found.tree() if node.state == "leaf"]
    assert 1 < len(leaves) < found.posterior.tree.leaves
    for node in leaves:
        inside = np.isin(found.posterior.tree.labels, node.segments)
        assert pruned[inside].sum() == pytest.approx(node.importance, rel=1e-4)
    assert len(np.unique(pruned)) <= len(leaves) + 1


def test_the_scales_are_cuts_of_the_tree():
    maps = run(budget=60).scale_maps()
    assert next(iter(maps)) == "6 segments"
    for label, values in maps.items():
        assert len(np.unique(values)) <= int(label.split()[0])


def test_the_tree_is_written_as_json(tmp_path):
    import json

    found = run(budget=40)
    found.save_tree(tmp_path / "tree.json")
    document = json.loads((tmp_path / "tree.json").read_text())
    nodes = document["trees"][0]["nodes"]
    assert [node["name"] for node in nodes] == list(range(len(nodes)))
    assert nodes[0]["importance"] == pytest.approx(found.heatmap.sum(), rel=1e-4)
    held = [label for node in nodes if not node["children"] for label in node["segments"]]
    assert sorted(held) == list(range(found.posterior.tree.leaves))
    assert {"row_start", "std", "state", "area"} <= nodes[0].keys()


def test_iterating_refuses_before_the_first_step():
    with pytest.raises(ArgumentError, match="budget"):
        explain_iter(Counting(), PICTURE, 0, budget=0)
    with pytest.raises(ImageError):
        explain_iter(Counting(), "nowhere.png", 0)


def test_resuming_with_another_seed_says_that_nothing_was_of_use():
    first = run(budget=40, seed=0)
    with pytest.warns(OcclumapWarning, match="none of the 39 measurements in resume was of use"):
        other = run(budget=40, seed=1, resume=first.measurements)
    assert same(other, run(budget=40, seed=1))


def test_intervals_of_parts_that_every_mask_hides_together_hold_the_truth():
    """One of 64 parts is all that counts; where it shares a segment of the finest masks, no call tells which it is."""
    parts = np.add.outer(np.arange(64) // 8 * 8, np.arange(64) // 8)
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    shared = 0
    for part in (3, 18, 29, 36, 54):
        inside = parts == part

        def visible(batch, inside=inside):
            seen = (batch[:, inside] == image[inside]).mean(axis=(1, 2)) > 0.9
            return np.stack([seen, ~seen], axis=1).astype(float)

        found = explain(visible, image, 0, regions=parts, fill="constant:0")
        mean, std = found.importance(inside)
        assert abs(1 - mean) <= 1.96 * std + 1e-3
        segments = found.posterior.tree.cut(50)
        together = np.flatnonzero(segments == segments[part])
        shared += len(together) > 1
        assert found.importance(np.isin(parts, together)).mean == pytest.approx(1, abs=0.02)
    assert shared  # of some it was so
