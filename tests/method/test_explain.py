"""explain: the paper's way bit for bit, targets, arguments, budgets."""

import numpy as np
import pytest

from occlumap import Explanation, explain
from occlumap.errors import (
    ArgumentError,
    BudgetError,
    ImageError,
    OcclumapWarning,
    TargetError,
    UnknownArgumentError,
)
from occlumap.grid import Grid
from occlumap.measuring import Measurer
from tests.method.conftest import Evidence, picture, smooth_classifier
from tests.reference import paper as twin


def single(classifier, target):
    return lambda image: float(classifier(image[None])[0, target])


CASES = [
    # height, width, depth, offsets, fill, pruning, selection
    (16, 16, 2, "all", "neighbours", "greedy", "density"),
    (19, 33, 2, "all", "mean", "greedy", "density"),
    (33, 18, 3, "four", "blur", "optimal", "density"),
    (9, 10, 2, "all", "constant:0,0,0", "optimal", "density"),
    (8, 8, 3, "all", "neighbours", "greedy", "density"),
    (25, 24, 2, "all", "inpaint:telea", "greedy", "density"),
    (17, 16, 2, "all", "neighbours", "greedy", "adversarial"),
    (31, 29, 4, "none", "neighbours", "greedy", "density"),
    (21, 23, 3, "all", "neighbours", "greedy", "density"),
]


@pytest.mark.parametrize(("height", "width", "depth", "offsets", "fill", "pruning", "selection"), CASES)
@pytest.mark.parametrize("best_k", [1, 5, 10_000])
def test_the_result_equals_the_papers_way_bit_for_bit(
    height, width, depth, offsets, fill, pruning, selection, best_k
):
    image = picture(height * width, height, width)
    classifier = smooth_classifier(depth, (height, width))
    ours = explain(
        classifier,
        image,
        1,
        depth=depth,
        offsets=offsets,
        fill=fill,
        pruning=pruning,
        selection=selection,
        best_k=best_k,
        method="paper",
    )
    heatmap, calls, densities = twin.explain(
        single(classifier, 1), image, depth, offsets, best_k, fill, pruning, selection
    )
    np.testing.assert_array_equal(ours.heatmap, heatmap)
    assert ours.heatmap.dtype == np.float32
    if selection == "density":
        assert list(ours.densities) == sorted(densities, reverse=True)[: len(ours.densities)]
        assert ours.provenance["calls"] <= 1 + calls


def test_calls_are_one_and_the_unique_regions(evidence, white):
    explanation = explain(evidence, white, 0, depth=3, fill="constant:0", method="paper")
    assert explanation.provenance["calls"] == evidence.calls == 1 + len(Grid(16, 16, 3).regions())


def test_the_only_lit_square_is_found(evidence, white):
    heatmap = explain(evidence, white, 0, depth=2, fill="constant:0", best_k=1, method="paper").heatmap
    expected = np.zeros((16, 16), np.float32)
    expected[4:8, 8:12] = 1
    np.testing.assert_allclose(heatmap, expected)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_any_batch_size_gives_the_same_bits(batch_size):
    image, classifier = picture(1, 20, 20), smooth_classifier(1, (20, 20))
    expected = explain(classifier, image, depth=2, method="paper")
    np.testing.assert_array_equal(
        explain(classifier, image, depth=2, batch_size=batch_size, method="paper").heatmap, expected.heatmap
    )


def test_single_scale_is_the_mean_of_the_windows_that_cover_a_pixel(white):
    weights = np.zeros((16, 16))
    weights[0, 5] = 1.0
    explanation = explain(
        Evidence(weights), white, 0, method="single-scale", window=(1, 4), stride=(1, 3), fill="constant:0"
    )
    # windows at columns 0, 3, 6, 9, 12; only 3..6 hides column 5
    np.testing.assert_allclose(explanation.heatmap[0], [0, 0, 0, 0.5, 1, 1, 0.5, *[0] * 9])
    assert not explanation.heatmap[1:].any()


def test_a_last_window_is_flush_with_the_border(evidence, white):
    explanation = explain(evidence, white, 0, method="single-scale", window=6, stride=6, fill="constant:0")
    starts = sorted({bounds[2] for bounds in explanation.measurements.perturbations.bounds.tolist()})
    assert starts == [0, 6, 10]


