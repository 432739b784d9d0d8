import numpy as np
import pytest
from scipy.stats import multivariate_normal

from occlumap.errors import ArgumentError
from occlumap.estimators.joint import LEAST_DETAIL, RATIOS, _most_likely, detail_of, joint, prior_covariance
from occlumap.measurements import Measurements
from occlumap.perturbations import removals
from occlumap.samplers import TreeMasks
from occlumap.segments import SegmentTree, grid_labels, merged

SHAPE = (24, 24)


def tree(seed: int = 0, leaves: int = 36):
    image = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)
    return merged(image, grid_labels(SHAPE, leaves))


def measured(of, scores, count: int = 200, seed: int = 0) -> Measurements:
    masks = TreeMasks(of, seed).first(count)
    return Measurements(SHAPE, masks, scores(masks.kept)[:, None], np.array([0]), np.array([1.0]), "", "blur")


def test_an_additive_classifier_is_recovered():
    of = tree()
    truth = np.random.default_rng(1).normal(0, 1, of.leaves)
    found = joint(measured(of, lambda kept: 0.3 + kept @ truth), 0, tree=of)
    assert found.posterior.mean == pytest.approx(truth, abs=0.02)
    assert found.fit.explained > 0.999
    assert (np.sqrt(np.diag(found.posterior.covariance)) < 0.05).all()


def gaussian_process(measurements: Measurements, of, ratio: float, noise: float, detail=None):
    """The same model, solved calls x calls as the textbook has it, with a nearly flat prior on b."""
    shares = of.areas / of.areas.sum()
    design = measurements.masks.kept * shares
    prior = ratio * noise * prior_covariance(of, detail)
    kernel = design @ prior @ design.T + 1e5
    inverse = np.linalg.inv(kernel + noise * np.eye(len(design)))
    scores = measurements.scores[:, 0]
    gain = prior @ design.T @ inverse
    mean, covariance = gain @ scores, prior - gain @ design @ prior
    residuals = inverse @ scores / np.diag(inverse)  # left out one by one, in closed form
    stds = np.sqrt(1 / np.diag(inverse))
    return shares * mean, shares[:, None] * covariance * shares, residuals, stds


@pytest.mark.parametrize("count", [20, 60, 200])
def test_it_equals_the_textbooks_gaussian_process(count):
    of = tree()
    random = np.random.default_rng(2)
    truth = random.normal(0, 1, of.leaves)
    measurements = measured(of, lambda kept: kept @ truth + random.normal(0, 0.7, len(kept)), count)
    found = joint(measurements, 0, tree=of)
    noise = found.fit.noise**2
    # the ratio is not told; the likeliest of the grid must give the same everything
    close = []
    for ratio in RATIOS:
        mean, covariance, residuals, stds = gaussian_process(measurements, of, float(ratio), noise)
        if np.allclose(mean, found.posterior.mean, atol=1e-4):
            close.append(ratio)
            assert found.posterior.covariance == pytest.approx(covariance, abs=1e-3)
            scores = measurements.scores[:, 0]
            alone = ((scores - scores.mean()) * count / (count - 1)) @ (
                (scores - scores.mean()) * count / (count - 1)
            )
            assert found.fit.explained == pytest.approx(1 - residuals @ residuals / alone, abs=1e-3)
            within = [np.quantile(np.abs(residuals) / stds, level) for level in (0.5, 0.8, 0.95)]
            assert found.fit.intervals == pytest.approx(within, abs=1e-2)
    assert close


def ridge(kept, scores, of, ratio: float):
    """Density of each leaf and level b, for masks (n, leaves)."""
    design = kept * (of.areas / of.areas.sum())
    centred, prior = design - design.mean(axis=0), ratio * prior_covariance(of)
    weights = np.linalg.solve(centred @ prior @ centred.T + np.eye(len(design)), scores - scores.mean())
    density = prior @ centred.T @ weights
    return density, scores.mean() - design.mean(axis=0) @ density


