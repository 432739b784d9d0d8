"""Data sets in VOC's layout: labels from annotations equal the lists, difficult objects are neither."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlumap.errors import FileFormatError, ImageError, OcclumapWarning
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


@pytest.fixture
def root(tmp_path):
    return draw_dataset(tmp_path, train=3, val=1, size=32)


BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"<object>{BOX}</object>", "a name of every object, got none"),
        (f"<object><name> </name>{BOX}</object>", "a name of every object, got none"),
        ("<object><name>cat</name></object>", r"a <bndbox> of every object, got none in .*line 1 \(cat\)"),
        (
            f"<object><name>cat</name><difficult>2</difficult>{BOX}</object>",
            "difficult> to be 0 or 1, got '2'",
        ),
        (
            f"<object><name>cat</name>{BOX.replace('<xmin>1', '<xmin>inf')}</object>",
            "<xmin> to be a place.*'inf'",
        ),
        (
            f"<object><name>cat</name>{BOX.replace('<ymax>9', '<ymax>nan')}</object>",
            "<ymax> to be a place.*'nan'",
        ),
        (
            f"<object><name>cat</name>{BOX.replace('<ymax>9', '<ymax>x')}</object>",
            "<ymax> to be a place.*'x'",
        ),
        (
            f"\n\n<object><name>cat</name>{BOX.replace('<xmin>1', '<xmin>10')}</object>",
            "<xmin> up to <xmax>, got 10 and 9 in .*line 3",
        ),
        (
            f"<object><name>cat</name><part><name>head</name></part>{BOX}</object>\n"
            f"<object><name>Cat</name>{BOX}</object>",
            "one spelling of a class, got 'Cat' in .*line 2, and 'cat' in ",
        ),
        ("<object>", "annotation of PASCAL VOC"),
    ],
)
def test_an_annotation_s_mistake_is_told_with_file_and_line(root, content, message):
    (root / "Annotations" / "2008_000002.xml").write_text(f"<annotation>{content}</annotation>")
    with pytest.raises(FileFormatError, match=message) as caught:
        read_split(root, "train")
    assert "2008_000002.xml" in str(caught.value)


@pytest.mark.parametrize("attribute", ['xmlns="http://x"', 'xmlns:v="http://x"'])
def test_an_xml_namespace_is_refused_in_words(root, attribute):
    name = "object" if attribute.startswith("xmlns=") else "v:object"
    (root / "Annotations" / "2008_000001.xml").write_text(
        f"<annotation {attribute}><{name}><name>cat</name>{BOX}</{name}></annotation>"
    )
    with pytest.raises(
        FileFormatError, match="without XML namespaces in .*2008_000001.xml, got <.*'http://x'"
    ):
        read_split(root, "train")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_before_they_grow(root, encoding):
    lol = '<!ENTITY a "cat">'
    for old, new in ("ab", "bc", "cd", "de"):
        lol += f'<!ENTITY {new} "{f"&{old};" * 9}">'
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [{lol}]><annotation>&e;</annotation>'
    (root / "Annotations" / "2008_000001.xml").write_bytes(text.encode(encoding))
    with pytest.raises(FileFormatError, match="without entities in .*2008_000001.xml, got the entity 'a'"):
        read_split(root, "train")


def test_difficult_may_be_said_in_words(root):
    object_ = f"<object><name>cat</name><difficult>True</difficult>{BOX}</object>"
    (root / "Annotations" / "2008_000001.xml").write_text(f"<annotation>{object_}</annotation>")
    assert read_split(root, "train", ["cat"]).labels[0].tolist() == [0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"2008_000001\n\xff\n", "a list of images in UTF-8 in .*train.txt, got other bytes in line 2"),
        (
            b"2008_000001\n../2008_000002\n",
            "train.txt, line 2, as a name without folders, got '../2008_000002'",
        ),
        (b"2008_000001\n\n2008_000001\n", "got '2008_000001' in lines 1 and 3"),
        (b"\n", "an empty list"),
    ],
)
def test_a_list_s_mistake_is_told_with_file_and_line(root, content, message):
    (root / "ImageSets" / "Main" / "train.txt").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_split(root, "train")


def test_a_byte_order_mark_before_a_list_is_no_part_of_an_id(root):
    (root / "ImageSets" / "Main" / "train.txt").write_text("2008_000001\n", encoding="utf-8-sig")
    assert read_split(root, "train").ids == ("2008_000001",)


@pytest.mark.parametrize("split", ["../Main/train", "/etc/passwd", "..", "a\\b"])
def test_a_split_is_a_name_not_a_path(root, split):
    with pytest.raises(FileFormatError, match="the split as a name without folders"):
        read_split(root, split)


def test_a_class_spelt_otherwise_than_the_model_s_is_refused(root):
    (root / "Annotations" / "2008_000001.xml").write_text(
        f"<annotation><object><name>cat</name>{BOX}</object></annotation>"
    )
    with pytest.raises(FileFormatError, match="'cat' in .*, and 'Cat' in the model"):
        read_split(root, "train", ["Cat"])


def test_a_fingerprint_tells_what_is_other_and_not_in_which_order(root):
    before = read_split(root, "train").fingerprint()

    def other():
        now = read_split(root, "train", VOC_CLASSES).fingerprint()
        return {name for name in now if now[name] != start[name]}

    start = read_split(root, "train", VOC_CLASSES).fingerprint()
    assert before["labels"] != start["labels"]
    listed = root / "ImageSets" / "Main" / "train.txt"
    listed.write_text("2008_000003\n2008_000001\n2008_000002\n")
    assert other() == set()
    image = root / "JPEGImages" / "2008_000001.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert other() == {"images"}
    (root / "Annotations" / "2008_000002.xml").write_text(
        f"<annotation><object><name>boat</name>{BOX}</object></annotation>"
    )
    assert other() == {"images", "labels"}
    listed.write_text("2008_000001\n2008_000003\n")
    assert other() == {"ids", "images", "labels"}
    image.unlink()
    with pytest.raises(ImageError, match="2008_000001.jpg, got: No such file"):
        other()


def test_a_segmentation_that_does_not_fit_is_refused(root):
    split = read_split(root, "train")
    path = root / "SegmentationObject" / "2008_000001.png"
    for wrong in (np.zeros((16, 32), np.uint8), np.zeros((32, 32, 3), np.uint8)):
        Image.fromarray(wrong).save(path)
        with pytest.raises(
            FileFormatError, match="32 x 32 pixels with one number each .* in .*2008_000001.png"
        ):
            split.object_mask(0, "cat")
    path.write_text("no image")
    with pytest.raises(FileFormatError, match="a segmentation in .*2008_000001.png"):
        split.object_mask(0, "cat")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("segmented", [True, False])
def test_the_mask_is_turned_with_its_image(root, orientation, segmented):
    """A red cat on black: wherever the upright image is red the mask must be, and nowhere else."""
    pixels = np.zeros((20, 32, 3), dtype=np.uint8)
    pixels[2:7, 4:20, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(
        root / "JPEGImages" / "2008_000001.jpg", quality=100, subsampling=0, exif=exif
    )
    box = "<bndbox><xmin>5</xmin><ymin>3</ymin><xmax>20</xmax><ymax>7</ymax></bndbox>"
    (root / "Annotations" / "2008_000001.xml").write_text(
        f"<annotation><object><name>cat</name>{box}</object></annotation>"
    )
    numbers = root / "SegmentationObject" / "2008_000001.png"
    numbers.unlink()
    if segmented:
        Image.fromarray((pixels[..., 0] > 0).astype(np.uint8)).save(numbers)
    split = read_split(root, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OcclumapWarning)  # that the image was turned
        image = split.image(0)
    np.testing.assert_array_equal(split.object_mask(0, "cat"), image[..., 0] > 127)


def annotated(root, size, box):
    """A data set whose first image, of 32 x 32 pixels, has an annotation of that <size> with a cat in that box."""
    (root / "SegmentationObject" / "2008_000001.png").unlink()
    told = "".join(
        f"<{name}>{value}</{name}>" for name, value in zip(("width", "height"), size, strict=False)
    )
    ends = "".join(
        f"<{name}>{value}</{name}>" for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    (root / "Annotations" / "2008_000001.xml").write_text(
        f"<annotation><size>{told}<depth>3</depth></size>"
        f"<object><name>cat</name><bndbox>{ends}</bndbox></object></annotation>"
    )
    return read_split(root, "train")


@pytest.mark.parametrize(
    ("size", "box", "message"),
    [
        ((64, 64), (1, 1, 9, 9), "an image of 32 x 32 pixels.*got a <size> of 64 x 64 in .*line 1"),
        ((), (33, 1, 40, 9), "inside the image of 32 x 32 pixels, got columns 33 to 40 and rows 1 to 9"),
        ((32, 32), (-9, 1, -2, 9), "inside the image"),
        ((32, 32), (1, 20, 9, 35), "inside the image"),
        ((), (1, 20, 60, 32), "inside the image"),
    ],
)
def test_boxes_that_cannot_be_the_image_s_are_refused(root, size, box, message):
    split = annotated(root, size, box)
    with pytest.raises(FileFormatError, match=message):
        split.object_mask(0, "cat")
    assert not split.object_mask(0, "horse").any()


@pytest.mark.parametrize("size", [(32, 32), (0, 0), ()])
@pytest.mark.parametrize("box", [(0, 0, 32, 32), (1, 1, 33, 34), (-1, 30, 32, 32), (32, 32, 32, 32)])
def test_boxes_at_the_border_are_the_image_s(root, size, box):
    mask = annotated(root, size, box).object_mask(0, "cat")
    assert mask[-1, -1]
    assert mask.sum() == (32 - max(box[0] - 1, 0)) * (32 - max(box[1] - 1, 0))


@pytest.mark.skipif(not SAMPLE.exists(), reason="the data pack is not beside the repository")
def test_the_boxes_of_real_photographs_are_theirs():
    split = read_split(SAMPLE, "sample", VOC_CLASSES)
    for row in range(len(split.ids)):
        for label in VOC_CLASSES:
            split.object_mask(row, label)


@pytest.mark.parametrize("content", ["<html><body>404</body></html>", f"<foo><object>{BOX}</object></foo>"])
def test_another_file_in_an_annotation_s_place_is_refused(root, content):
    (root / "Annotations" / "2008_000001.xml").write_text(content)
    with pytest.raises(
        FileFormatError, match="2008_000001.xml, got <(html|foo)> in the place of <annotation>"
    ):
        read_split(root, "train")


def test_boxes_of_the_upright_image_are_not_turned_again(root):
    pixels = np.zeros((20, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(root / "JPEGImages" / "2008_000001.jpg", exif=exif)
    (root / "SegmentationObject" / "2008_000001.png").unlink()
    (root / "Annotations" / "2008_000001.xml").write_text(
        "<annotation><size><width>20</width><height>32</height></size>"
        f"<object><name>cat</name>{BOX}</object></annotation>"
    )
    mask = read_split(root, "train").object_mask(0, "cat")
    assert mask.shape == (32, 20)
    assert mask[:9, :9].all()
    assert mask.sum() == 81