@pytest.mark.parametrize(
    "arguments", [{"window": 17}, {"window": 4, "stride": 5}, {"window": 0}, {"window": (1, 2, 3)}]
)
def test_windows_that_do_not_fit_are_an_error(evidence, white, arguments):
    with pytest.raises(ArgumentError, match="expected (window|stride)"):
        explain(evidence, white, 0, method="single-scale", **arguments)


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
@pytest.mark.parametrize("fill", ["neighbours", "mean", "blur", "constant:9", "inpaint:telea", None])
def test_a_float_image_is_explained_as_its_uint8_twin(fill):
    image = picture(5, 12, 12)
    batches = []

    def classifier(batch):
        batches.append(batch.copy())
        return batch.mean(axis=(1, 2, 3))[:, None] / 255

    whole = explain(classifier, image, depth=2, fill=fill, method="paper")
    scaled = explain(classifier, image / 255, depth=2, fill=fill, method="paper")
    np.testing.assert_array_equal(whole.heatmap, scaled.heatmap)
    assert all(batch.reshape(len(batch), -1).max(axis=1).min() > 50 for batch in batches)  # nothing black


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_a_list_of_targets_gives_explanations_from_the_same_calls(evidence, white):
    both = explain(evidence, white, ["lit", 1], depth=2, fill="constant:0", threshold=0.01, method="paper")
    assert evidence.calls == 1 + len(Grid(16, 16, 2).regions())
    assert [one.target for one in both] == [0, 1]
    alone = explain(evidence, white, 0, depth=2, fill="constant:0", method="paper")
    np.testing.assert_array_equal(both[0].heatmap, alone.heatmap)


@pytest.mark.parametrize(
    ("target", "index"), [(None, 0), (1, 1), ("lit", 0), ("Unlit", 1), ("dark, unlit", 1), (np.int64(1), 1)]
)
@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_a_target_is_an_index_a_name_or_the_top_class(evidence, white, target, index):
    explanation = explain(evidence, white, target, depth=1, threshold=0.001, method="paper")
    assert explanation.target == index
    assert explanation.target_name == Evidence.classes[index]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (2, "from 0 to 1, got 2"),
        (-1, "from 0 to 1, got -1"),
        ("lid", "did you mean lit"),
        ("zebra", "no class has a similar name"),
        (1.0, "class index, a class name or None"),
        (True, "class index, a class name or None"),
        ([], "at least one target"),
    ],
)
def test_a_target_that_does_not_exist_is_an_error(evidence, white, target, message):
    with pytest.raises(TargetError, match=message):
        explain(evidence, white, target, depth=1, method="paper")
    assert evidence.calls <= 1


def test_a_name_of_two_classes_is_an_error_that_lists_them(white):
    classifier = Evidence(np.ones((16, 16)) / 256)
    classifier.classes = ("crane", "crane, bird")
    assert (
        explain(classifier, white, "crane", depth=1, fill="constant:0", method="paper").target == 0
    )  # the whole name wins
    classifier.classes = ("crane, machine", "crane, bird")
    with pytest.raises(TargetError, match=r"0 \(crane, machine\), 1 \(crane, bird\); give the index"):
        explain(classifier, white, "crane", depth=1, method="paper")


@pytest.mark.parametrize(
    ("keyword", "ours"),
    [
        ("baselines", "fill"),
        ("n_samples", "budget"),
        ("sliding_window_shapes", "window"),
        ("bestk", "best_k"),
    ],
)
def test_a_keyword_of_another_library_is_answered_with_ours(evidence, white, keyword, ours):
    with pytest.raises(UnknownArgumentError, match=f"no argument '{keyword}'; did you mean {ours}"):
        explain(evidence, white, **{keyword: 3}, method="paper")
    assert evidence.calls == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"depth": 0}, ArgumentError),
        ({"depth": 5}, ImageError),
        ({"best_k": 0}, ArgumentError),
        ({"fill": "nope"}, ArgumentError),
        ({"method": "joined"}, ArgumentError),
        ({"offsets": "some"}, ArgumentError),
        ({"pruning": "hard"}, ArgumentError),
        ({"selection": "luck"}, ArgumentError),
        ({"threshold": "much"}, ArgumentError),
        ({"batch_size": 0}, ArgumentError),
        ({"budget": 0}, ArgumentError),
        ({"budget": "many"}, ArgumentError),
        ({"budget": 20, "depth": 2}, BudgetError),
        ({"budget": 49, "method": "single-scale"}, BudgetError),
        ({"method": "single-scale", "depth": "banana"}, ArgumentError),
        ({"method": "single-scale", "offsets": "??"}, ArgumentError),
        ({"method": "single-scale", "best_k": -3}, ArgumentError),
        ({"method": "single-scale", "pruning": "x"}, ArgumentError),
        ({"method": "single-scale", "selection": "z"}, ArgumentError),
        ({"method": "single-scale", "threshold": "no"}, ArgumentError),
        ({"resume": "measurements.npz"}, ArgumentError),
        ({"resume": 3}, ArgumentError),
        ({"progress": 3}, ArgumentError),
        ({"budget": "4"}, ArgumentError),
        ({"window": 3}, ArgumentError),
        ({"seed": -1}, ArgumentError),
        ({"budget": 9, "selection": "adversarial"}, ArgumentError),
    ],
)
def test_an_argument_out_of_range_is_an_error_before_any_call(evidence, white, arguments, error):
    with pytest.raises(error, match="expected"):
        explain(evidence, white, 0, **{"method": "paper", **arguments})
    assert evidence.calls == 0