@pytest.mark.parametrize("count", [3, 4, 6, 12])
def test_each_mask_is_predicted_without_itself_however_few_there_are(count):
    of = tree()
    truth = np.random.default_rng(5).normal(0, 1, of.leaves)
    measurements = measured(of, lambda kept: 1 / (1 + np.exp(-3 * (kept @ truth))), count)
    found = joint(measurements, 0, tree=of)
    kept, scores, shares = measurements.masks.kept, measurements.scores[:, 0], of.areas / of.areas.sum()
    (ratio, *_) = [
        ratio
        for ratio in RATIOS
        if np.allclose(shares * ridge(kept, scores, of, ratio)[0], found.posterior.mean)
    ]
    errors = []
    for left_out, others in enumerate(~np.eye(count, dtype=bool)):
        density, level = ridge(kept[others], scores[others], of, ratio)
        errors.append(scores[left_out] - level - kept[left_out] * shares @ density)
    alone = (scores - scores.mean()) * count / (count - 1)
    explained = 1 - np.square(errors).sum() / np.square(alone).sum()
    assert found.fit.explained == pytest.approx(explained, abs=1e-4)


def test_detail_is_the_distance_to_the_blurred_image_one_on_average():
    image = np.full((*SHAPE, 3), 100, np.uint8)
    image[:12, ::2] = 140
    of = merged(image, grid_labels(SHAPE, 36))
    detail = detail_of(image, of)
    assert detail @ of.areas / of.areas.sum() == pytest.approx(1)
    upper = of.labels[0, 0], of.labels[0, -1]
    lower = of.labels[-1, 0], of.labels[-1, -1]
    assert detail[list(upper)].min() > 2 * detail[list(lower)].max()
    assert (detail_of(np.full_like(image, 7), of) == 1).all()


def test_with_detail_it_is_the_model_of_densities_scaled_by_its_root():
    of = tree()
    random = np.random.default_rng(8)
    measurements = measured(of, lambda kept: kept @ random.normal(0, 1, of.leaves), 60)
    detail = random.uniform(0, 3, of.leaves)
    found = joint(measurements, 0, tree=of, detail=detail)
    scale = np.sqrt(detail + LEAST_DETAIL)
    assert prior_covariance(of, detail) == pytest.approx(
        np.diag(scale) @ prior_covariance(of) @ np.diag(scale)
    )
    plain = [
        gaussian_process(measurements, of, float(ratio), found.fit.noise**2, detail)[0] for ratio in RATIOS
    ]
    assert min(np.abs(mean - found.posterior.mean).max() for mean in plain) < 1e-4


def test_the_ratio_is_the_likeliest():
    random = np.random.default_rng(3)
    design = random.normal(0, 1, (40, 12))
    design -= design.mean(axis=0)
    scores = design @ random.normal(0, 1, 12) + random.normal(0, 1.5, 40)
    scores -= scores.mean()
    values, vectors = np.linalg.eigh(design.T @ design)
    found = _most_likely(values, vectors.T @ design.T @ scores, float(scores @ scores), 40)
    contrasts = np.linalg.svd(np.ones((1, 40)))[2][1:]  # what is free of the mean: restricted likelihood

    def likelihood(ratio: float, noise: float) -> float:
        covariance = contrasts @ (noise * (np.eye(40) + ratio * design @ design.T)) @ contrasts.T
        return float(multivariate_normal(cov=covariance).logpdf(contrasts @ scores))

    best = likelihood(found.ratio, found.noise)
    for ratio in RATIOS[:97:4].tolist():  # beyond, this likelihood is too stiff to compute
        for factor in (0.5, 1.0, 2.0):
            assert likelihood(ratio, found.noise * factor) <= best + 1e-9


@pytest.mark.parametrize("score", [0.0, 0.25, 0.1, -3e7])
def test_scores_that_never_change_give_zeros_and_no_certainty(score):
    of = tree()
    found = joint(measured(of, lambda kept: np.full(len(kept), score)), 0, tree=of)
    assert not found.heatmap.any()
    assert found.posterior.uncertainty() == 1
    assert found.fit.explained == 0


