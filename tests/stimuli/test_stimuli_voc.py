"""Data sets in VOC's layout: labels from annotations equal the lists, difficult objects are neither."""

from pathlib import Path

import numpy as np
import pytest

from occlumap.errors import FileFormatError
from occlumap.stimuli.draw import draw_dataset
from occlumap.stimuli.voc import VOC_CLASSES, read_split

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "voc-sample"


def listed(split, label):
    path = split.root / "ImageSets" / "Main" / f"{label}_{split.name}.txt"
    return [int(line.split()[1]) for line in path.read_text().splitlines()]


def test_labels_of_drawn_data_equal_its_lists(tmp_path):
    draw_dataset(tmp_path, train=60, val=4, size=32)
    split = read_split(tmp_path, "train")
    assert len(split.ids) == 60
    for col, label in enumerate(split.classes):
        assert split.labels[:, col].tolist() == listed(split, label)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the data pack is not beside the repository")
def test_labels_of_real_photographs_equal_their_lists():
    split = read_split(SAMPLE, "sample", VOC_CLASSES)
    difficult = []
    for col, label in enumerate(VOC_CLASSES):
        if (split.root / "ImageSets" / "Main" / f"{label}_sample.txt").exists():
            for name, found, told in zip(split.ids, split.labels[:, col], listed(split, label), strict=True):
                if found == 0:  # the sample's lists have 1 for what is there only as a difficult object
                    difficult.append((name, label))
                assert told == (1 if found == 0 else found), (name, label)
    assert difficult == [
        ("2007_000250", "diningtable"),
        ("2007_001185", "diningtable"),
        ("2007_000904", "horse"),
    ]


def test_the_mask_is_the_objects_own(tmp_path):
    draw_dataset(tmp_path, train=20, val=1, size=32)
    split = read_split(tmp_path, "train")
    row, col = (int(one) for one in np.argwhere(split.labels == 1)[0])
    segmented = split.object_mask(row, split.classes[col])
    (split.root / "SegmentationObject" / f"{split.ids[row]}.png").unlink()
    boxed = split.object_mask(row, split.classes[col])
    assert segmented.any()
    assert boxed[segmented].all()
    assert boxed.sum() > segmented.sum()


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="layout"):
        read_split(tmp_path, "train")
    root = draw_dataset(tmp_path, train=2, val=1, size=32)
    with pytest.raises(FileFormatError, match="train, trainval, val"):
        read_split(tmp_path, "test")
    (root / "Annotations" / "2008_000001.xml").write_text("<annotation>")
    with pytest.raises(FileFormatError, match="2008_000001"):
        read_split(tmp_path, "train")
