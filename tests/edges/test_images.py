import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from occlumap import images
from occlumap.errors import ImageError, OcclumapWarning

PICTURE = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)


def saved(tmp_path, picture, name="photo.png", **options):
    picture.save(tmp_path / name, **options)
    return tmp_path / name


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_any_uint8_array_comes_back_equal_in_memory_of_its_own(array):
    photograph = images.read(array)
    np.testing.assert_array_equal(photograph.pixels, array)
    assert not np.shares_memory(photograph.pixels, array)
    assert photograph.notes == ()


def test_a_path_a_file_and_a_pil_image_are_the_same(tmp_path):
    path = saved(tmp_path, Image.fromarray(PICTURE))
    for source in (
        path,
        str(path),
        io.BytesIO(path.read_bytes()),
        Image.fromarray(PICTURE),
        PICTURE.tolist(),
    ):
        np.testing.assert_array_equal(images.read(source).pixels, PICTURE)


def test_grey_and_floats_and_16_bit_are_said(tmp_path):
    grey = PICTURE[..., 0]
    for source, note in [
        (grey, "greyscale"),
        (grey[..., None], "greyscale"),
        (grey.astype(np.uint16) * 257, "16-bit"),
        (grey / 255, "float"),
        (saved(tmp_path, Image.fromarray(grey)), "greyscale"),
        (saved(tmp_path, Image.fromarray(grey.astype(np.uint16) * 257), "deep.png"), "16-bit"),
    ]:
        photograph = images.read(source)
        np.testing.assert_array_equal(photograph.pixels, np.repeat(grey[..., None], 3, axis=2))
        assert any(note in said for said in photograph.notes)


def test_transparency_is_composited_over_white_and_said(tmp_path):
    rgba = np.dstack([PICTURE, np.full((7, 5), 255, np.uint8)])
    np.testing.assert_array_equal(images.read(rgba).pixels, PICTURE)
    rgba[0, 0] = [10, 20, 30, 0]
    rgba[0, 1] = [0, 0, 100, 51]
    palette = Image.fromarray(PICTURE).quantize(4)
    palette.info["transparency"] = 0
    for source in (rgba, saved(tmp_path, Image.fromarray(rgba))):
        with pytest.warns(OcclumapWarning, match="composited over white"):
            photograph = images.read(source)
        assert photograph.pixels[0, :2].tolist() == [[255, 255, 255], [204, 204, 224]]
        assert photograph.notes == ("transparent pixels were composited over white",)
    with pytest.warns(OcclumapWarning, match="composited over white"):
        images.read(palette)


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    path = saved(tmp_path, Image.fromarray(PICTURE), exif=exif)
    photograph = images.read(path)
    np.testing.assert_array_equal(photograph.pixels, np.rot90(PICTURE, -1))
    assert "EXIF" in photograph.notes[0]


def test_other_modes_become_rgb(tmp_path):
    for mode in ("CMYK", "P", "1", "HSV", "LAB", "YCbCr"):
        assert images.read(
            Image.fromarray(PICTURE).convert("L" if mode == "1" else "RGB").convert(mode)
            if mode != "LAB"
            else Image.new("LAB", (5, 7))
        ).pixels.shape == (7, 5, 3)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (5, 7), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "two.gif", save_all=True, append_images=frames[1:])
    photograph = images.read(path)
    assert photograph.pixels[0, 0].tolist() == [255, 0, 0]
    assert "first frame" in photograph.notes[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.uint8), "looks like a batch"),
        (np.zeros((3, 40, 40), np.uint8), "transpose"),
        (np.zeros((5, 4, 7), np.uint8), r"got shape \(5, 4, 7\)"),
        (np.zeros(9, np.uint8), r"got shape \(9,\)"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.full((4, 4, 3), 1.5), "divide by 255"),
        (np.full((4, 4, 3), -0.5), "undo any normalisation"),
        (np.full((4, 4, 3), np.nan), "not finite"),
        (np.full((4, 4, 3), 300), "0 to 255, got 300"),
        (np.full((4, 4, 3), "a"), "values of type"),
        (np.zeros((4, 4, 3), complex), "values of type complex128"),
        (None, "got NoneType"),
        ({}, "got dict"),
        ([[1, 2], [3]], "got list"),
    ],
)
def test_what_is_no_image_is_an_error(source, message):
    with pytest.raises(ImageError, match=message):
        images.read(source)


def test_integers_in_range_are_taken():
    np.testing.assert_array_equal(images.read(PICTURE.astype(int)).pixels, PICTURE)


def test_broken_files_are_errors_that_name_them(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    whole = saved(tmp_path, Image.fromarray(noise), "whole.jpg").read_bytes()
    for name, data in {"cut.jpg": whole[: len(whole) // 2], "empty.png": b"", "text.png": b"hello"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=name):
            images.read(tmp_path / name)
    with pytest.raises(ImageError, match="found no file"):
        images.read(tmp_path / "none.png")
    with pytest.raises(ImageError, match="the folder"):
        images.read(tmp_path)


@pytest.mark.parametrize("pixels", [90, 40])  # beyond twice Pillow's limit, and between once and twice
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, pixels):
    path = saved(tmp_path, Image.fromarray(PICTURE))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 35 * 30 // pixels - 1 if pixels == 40 else 10)
    with pytest.raises(ImageError, match="sane size"):
        images.read(path)


def test_fit_takes_the_centre_and_says_where_it_was():
    large = np.zeros((40, 61, 3), np.uint8)
    large[:, 10:50] = 200
    fitted, frame = images.fit(large, (10, 10))
    assert frame == (40, 61, (0, 40, 10, 50))
    assert (fitted == 200).all()
    square = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    np.testing.assert_array_equal(images.fit(square, (8, 8))[0], square)
    expected = Image.fromarray(square).resize((6, 6), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(images.fit(square, (6, 6))[0], np.asarray(expected))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_fit_gives_the_size_asked_for_from_inside_the_image(height, width, rows, cols):
    fitted, frame = images.fit(np.zeros((height, width, 3), np.uint8), (rows, cols))
    assert fitted.shape == (rows, cols, 3)
    assert 0 <= frame.region.row_start < frame.region.row_stop <= height
    assert 0 <= frame.region.col_start < frame.region.col_stop <= width
