"""Drawn scenes: the same seed is the same scene, a part left out changes nothing else, the layout is VOC's."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from occlumap.errors import ArgumentError, StimuliError
from occlumap.stimuli.draw import ANIMALS, OWN_BACKGROUND, PARTS, draw_dataset, draw_scene
from occlumap.stimuli.truth import parts_used

SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.sampled_from([32, 50, 64]))
@settings(max_examples=15, deadline=None)
def test_a_seed_draws_the_same_scene_again(seed, size):
    one, other = draw_scene(seed, size), draw_scene(seed, size)
    assert one.image.shape == (size, size, 3)
    np.testing.assert_array_equal(one.image, other.image)
    assert one.drawn == other.drawn


@given(SEEDS, st.sampled_from(PARTS))
@example(224, "eyes")
@settings(max_examples=25, deadline=None)
def test_leaving_out_a_part_changes_only_what_the_part_covered(seed, part):
    whole, without = draw_scene(seed), draw_scene(seed, without=[part])
    number = 1 + PARTS.index(part)
    assert not (without.parts == number).any()
    changed = (whole.image != without.image).any(axis=2)
    alone, nothing = draw_scene(seed, without=set(PARTS) - {part}), draw_scene(seed, without=PARTS)
    # a part of less than a pixel may be in the image and, as masks are sampled, not in the mask
    seen = (alone.parts == number) | (alone.image != nothing.image).any(axis=2)
    # a pixel of the small image holds several of the drawn ones, and the blur reaches three pixels further
    near = np.zeros_like(changed)
    rows, cols = np.nonzero(seen | (whole.parts != without.parts))
    for row, col in zip(rows, cols, strict=True):
        near[max(row - 4, 0) : row + 5, max(col - 4, 0) : col + 5] = True
    assert not (changed & ~near).any()


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_boxes_hold_their_object_exactly_and_parts_lie_on_objects(seed):
    scene = draw_scene(seed)
    assert ((scene.parts > 0) == (scene.objects > 0)).all()
    for number, one in enumerate(scene.drawn, start=1):
        rows, cols = np.nonzero(scene.objects == number)
        if len(rows):
            assert one.box == (rows.min(), rows.max() + 1, cols.min(), cols.max() + 1)


def test_a_bias_of_one_gives_every_first_animal_its_own_background():
    for seed in range(40):
        scene = draw_scene(seed, 32, bias=1.0)
        if scene.drawn:
            assert scene.background == OWN_BACKGROUND[scene.drawn[0].name]


def test_a_part_may_go_from_one_of_two_animals():
    scenes = ((seed, draw_scene(seed)) for seed in range(500))
    seed, whole = next((seed, one) for seed, one in scenes if len(one.drawn) == 2)
    for number, one in enumerate(whole.drawn, start=1):
        without = draw_scene(seed, without=["body"], of=one.name)
        assert not (without.parts[without.objects == number] == 1 + PARTS.index("body")).any()
        other = 3 - number
        assert (without.parts[without.objects == other] == 1 + PARTS.index("body")).any()


def test_without_bias_a_class_stands_on_every_background():
    scenes = [draw_scene(seed, 32) for seed in range(120)]
    on = {one.background for one in scenes if one.drawn and one.drawn[0].name == "cat"}
    assert len(on) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"bias": 1.5}, "from 0"), ({"without": ["wheel"]}, "wheel"), ({"size": 16}, "at least 32")],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        draw_scene(0, **arguments)


def test_the_data_set_has_the_layout_of_voc(tmp_path):
    root = draw_dataset(tmp_path, train=12, val=5, size=32, bias=1.0, seed=4)
    main = root / "ImageSets" / "Main"
    ids = {split: (main / f"{split}.txt").read_text().split() for split in ("train", "val", "trainval")}
    assert ids["trainval"] == ids["train"] + ids["val"]
    assert (len(ids["train"]), len(ids["val"])) == (12, 5)
    scenes = json.loads((root / "scenes.json").read_text())["scenes"]
    for one in scenes:
        again = draw_scene(one["seed"], 32, bias=one["bias"])
        np.testing.assert_array_equal(
            np.asarray(Image.open(root / "PartMasks" / f"{one['id']}.png")), again.parts
        )
        tree = ElementTree.parse(root / "Annotations" / f"{one['id']}.xml")
        assert [node.findtext("name") for node in tree.iter("object")] == [
            drawn.name for drawn in again.drawn
        ]
    for label in ANIMALS:
        for line in (main / f"{label}_train.txt").read_text().splitlines():
            name, value = line.split()
            tree = ElementTree.parse(root / "Annotations" / f"{name}.xml")
            flags = [
                node.findtext("difficult") for node in tree.iter("object") if node.findtext("name") == label
            ]
            assert int(value) == (-1 if not flags else 1 if "0" in flags else 0)
    with pytest.raises(ArgumentError, match="exists"):
        draw_dataset(tmp_path, train=1, val=1, size=32)


def test_a_classifier_of_one_part_is_found_out():
    """It counts the yellow of cats' eyes: hiding the eyes costs most, hiding legs nothing."""

    def yellow(batch):
        pixels = batch.astype(float)
        score = np.clip(pixels[..., :2].mean(axis=3) - pixels[..., 2] - 45, 0, None).sum(axis=(1, 2))
        return np.stack([score, -score], axis=1)

    rows = parts_used(yellow, 0, "cat", [1, 2, 3, 4, 5, 8, 9, 11, 12, 13], size=96)
    worth = {one.part: one.mean_drop for one in rows}
    assert next(one.part for one in rows if one.part != "background") == "eyes"
    assert worth["legs"] < worth["eyes"] / 10  # below zero where a meadow shows instead


def test_a_classifier_of_the_background_is_found_out():
    """It sees a corner only, where no animal is."""

    def corner(batch):
        return batch[:, :1, 0, 0] / 255.0

    seeds = [1, 2, 3, 4, 5, 8, 9, 11, 12, 13]
    rows = {one.part: one for one in parts_used(corner, 0, "cat", seeds)}
    scenes = [
        one for one in (draw_scene(seed) for seed in seeds) if "cat" in [each.name for each in one.drawn]
    ]
    expected = np.mean([(one.image[0, 0, 0] - 128.0) / 255 for one in scenes if not one.objects[0, 0]])
    assert rows["background"].scenes == len(scenes)
    assert rows["background"].mean_drop == pytest.approx(expected)
    assert all(abs(one.mean_drop) < 1e-9 for part, one in rows.items() if part != "background")


def test_of_two_that_draw_into_one_folder_at_once_the_first_is_left_and_the_other_kept(tmp_path):
    def other_run(done, total):
        if done == 1:
            draw_dataset(tmp_path, train=1, val=1, size=32, seed=7)

    with pytest.raises(StimuliError, match=r"VOC2008, .* another run has made it.* kept in .*/drawing-\w+$"):
        draw_dataset(tmp_path, train=3, val=1, size=32, progress=other_run)
    counts = {one.name[:7]: len(list(one.glob("JPEGImages/*"))) for one in (tmp_path / "VOCdevkit").iterdir()}
    assert counts == {"VOC2008": 2, "drawing": 4}


def test_drawing_that_is_stopped_leaves_nothing_in_the_way(tmp_path):
    from occlumap.stimuli.draw import draw_dataset

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path, train=3, val=1, size=32, progress=stop)
    assert not (tmp_path / "VOCdevkit").exists()
    root = draw_dataset(tmp_path, train=3, val=1, size=32)
    assert len(list((root / "JPEGImages").iterdir())) == 4