@pytest.mark.parametrize("input_size", [16, (16,), (16, 16, 3), (0, 16), (16.0, 16), "16x16"])
def test_an_input_size_that_is_no_height_and_width_is_an_error(evidence, white, input_size):
    evidence.input_size = input_size
    with pytest.raises(ArgumentError, match=r"input_size\) to be \(height, width\).* got "):
        explain(evidence, white, 0, depth=2, method="paper")
    assert evidence.calls == 0


def test_classifier_and_image_the_wrong_way_round_is_an_error(evidence, white):
    with pytest.raises(ArgumentError, match="the classifier comes first"):
        explain(white, evidence, method="paper")


def test_an_original_score_of_0_with_a_relative_threshold_is_an_error_at_once(evidence, white):
    with pytest.raises(ArgumentError, match="original score other than 0"):
        explain(evidence, white, 1, depth=2, method="paper")
    assert evidence.calls == 1


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_warnings_are_given_and_kept(white):
    def with_scores(first, second):
        return lambda batch: np.where((batch == 0).any(axis=(1, 2, 3))[:, None], [second, 1.0], [first, 1.0])

    nothing = explain(with_scores(0.9, 0.9), white, 0, depth=1, fill="constant:0", method="paper")
    assert "zero everywhere" in nothing.warnings[0]
    flat = explain(
        with_scores(0.9, 0.2), white, 0, depth=1, fill="constant:0", offsets="none", method="paper"
    )
    assert "one value covers 100 %" in flat.warnings[0]
    small = explain(with_scores(0.01, 0.0), white, 0, depth=1, fill="constant:0", method="paper")
    assert "original score is only 0.01" in small.warnings[-1]
    with pytest.warns(OcclumapWarning, match="zero everywhere"):
        explain(with_scores(0.9, 0.9), white, 0, depth=1, fill="constant:0", method="paper")


def test_a_budget_of_all_calls_equals_the_exact_result():
    image, classifier = picture(2, 24, 24), smooth_classifier(2, (24, 24))
    exact = explain(classifier, image, 0, depth=3, method="paper")
    calls = exact.provenance["calls"]
    for budget in (calls, calls + 50):
        budgeted = explain(classifier, image, 0, depth=3, budget=budget, method="paper")
        np.testing.assert_array_equal(budgeted.heatmap, exact.heatmap)
        assert budgeted.provenance["calls"] == calls


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_budget_is_kept_and_completes_offsets(share):
    image, classifier = picture(2, 24, 24), smooth_classifier(2, (24, 24))
    exact = explain(classifier, image, 0, depth=3, method="paper")
    budget = int(share * exact.provenance["calls"])
    explanation = explain(classifier, image, 0, depth=3, budget=budget, method="paper")
    assert explanation.provenance["calls"] <= budget
    assert len(explanation.offsets) >= 1
    for offset, density in zip(explanation.offsets, explanation.densities, strict=True):
        if offset in exact.offsets:
            assert density == exact.densities[exact.offsets.index(offset)]


def test_a_budget_below_one_offset_is_an_error_that_says_how_much_it_takes():
    image, classifier = picture(2, 24, 24), smooth_classifier(2, (24, 24))
    with pytest.raises(BudgetError, match="at least 85 calls"):
        explain(classifier, image, 0, depth=3, budget=60, method="paper")


