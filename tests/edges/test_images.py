import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from occlumap import images
from occlumap.errors import ArgumentError, ImageError, OcclumapWarning

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


@pytest.mark.parametrize("kind", ["array", "file", "PIL"])
def test_16_bit_values_that_look_like_8_bit_ones_are_warned_about(tmp_path, kind):
    dark = PICTURE[..., 0].astype(np.uint16)
    source = {
        "array": dark,
        "file": saved(tmp_path, Image.fromarray(dark)),
        "PIL": Image.fromarray(dark.astype(np.int32)),
    }[kind]
    with pytest.warns(OcclumapWarning, match=r"all lie below 256 .* hand in array.astype\(np.uint8\)"):
        photograph = images.read(source)
    assert any("all lie below 256" in note for note in photograph.notes)
    assert photograph.pixels.max() <= 1


def test_all_black_in_16_bit_is_just_black():
    assert not images.read(np.zeros((4, 4), np.uint16)).pixels.any()


@pytest.mark.parametrize("size", [(0, 5), (5,), 5, (2.5, 2), (-1, 4)])
def test_a_size_that_is_no_height_and_width_is_an_error(size):
    with pytest.raises(ArgumentError, match=r"\(height, width\), whole numbers from 1 to 16384, got"):
        images.fit(PICTURE, size)


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


def test_a_decompression_bomb_is_refused_whatever_the_filters_of_warnings(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(PICTURE))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 34)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageError, match="35 pixels, the limit is 34"):
            images.read(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow's way to have no limit
    assert images.read(path).pixels.shape == (7, 5, 3)


def test_reading_touches_no_filter_of_warnings(tmp_path):
    """The filters belong to all threads: what one sets and sets back, another may set for good."""
    data = io.BytesIO(saved(tmp_path, Image.fromarray(PICTURE)).read_bytes())
    seen = []

    class Watched(io.BytesIO):
        def read(self, *arguments):
            seen.append(list(warnings.filters))
            return super().read(*arguments)

    before = list(warnings.filters)
    images.read(Watched(data.getvalue()))
    assert seen
    assert all(filters == before for filters in seen)


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


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20))
def test_fit_to_a_square_takes_the_centre_square_of_the_short_side(height, width, size):
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    _, frame = images.fit(np.zeros((height, width, 3), np.uint8), (size, size))
    assert frame == (height, width, (top, top + side, left, left + side))