def test_noise_alone_is_not_explained():
    of = tree()
    random = np.random.default_rng(4)
    found = joint(measured(of, lambda kept: random.normal(0, 1, len(kept)), 300), 0, tree=of)
    assert found.fit.explained < 0.1
    assert found.posterior.uncertainty() > 0.5


def test_intervals_hold_what_they_say_for_a_classifier_of_sums():
    """Fresh masks, which the model has not seen."""
    of = tree()
    random = np.random.default_rng(5)
    truth = random.normal(0, 1, of.leaves)

    def scores(kept):
        return kept @ truth + random.normal(0, 0.5, len(kept))

    inside = np.zeros(3)
    for seed in range(20):
        found = joint(measured(of, scores, 100, seed), 0, tree=of)
        fresh = measured(of, scores, 200, seed + 1000)
        used = measured(of, scores, 100, seed).masks.kept.mean(axis=0)  # the free b goes with the mean mask
        part = fresh.masks.kept - used
        predicted = part @ found.posterior.mean
        spread = np.sqrt(
            np.einsum("ni,ij,nj->n", part, found.posterior.covariance, part) + found.fit.noise**2
        )
        errors = (
            np.abs(fresh.scores[:, 0] - fresh.scores[:, 0].mean() - predicted + predicted.mean()) / spread
        )
        inside += [(errors <= times).mean() / 20 for times in found.fit.intervals]
    assert inside == pytest.approx([0.5, 0.8, 0.95], abs=0.05)


def test_masks_do_not_depend_on_how_many_follow():
    of = tree()
    few, many = (TreeMasks(of, 7).first(count) for count in (20, 200))
    assert np.array_equal(few.kept, many.kept[:20])
    assert len(set(many.keys())) == 200
    assert not np.array_equal(many.kept, TreeMasks(of, 8).first(200).kept)


def test_masks_hide_whole_segments_of_their_cut():
    of = tree(leaves=144)
    masks = TreeMasks(of, 0).first(40).kept
    for number, kept in enumerate(masks):
        segments = of.cut((8, 16, 30, 50)[number % 4])
        assert all(len(set(kept[segments == one].tolist())) == 1 for one in range(segments.max() + 1))
    assert masks.mean() == pytest.approx(0.5, abs=0.1)


def test_two_leaves_have_three_masks_whatever_the_seed():
    of = SegmentTree(np.array([[0, 1]], np.int32), np.array([[0, 1]]))
    assert all(len(TreeMasks(of, seed).first(3)) == 3 for seed in range(200))
    assert all(len(TreeMasks(of, seed).first(2)) == 2 for seed in range(200))


def test_solving_at_once_leaves_the_number_of_threads_as_it_was():
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_info

    def threads():
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    of = tree()
    measurements = measured(of, lambda kept: kept.sum(axis=1) / 9)
    before = threads()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: joint(measurements, 0, tree=of), range(40)))
    assert threads() == before
    assert all(np.array_equal(one.heatmap, found[0].heatmap) for one in found)


def test_a_small_tree_has_few_masks():
    of = tree(leaves=4)
    masks = TreeMasks(of, 0).first(300)
    assert len(masks) == 15  # all but the original image


def test_masks_of_other_segments_or_none_are_refused():
    of = tree()
    with pytest.raises(ArgumentError, match="the tree's own segments"):
        joint(measured(of, lambda kept: kept.sum(axis=1)), 0, tree=tree(leaves=16))
    with pytest.raises(ArgumentError, match="at least 2 measured masks, got 1"):
        joint(measured(of, lambda kept: kept.sum(axis=1), count=1), 0, tree=of)
    rectangles = Measurements(
        SHAPE, removals([(0, 1, 0, 1)]), np.ones((1, 1)), np.array([0]), np.array([1.0]), "", "blur"
    )
    with pytest.raises(ArgumentError, match="masks of segments"):
        joint(rectangles, 0, tree=of)