def test_a_budget_is_measured_in_full_batches_and_its_calls_are_known_at_once():
    image, classifier = picture(2, 24, 24), smooth_classifier(2, (24, 24))
    sizes, told = [], []

    def counting(batch):
        sizes.append(len(batch))
        return classifier(batch)

    found = explain(
        counting,
        image,
        0,
        depth=3,
        budget=400,
        progress=lambda done, total: told.append((done, total)),
        method="paper",
    )
    assert set(sizes[1:-1]) == {32}
    assert {total for _, total in told} == {found.provenance["calls"]}


def test_an_image_is_brought_to_the_classifiers_size_and_its_place_kept():
    def classifier(batch):
        assert batch.shape[1:] == (16, 16, 3)
        return batch.mean(axis=(1, 2, 3))[:, None] / 255

    classifier.input_size = (16, 16)
    explanation = explain(classifier, picture(6, 40, 60), depth=2, method="paper")
    assert explanation.heatmap.shape == (16, 16)
    assert explanation.frame == (40, 60, (0, 40, 10, 50))


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_a_vote_that_nobody_wins_shows_the_first_offset(white):
    explanation = explain(
        lambda batch: np.full((len(batch), 1), 0.5), white, depth=2, selection="vote", method="paper"
    )
    assert (explanation.offsets, explanation.densities) == (((0, 0),), (0.0,))
    assert not explanation.heatmap.any()
    assert len(explanation.trees()) == 1
    assert not explanation.trees()[0].leaves()
    assert all((values == 0).all() for values in explanation.scale_maps().values())


def test_regions_hidden_together_are_no_window(evidence, white):
    from occlumap.estimators.single_scale import single_scale
    from occlumap.fills import Constant
    from occlumap.perturbations import joint_removals, removals

    measurer = Measurer(evidence, white, Constant((0, 0, 0)))
    measurer.measure_original()
    measurer.aim([0])
    windows = removals([(4, 8, 8, 10), (0, 4, 0, 4)])
    alone = measurer.measure(windows)
    both = measurer.measure(joint_removals([[(4, 8, 8, 10), (4, 8, 10, 12)]]))
    np.testing.assert_array_equal(single_scale(both, 0).heatmap, single_scale(alone, 0).heatmap)


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_a_depth_of_numpy_is_as_good_as_an_int(tmp_path, evidence, white, kind):
    explanation = explain(evidence, white, 0, depth=kind(2), fill="constant:0", method="paper")
    np.testing.assert_array_equal(
        explanation.heatmap, explain(evidence, white, 0, depth=2, fill="constant:0", method="paper").heatmap
    )
    explanation.save(tmp_path / "one.npz")
    assert Explanation.load(tmp_path / "one.npz").settings["depth"] == 2


@pytest.mark.parametrize("classes", [{0: "lit", 1: "dark"}, ["lit", None], 2])
def test_malformed_names_of_classes_are_an_error_before_any_call(evidence, white, classes):
    evidence.classes = classes
    with pytest.raises(TargetError, match="expected .classes"):
        explain(evidence, white, 0, depth=1, method="paper")
    assert evidence.calls == 0


def test_a_threshold_beyond_any_float_is_an_error(evidence, white):
    with pytest.raises(ArgumentError, match="expected threshold"):
        explain(evidence, white, 0, depth=1, threshold=10**400, method="paper")


def test_the_wrong_way_round_does_not_print_the_array(evidence, white):
    with pytest.raises(ArgumentError, match="got ndarray; the classifier comes first"):
        explain(white, evidence, method="paper")


def test_the_progress_of_an_adversarial_choice_has_a_total(evidence, white):
    told = []
    found = explain(
        evidence,
        white,
        0,
        depth=2,
        fill="constant:0",
        selection="adversarial",
        progress=lambda done, total: told.append((done, total)),
        method="paper",
    )
    assert all(done <= total for done, total in told)
    assert told[-1] == (found.provenance["calls"],) * 2


def test_an_image_too_small_for_any_depth_is_told_so(evidence):
    with pytest.raises(ImageError, match="got 1 x 1; enlarge the image"):
        explain(evidence, np.zeros((1, 1, 3), np.uint8), 0, depth=1, method="paper")


def test_the_warning_of_transparency_points_at_the_caller(evidence):
    rgba = np.full((16, 16, 4), 255, np.uint8)
    rgba[..., 3] = 254
    with pytest.warns(OcclumapWarning, match="transparency") as caught:
        explain(evidence, rgba, 0, depth=2, fill="constant:0", method="paper")
    assert caught[0].filename == __file__
