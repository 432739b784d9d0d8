import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap.errors import ArgumentError, BudgetError, ClassifierError, FileFormatError, ScoreError
from occlumap.fills import Constant, Custom
from occlumap.measurements import Measurements
from occlumap.measuring import Measurer
from occlumap.perturbations import joint_removals, removals
from occlumap.regions import Region

BLACK = Constant((0, 0, 0))


def aimed(classifier, image, **options):
    measurer = Measurer(classifier, image, options.pop("fill", BLACK), **options)
    measurer.measure_original()
    measurer.aim([0])
    return measurer


def test_importance_is_the_evidence_under_the_region(evidence, white):
    measurements = aimed(evidence, white).measure(removals([Region(4, 8, 8, 10), Region(0, 4, 0, 16)]))
    np.testing.assert_allclose(measurements.effect(target=0), [0.5, 0.0])


def test_each_region_is_measured_once(evidence, white):
    measurer = aimed(evidence, white)
    first, second = Region(4, 8, 8, 10), Region(0, 4, 0, 16)
    measurer.measure(removals([first, second, first]))
    measurements = measurer.measure(removals([second, first]))
    assert evidence.calls == measurer.calls == 1 + 2
    assert measurements.perturbations.bounds.tolist() == [list(first), list(second)]


@settings(max_examples=25, deadline=None)
@given(batch_size=st.integers(1, 40), count=st.integers(0, 50))
def test_any_batch_size_gives_the_same_bits_and_no_batch_is_larger(batch_size, count):
    rng = np.random.default_rng(count)
    image = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
    starts = rng.integers(0, 8, (count, 2))
    regions = np.stack([starts[:, 0], starts[:, 0] + 3, starts[:, 1], starts[:, 1] + 4], axis=1)
    sizes = []

    def classifier(batch):
        sizes.append(len(batch))
        return np.array([[image.mean()] for image in batch])

    scores = aimed(classifier, image, batch_size=batch_size).measure(removals(regions)).scores
    alone = aimed(classifier, image, batch_size=1).measure(removals(regions)).scores
    np.testing.assert_array_equal(scores, alone)
    assert max(sizes) <= batch_size


def test_a_classifier_may_keep_and_change_its_batches(white):
    kept = []

    def careless(batch):
        scores = batch.mean(axis=(1, 2, 3))[:, None].copy()
        kept.append(batch)
        batch[:] = 7
        return scores

    regions = removals([Region(r, r + 1, 0, 16) for r in range(16)])
    scores = aimed(careless, white, batch_size=4).measure(regions).scores
    np.testing.assert_allclose(scores, 255 * 15 / 16)
    assert (white == 255).all()
    assert all((batch == 7).all() for batch in kept)


def test_a_budget_is_never_passed(evidence, white):
    measurer = aimed(evidence, white, budget=3)
    measurer.measure(removals([Region(0, 1, 0, 1), Region(0, 1, 1, 2)]))
    with pytest.raises(BudgetError, match="budget of at least 4 calls, got 3"):
        measurer.measure(removals([Region(0, 1, 2, 3)]))
    assert evidence.calls == 3


def test_a_classifier_that_fails_late_loses_nothing(evidence, white):
    def fails_in_call(number):
        def classifier(batch):
            if evidence.calls + len(batch) > number:
                raise RuntimeError("out of paper")
            return evidence(batch)

        return classifier

    regions = removals([Region(r, r + 1, 0, 16) for r in range(16)])
    measurer = aimed(fails_in_call(11), white, batch_size=5)
    with pytest.raises(ClassifierError, match="out of paper"):
        measurer.measure(regions)
    kept = measurer.everything()
    assert len(kept) == 10

    resumed = Measurer(evidence, white, BLACK)
    resumed.measure_original()
    resumed.aim([0], known=kept)
    measurements = resumed.measure(regions)
    assert resumed.calls == 1 + 1 + 6
    np.testing.assert_array_equal(measurements.scores, aimed(evidence, white).measure(regions).scores)