def deep_png(values):
    """A PNG with 16 bits per channel from (H, W, 2, 3 or 4); Pillow reads such files and cannot write them."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_16_bit_colour_files_are_said_to_be_reduced():
    deep = np.full((2, 2, 4), 65535, np.uint16)
    deep[0, 0, 0] = 200 * 257
    for channels, first in ((2, [200, 200, 200]), (3, [200, 255, 255]), (4, [200, 255, 255])):
        file = io.BytesIO(deep_png(deep[..., :channels] if channels > 2 else deep[..., [0, 3]]))
        photograph = images.read(file)
        assert photograph.pixels[0, 0].tolist() == first
        assert "16-bit values were reduced to 8 bits" in photograph.notes
    assert images.read(Image.fromarray(PICTURE)).notes == ()


def test_16_bit_values_of_either_byte_order_and_32_bit_modes_are_scaled_not_clipped():
    values = np.array([[0, 257, 128 * 257, 65535]])
    for source in (
        values.astype("<u2"),
        values.astype(">u2"),
        Image.fromarray(values.astype(np.uint16)),
        Image.fromarray(values.astype(np.int32)),
    ):
        assert images.read(source).pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_booleans_are_black_and_white_and_said():
    photograph = images.read(np.array([[False, True]]))
    assert photograph.pixels[0, :, 0].tolist() == [0, 255]
    assert "black and white" in photograph.notes[0]


def test_an_orientation_of_a_tiff_is_said_too(tmp_path):
    """Pillow turns a TIFF by itself, while it loads."""
    path = saved(tmp_path, Image.fromarray(PICTURE), "photo.tif", tiffinfo={274: 6})
    photograph = images.read(path)
    np.testing.assert_array_equal(photograph.pixels, np.rot90(PICTURE, -1))
    assert "EXIF" in photograph.notes[0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_that_pass_0_or_1_by_rounding_are_clipped(kind):
    array = np.array([[0, 1], [0.5, 1]], kind)
    slack = max(5e-7, float(np.finfo(kind).eps))
    array[0] = -slack, 1 + slack
    assert images.read(array).pixels[..., 0].tolist() == [[0, 255], [128, 255]]
    with pytest.raises(ImageError, match=r"got 0\.0 to 1\.00999999|got 0 to 1\.0"):
        images.read(np.array([[0, 1.01]], kind))


def test_a_size_that_no_memory_holds_is_an_error():
    with pytest.raises(ArgumentError, match="whole numbers from 1 to 16384, got"):
        images.fit(PICTURE, (10**9, 10**9))


def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    assert images.read(saved(tmp_path, Image.fromarray(PICTURE), exif=exif)).notes == ()


def test_grey_with_opacity_is_said_to_be_grey():
    assert images.read(Image.new("LA", (2, 2), (9, 255))).notes == (
        "greyscale was repeated on three channels",
    )


def test_an_animation_of_the_caller_keeps_its_place(tmp_path):
    frames = [Image.new("RGB", (5, 7), colour) for colour in ("red", "blue")]
    with Image.open(
        saved(tmp_path, frames[0], "two.gif", save_all=True, append_images=frames[1:])
    ) as picture:
        picture.seek(1)
        photograph = images.read(picture)
        assert picture.tell() == 1
    assert photograph.pixels[0, 0].tolist() == [0, 0, 255]
    assert "current frame" in photograph.notes[0]


def test_a_pil_image_that_cannot_be_read_is_an_image_error(tmp_path):
    path = saved(tmp_path, Image.effect_noise((64, 64), 50))
    path.write_bytes(path.read_bytes()[:600])
    with Image.open(path) as cut, pytest.raises(ImageError, match="damaged or cut off"):
        images.read(cut)
    with pytest.raises(ImageError, match="with pixels"):
        images.read(Image.new("RGB", (0, 5)))


@pytest.mark.filterwarnings("ignore")  # Pillow remarks on damaged metadata
@pytest.mark.parametrize("kind", ["GIF", "JPEG", "PNG", "TIFF", "DDS"])
def test_a_damaged_file_is_read_or_is_an_image_error(kind):
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, kind)
    random = np.random.default_rng(0)
    for _ in range(150):
        data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        places = random.integers(0, min(len(data), 200), 4)
        data[places] = random.integers(0, 256, 4)
        try:
            pixels = images.read(io.BytesIO(data.tobytes())).pixels
        except ImageError:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3


def test_an_open_file_is_named_and_left_open(tmp_path):
    path = tmp_path / "text.png"
    path.write_bytes(b"hello")
    with path.open("rb") as file:
        with pytest.raises(ImageError, match=r"text\.png"):
            images.read(file)
        assert not file.closed


def test_bytes_are_told_to_be_a_file():
    with pytest.raises(ImageError, match="BytesIO"):
        images.read(b"\x89PNG")


def test_the_warning_of_transparency_points_at_the_caller(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    for source in (rgba, Image.fromarray(rgba), saved(tmp_path, Image.fromarray(rgba))):
        with pytest.warns(OcclumapWarning) as caught:
            images.read(source)
        assert caught[0].filename == __file__


def test_masked_pixels_are_refused():
    pixels = np.ma.masked_less(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 3)
    with pytest.raises(ImageError, match="masked values; fill them"):
        images.read(pixels)
    assert (images.read(pixels.filled(0)).pixels == pixels.filled(0)).all()
    assert images.read(np.ma.array(pixels.data)).notes == ()  # nothing is masked
