"""Copies are found though mirrored, turned, cropped, lighter or grey; different scenes are not taken for copies."""

from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from occlumap.stimuli.draw import draw_scene
from occlumap.stimuli.likeness import NEAR, likeness, look, near, same


def scene(seed):
    return draw_scene(seed, 64, bias=0.5).image


def grey(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def cropped(pixels, left, top, right, bottom):
    height, width = pixels.shape[:2]
    cut = pixels[top : height - bottom, left : width - right]
    return np.asarray(Image.fromarray(cut).resize((width, height)))


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_is_near_however_it_was_changed(seed):
    rng, pixels = np.random.default_rng(seed), scene(seed)
    original = look(pixels)
    for change in (
        lambda one: one,
        lambda one: one[:, ::-1],
        lambda one: np.clip(one * 0.8 + 30, 0, 255).astype(np.uint8),
        lambda one: cropped(one, *rng.integers(0, 5, 4)),
        lambda one: cropped(one[:, ::-1], *rng.integers(0, 5, 4)),
        *(partial(np.rot90, k=turns) for turns in (1, 2, 3)),
        lambda one: cropped(np.rot90(one[::-1]), *rng.integers(0, 5, 4)),
        grey,
        lambda one: cropped(grey(np.rot90(one)), *rng.integers(0, 5, 4)),
    ):
        other = look(change(pixels))
        assert near(original, [other]) == [0]
        assert likeness(original, other)[0] >= NEAR
        assert likeness(other, original)[0] >= NEAR


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda one: np.rot90(one, 2), "upside down"),
        (lambda one: np.rot90(one)[:, ::-1], "turned and mirrored"),
        (lambda one: grey(one), "in grey"),
    ],
)
def test_how_a_copy_was_changed_is_told(change, how):
    assert likeness(look(scene(3)), look(change(scene(3))))[1] == how


def enhanced(kind, factor):
    return lambda pixels: np.asarray(getattr(ImageEnhance, kind)(Image.fromarray(pixels)).enhance(factor))


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (enhanced("Color", 0.4), "in other colours"),
        (lambda one: enhanced("Color", 0.4)(np.rot90(one)), "turned and in other colours"),
        (enhanced("Brightness", 2), "lighter"),
    ],
)
def test_a_paler_copy_and_one_with_white_in_it_are_near(change, how):
    original, other = look(scene(4)), look(change(scene(4)))
    assert near(original, [other]) == [0]
    value, told = likeness(original, other)
    assert value >= NEAR
    assert told == how


@pytest.mark.parametrize("paint", [lambda one: one, enhanced("Brightness", 1.5), lambda one: grey(one)])
def test_different_scenes_are_not_near(paint):
    looks = [look(paint(scene(seed)) if seed % 2 else scene(seed)) for seed in range(40)]
    found = [
        (one, other)
        for one in range(40)
        for other in near(looks[one], looks[:one])
        if likeness(looks[one], looks[other])[0] >= NEAR
    ]
    assert found == []


def test_scenes_of_one_layout_are_not_near():
    """Two of the demo's: trees on a meadow under a sky. A crop of one has the other's layout, and other details."""
    one, other = (look(draw_scene(seed, 64, bias=0.5).image) for seed in (758, 928))
    assert near(one, [other]) == [0]
    assert likeness(one, other)[0] < NEAR


def test_pictures_of_one_colour_are_the_same_or_unlike():
    grey, white = (look(np.full((20, 30, 3), value, dtype=np.uint8)) for value in (128, 255))
    assert same(grey, grey)
    assert not same(grey, white)
    assert likeness(grey, white)[0] == 0