def test_after_a_failure_the_same_measurer_goes_on(evidence, white):
    def fails_once(batch):
        if len(evidence.batches) == 3:
            evidence.batches.append(0)
            raise OSError("once")
        return evidence(batch)

    regions = removals([Region(r, r + 1, 0, 16) for r in range(16)])
    measurer = aimed(fails_once, white, batch_size=5, budget=17)
    with pytest.raises(ClassifierError, match="once"):
        measurer.measure(regions)
    assert measurer.left == 16
    measurements = measurer.measure(regions)
    assert evidence.calls == 1 + 16
    assert measurer.left == 0
    np.testing.assert_array_equal(measurements.scores, aimed(evidence, white).measure(regions).scores)


def test_the_rows_before_a_score_that_is_not_finite_are_kept(white):
    def classifier(batch):
        scores = batch.mean(axis=(1, 2, 3))[:, None]
        scores[batch[:, 5, 0, 0] == 0] = np.nan
        return scores

    regions = removals([Region(r, r + 1, 0, 16) for r in range(16)])
    with pytest.raises(ScoreError, match=r"call 7 \(region rows 5:6, columns 0:16 hidden\)"):
        (measurer := aimed(classifier, white, batch_size=16)).measure(regions)
    assert len(measurer.everything()) == 5


