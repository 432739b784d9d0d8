"""References: what stands in for hidden pixels."""

import numpy as np
import pytest
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from occlumap.errors import ImageError
from occlumap.evaluation.imputation import impute
from occlumap.evaluation.references import NAMES, NOISE, hider


def smooth_image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    rows, cols = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    waves = sum(np.cos(rows * a + cols * b + c) for a, b, c in rng.normal(0, 0.2, (5, 3, 3)))
    return np.rint(127 + 25 * waves).clip(0, 255).astype(np.uint8)


def solved_exactly(image, mask):
    """The linear system of Rong et al., written down equation by equation."""
    number = {tuple(place): index for index, place in enumerate(np.argwhere(mask).tolist())}
    matrix, right = lil_matrix((len(number), len(number))), np.zeros((len(number), 3))
    for (row, col), index in number.items():
        for down, aside in [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]:
            place = (row + down, col + aside)
            if not (0 <= place[0] < mask.shape[0] and 0 <= place[1] < mask.shape[1]):
                continue
            weight = 1 / 6 if down == 0 or aside == 0 else 1 / 12
            matrix[index, index] += weight
            if place in number:
                matrix[index, number[place]] -= weight
            else:
                right[index] += weight * image[place]
    solution = image.astype(np.float64)
    solution[mask] = spsolve(matrix.tocsc(), right)
    return solution


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_hidden_stays(name):
    image = smooth_image(21, 17)
    mask = np.random.default_rng(1).random((21, 17)) < 0.5
    before = image.copy()
    shown = hider(name, image)(mask)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[~mask], image[~mask])
    np.testing.assert_array_equal(image, before)
    assert not np.array_equal(shown, image)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_for_every_mask_and_seed(name):
    image = smooth_image(16, 16)
    everything = np.ones((16, 16), bool)
    first, again, other = (hider(name, image, seed)(everything) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (name in ("blur", "mean"))


def test_mean_is_the_mean_colour():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (200, 100, 40)
    np.testing.assert_array_equal(hider("mean", image)(np.ones((2, 2), bool))[1, 1], [50, 25, 10])


def test_noise_covers_the_range():
    shown = hider("noise", np.zeros((64, 64, 3), np.uint8))(np.ones((64, 64), bool))
    assert shown.min() == 0
    assert shown.max() == 255
    assert abs(shown.mean() - 127.5) < 3


def test_another_image_shows_through():
    other = smooth_image(8, 9, seed=5)
    np.testing.assert_array_equal(hider(other, smooth_image(8, 9))(np.ones((8, 9), bool)), other)


def test_a_function_fills_only_what_is_hidden_and_cannot_change_the_image():
    image = smooth_image(8, 8)
    before = image.copy()

    def black(picture, mask):
        picture[:] = 0
        mask[:] = True
        return picture

    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    shown = hider(black, image)(mask)
    assert not shown[:4].any()
    np.testing.assert_array_equal(shown[4:], before[4:])
    np.testing.assert_array_equal(image, before)


def test_a_function_that_returns_something_else_is_told():
    with pytest.raises(ImageError, match="reference function"):
        hider(lambda image, mask: image / 255, smooth_image(8, 8))(np.ones((8, 8), bool))
    with pytest.raises(ImageError, match="shape"):
        hider(lambda image, mask: image[:4], smooth_image(8, 8))(np.ones((8, 8), bool))


@pytest.mark.parametrize("shape", [(32, 32), (31, 45), (17, 64), (5, 3), (1, 9), (2, 2)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_linear_imputation_solves_the_system(shape, share):
    image = smooth_image(*shape)
    mask = np.random.default_rng(2).random(shape) < share
    mask.flat[0] = False
    found = impute(image.astype(np.float32), mask)
    assert np.sqrt(np.mean((found - solved_exactly(image, mask)) ** 2)) < 1


def test_linear_imputation_of_a_block():
    image, mask = smooth_image(48, 40), np.zeros((48, 40), bool)
    mask[8:30, 10:33] = True
    found = impute(image.astype(np.float32), mask)
    assert np.abs(found - solved_exactly(image, mask)).max() < 6
    assert np.sqrt(np.mean((found - solved_exactly(image, mask))[mask] ** 2)) < 2


def test_linear_with_nothing_left_is_the_mean():
    image = smooth_image(9, 9)
    found = impute(image.astype(np.float32), np.ones((9, 9), bool))
    np.testing.assert_allclose(found[4, 4], image.mean(axis=(0, 1)), rtol=1e-5)


def test_linear_has_the_noise_of_the_paper():
    grey = np.full((64, 64, 3), 128, np.uint8)
    mask = np.ones((64, 64), bool)
    mask[::8] = False
    shown = hider("linear", grey)(mask)[mask].astype(float)
    assert abs(shown.std() - NOISE * 255) < 0.3