def test_ctrl_c_leaves_with_what_was_measured(evidence, white):
    def impatient(batch):
        if evidence.calls > 8:
            raise KeyboardInterrupt
        return evidence(batch)

    measurer = aimed(impatient, white, batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        measurer.measure(removals([Region(r, r + 1, 0, 16) for r in range(16)]))
    assert len(measurer.everything()) == 8


@pytest.mark.parametrize("what", ["image", "fill", "classifier", "target"])
def test_resuming_something_else_is_an_error_that_says_what_differs(evidence, white, what):
    known = aimed(evidence, white).measure(removals([Region(0, 1, 0, 1)]))
    image, fill, classifier, targets = white, BLACK, evidence, [0]
    if what == "image":
        image = np.zeros_like(white)
    if what == "fill":
        fill = Constant((9, 9, 9))
    if what == "classifier":
        classifier = lambda batch: evidence(batch) * 2  # noqa: E731
    if what == "target":
        targets = [0, 1]
    measurer = Measurer(classifier, image, fill)
    measurer.measure_original()
    word = {"classifier": "score of the original image"}.get(what, what)
    with pytest.raises(ArgumentError, match=f"differ in .*{word}"):
        measurer.aim(targets, known)


def lit_if(rows):
    """Class 0 scores 1 while any pixel of `rows` is white."""
    return lambda batch: (batch[:, rows] > 0).any(axis=(1, 2, 3)).astype(float)[:, None]


@pytest.mark.parametrize("what", ["classifier", "fill"])
def test_a_known_region_that_scores_otherwise_now_is_an_error(white, what):
    """The original image's score is the same, and so is the name: only measuring tells."""
    black, grey = (lambda image, mask: image * 0), (lambda image, mask: image * 0 + 100)
    regions = removals([Region(8, 12, 0, 16), Region(0, 4, 0, 16), Region(4, 8, 0, 16)])
    known = aimed(lit_if(slice(0, 4)), white, fill=Custom(black)).measure(regions)
    assert known.effect(0).tolist() == [0, 1, 0]
    classifier = lit_if(slice(4, 8)) if what == "classifier" else lit_if(slice(0, 4))
    measurer = Measurer(classifier, white, Custom(black if what == "classifier" else grey))
    measurer.measure_original()
    with pytest.raises(
        ArgumentError, match=r"rows 0:4, .* are \[0.0\] there, \[1.0\] here. Start without resume"
    ):
        measurer.aim([0], known)
    assert measurer.calls == 2


def test_the_call_that_checks_what_is_known_is_not_of_the_budget(evidence, white):
    regions = removals([Region(r, r + 1, 0, 16) for r in range(16)])
    known = aimed(evidence, white).measure(regions[:10])
    measurer = Measurer(evidence, white, BLACK, budget=17)
    measurer.measure_original()
    measurer.aim([0], known)
    assert measurer.left == 16
    measurer.measure(regions)
    assert (measurer.calls, measurer.left) == (1 + 1 + 6, 0)


def test_nothing_known_costs_no_call(evidence, white):
    measurer = Measurer(evidence, white, BLACK)
    measurer.measure_original()
    measurer.aim([0], aimed(evidence, white).asked())
    assert measurer.calls == 1


def test_progress_on_resuming_counts_what_was_asked_and_begins_with_what_was_known(evidence, white):
    regions = removals([Region(r, r + 1, 0, 16) for r in range(16)])
    known = aimed(evidence, white).measure(regions)
    told = []
    measurer = Measurer(
        evidence, white, BLACK, batch_size=2, progress=lambda done, total: told.append((done, total))
    )
    measurer.measure_original()
    measurer.aim([0], known)
    measurer.total = 9
    measurer.measure(regions[:5] + removals([Region(0, 2, r, r + 1) for r in range(3)]))
    assert told == [(6, 9), (8, 9), (9, 9)]


def test_progress_counts_every_call(evidence, white):
    told = []
    measurer = aimed(evidence, white, batch_size=6, progress=lambda done, total: told.append((done, total)))
    measurer.total = 17
    measurer.measure(removals([Region(r, r + 1, 0, 16) for r in range(16)]))
    assert told == [(7, 17), (13, 17), (17, 17)]


def test_regions_hidden_together_are_measured_as_they_are(evidence, white):
    groups = [[(4, 8, 8, 10), (4, 8, 10, 12)], [(4, 8, 8, 10)], []]
    measurements = aimed(evidence, white).measure(joint_removals(groups))
    np.testing.assert_allclose(measurements.effect(0), [1.0, 0.5, 0.0])


def test_saved_measurements_are_equal(tmp_path, evidence, white):
    both = removals([Region(0, 3, 0, 5)]) + joint_removals([[Region(4, 8, 8, 9), Region(0, 1, 0, 1)]])
    measurements = aimed(evidence, white).measure(both)
    measurements.save(tmp_path / "m.npz")
    loaded = Measurements.load(tmp_path / "m.npz")
    assert loaded.perturbations.keys() == measurements.perturbations.keys()
    np.testing.assert_array_equal(loaded.scores, measurements.scores)
    assert (loaded.shape, loaded.fill, loaded.image_sha256) == (
        measurements.shape,
        measurements.fill,
        measurements.image_sha256,
    )
    np.testing.assert_array_equal(loaded.original, measurements.original)
    assert loaded.find(np.array([[0, 3, 0, 5], [0, 1, 0, 1]], np.int32)).tolist() == [0, -1]


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_batch_size_must_be_a_number_of_images(evidence, white, batch_size):
    with pytest.raises(ArgumentError, match="expected batch_size"):
        Measurer(evidence, white, BLACK, batch_size=batch_size)


def test_measurements_cover_those_whose_every_score_they_have(evidence, white):
    regions = removals([Region(r, r + 1, 0, 16) for r in range(4)])
    some, more = aimed(evidence, white).measure(regions[:2]), aimed(evidence, white).measure(regions)
    assert more.cover(some)
    assert more.cover(more)
    assert not some.cover(more)
    assert not more.cover(aimed(lambda batch: evidence(batch) / 2, white).measure(regions[:2]))
    assert not more.cover(aimed(evidence, white, fill=Constant((9, 9, 9))).measure(regions[:2]))
    both = Measurer(evidence, white, BLACK)
    both.measure_original()
    both.aim([1, 0])
    two_targets = both.measure(regions)
    assert two_targets.cover(more)
    assert not more.cover(two_targets)


def test_a_total_is_never_passed(evidence, white):
    told = []
    measurer = aimed(evidence, white, batch_size=6, progress=lambda done, total: told.append((done, total)))
    measurer.total = 5
    measurer.measure(removals([Region(r, r + 1, 0, 16) for r in range(4)]))
    measurer.measure(removals([Region(r, r + 2, 0, 16) for r in range(4)]))
    assert told == [(5, 5), (9, 9)]


def test_bounds_or_targets_that_come_twice_are_a_damaged_file(evidence, white):
    once = aimed(evidence, white).measure(removals([Region(0, 1, 0, 1), Region(0, 1, 1, 2)]))
    arrays = once.arrays()
    twice = {**arrays, "perturbation_bounds": arrays["perturbation_bounds"][[0, 0]]}
    with pytest.raises(FileFormatError, match="damaged"):
        Measurements.from_parts(once.document(), twice)
    Measurements.from_parts(once.document(), arrays)
