"""Pictures are what Pillow decodes, to the grey level."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from rdarts_tf.tasks.image_classification import pictures
from rdarts_tf.tasks.image_classification.data import DatasetError
from tests import pictures_of_tests as files

FORMS = {channels: pictures.Form(channels=channels) for channels in (1, 3, 4)}

# How [row, column] of the upright picture is stored, by EXIF: 1 "top left" ... 8 "left bottom".
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[::-1],
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "deep.png"])
def test_all_orientations_are_shown_upright(tmp_path, orientation, name):
    upright = files.gradient()
    stored = np.ascontiguousarray(STORED[orientation](upright))
    options = {"lossless": True} if name == "a.webp" else {}
    if name == "deep.png":
        upright = upright[..., :1]
        stored = stored[..., :1].astype(np.uint16) * 256
    files.write(tmp_path / name, stored, orientation=orientation, **options)
    pixels, _ = pictures.read(tmp_path / name, FORMS[upright.shape[-1]])
    np.testing.assert_array_equal(pixels, upright)


MODES = {
    "1": ("png", "bmp", "tif", "pbm"),
    "L": ("png", "bmp", "tif", "jpg", "jp2", "pgm", "tga"),
    "LA": ("png", "tif", "tga"),
    "P": ("png", "gif", "bmp", "tif"),
    "RGB": ("png", "bmp", "jpg", "jfif", "tif", "webp", "jp2", "avif", "ppm", "ico"),
    "RGBA": ("png", "tif", "webp", "tga", "avif"),
    "CMYK": ("jpg", "tif"),
    "YCbCr": ("jpg", "tif"),
}


@pytest.mark.parametrize(("mode", "suffix"), [(m, s) for m, each in MODES.items() for s in each])
def test_every_mode_is_what_pillow_decodes(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    pixels = np.concatenate((files.gradient(16, 16), np.full((16, 16, 1), 255, np.uint8)), axis=-1)
    files.write(path, pixels, mode=mode)
    assert pictures.is_picture(path)
    with Image.open(path) as image:
        shown = ImageOps.exif_transpose(image)
        for channels, name in {1: "L", 3: "RGB"}.items():
            found, transparent = pictures.read(path, FORMS[channels])
            np.testing.assert_array_equal(np.squeeze(found), np.asarray(shown.convert(name)))
            assert not transparent
    assert pictures.is_colour(path) == (mode not in ("1", "L", "LA"))


def test_a_palette_is_grey_where_its_colours_are(tmp_path):
    grey = np.repeat(files.gradient(channels=1), 3, axis=-1)
    for suffix in ("png", "gif"):
        files.write(tmp_path / f"grey.{suffix}", grey, mode="P")
        files.write(tmp_path / f"colour.{suffix}", files.gradient(), mode="P")
        assert not pictures.is_colour(tmp_path / f"grey.{suffix}")
        assert pictures.is_colour(tmp_path / f"colour.{suffix}")


# Transparency.


@pytest.mark.parametrize("background", ["white", "black"])
def test_hidden_colours_do_not_show(tmp_path, background):
    for alpha in (0, 100, 255):
        pixels = np.full((8, 8, 4), [200, 30, 0, alpha], np.uint8)
        files.write(tmp_path / "a.png", pixels)
        form = pictures.Form(channels=3, background=background)
        found, transparent = pictures.read(tmp_path / "a.png", form)
        ground = 255 if background == "white" else 0
        expected = (np.array([200, 30, 0]) * alpha + ground * (255 - alpha)) / 255
        np.testing.assert_allclose(found[0, 0], expected, atol=0.5)  # of rounding
        assert transparent == (alpha < 255)
        kept, _ = pictures.read(tmp_path / "a.png", FORMS[4])
        np.testing.assert_array_equal(kept, pixels)


def test_transparency_of_palettes_and_single_colours(tmp_path):
    index = np.zeros((8, 8), np.uint8)
    index[4:] = 1
    image = Image.fromarray(index).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.gif", transparency=0)
    image.save(tmp_path / "b.png", transparency=b"\x00\xff")
    image.convert("RGB").save(tmp_path / "c.png", transparency=(255, 0, 0))
    for name in ("a.gif", "b.png", "c.png"):
        found, transparent = pictures.read(tmp_path / name, FORMS[3])
        assert transparent
        np.testing.assert_array_equal(found[0, 0], [255, 255, 255])
        np.testing.assert_array_equal(found[7, 7], [0, 0, 255])


# 16 bits.


@pytest.mark.parametrize("bits", [16, 12, 10, 8, 5])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_16_bits_are_scaled_by_the_bits_in_use(tmp_path, bits, bands):
    values = np.random.default_rng(bits).integers(0, 2**bits, (8, 9, bands))
    if bands in (2, 4):
        values[..., -1] = 2**bits - 1
    values[0, 0] = 2**bits - 1
    files.deep_png(tmp_path / "a.png", values)
    assert pictures.highest(tmp_path / "a.png") == 2**bits - 1
    channels = 1 if bands < 3 else 4
    found, _ = pictures.read(tmp_path / "a.png", FORMS[channels], bits=bits)
    if bands == 3:
        found = found[..., :3]
    if bands != 2:  # else on white, if its alpha is not full
        np.testing.assert_array_equal(found, np.floor(values * 2.0 ** (8 - bits)))
    assert pictures.is_colour(tmp_path / "a.png") == (bands > 2)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_of_colours_in_tiff(tmp_path, order):
    values = np.random.default_rng(1).integers(0, 4096, (8, 9, 3))
    files.deep_tiff(tmp_path / "a.tif", values, order=order)
    assert pictures.highest(tmp_path / "a.tif") == values.max()
    found, _ = pictures.read(tmp_path / "a.tif", FORMS[3], bits=12)
    np.testing.assert_array_equal(found, values // 16)


def test_16_bits_beyond_those_of_the_training_part_are_cut_off(tmp_path):
    values = np.array([[[0], [4095], [4096], [65535]]])
    files.deep_png(tmp_path / "a.png", values, transparent=[4095])
    found, transparent = pictures.read(tmp_path / "a.png", pictures.Form(channels=4), bits=12)
    assert transparent
    np.testing.assert_array_equal(found[0, :, 0], [0, 255, 255, 255])
    np.testing.assert_array_equal(found[0, :, 3], [255, 0, 255, 255])


def test_8_bits_are_not_scaled(tmp_path):
    files.write(tmp_path / "a.png", np.full((8, 8), 9, np.uint8))
    assert pictures.highest(tmp_path / "a.png") == 0
    assert np.all(pictures.read(tmp_path / "a.png", FORMS[1], bits=4)[0] == 9)


# Sizes.


def test_fits(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    for fit, mean in (("squash", 200 / 3), ("crop", 200.0), ("pad", 200 / 9)):
        found = pictures.formed(pixels, pictures.Form((24, 24), fit, 3))
        assert found.shape == (24, 24, 3)
        np.testing.assert_allclose(found.mean(), mean, rtol=0.03)  # blurred edges
    white = pictures.formed(pixels, pictures.Form((24, 24), "pad", 3, "white"))
    assert white[0].min() == 255
    with Image.fromarray(pixels) as image:
        expected = np.asarray(image.resize((10, 9), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(
        pictures.formed(pixels, pictures.Form((9, 10), channels=3)), expected
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, r"channels=2; give 1 \(grey\), 3"),
        ({"size": 3}, "size=3; give an integer from 8 on"),
        ({"size": (9, 7)}, r"size=\(9, 7\); give"),
        ({"size": (9, 9, 9)}, r"or \(height, width\)"),
        ({"size": True}, "size=True"),
        ({"size": 9, "fit": "stretch"}, "unknown fit='stretch'; there are: squash, crop, pad"),
        ({"fit": "crop"}, "fit=crop needs a size, such as size=32"),
        ({"background": "red"}, "background='red'; give white or black"),
    ],
)
def test_forms_that_cannot_be(options, message):
    with pytest.raises(DatasetError, match=message):
        pictures.Form(**options)


# Files that are none.


def test_what_is_a_picture(tmp_path):
    files.write(tmp_path / "photo", files.gradient(), format="JPEG")
    (tmp_path / "notes.txt").write_text("P3 nothing")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "film.mpg").write_bytes(b"\0\0\1\xb3" + bytes(20))
    (tmp_path / "broken.png").write_bytes(b"")
    names = {path.name for path in tmp_path.iterdir() if pictures.is_picture(path)}
    assert names == {"photo", "broken.png"}


@pytest.mark.parametrize("content", [b"", b"no picture", None])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp"])
def test_broken_files_are_told(tmp_path, suffix, content):
    path = tmp_path / f"a.{suffix}"
    files.write(path, np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(pictures.PictureError):
        pictures.read(path, FORMS[3])


def test_numbers_without_a_range_are_told(tmp_path):
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "a.tif")
    Image.fromarray(np.full((8, 8), 70000, np.int32)).save(tmp_path / "b.tif")
    for name, message in (("a.tif", "no agreed range"), ("b.tif", "outside of 0 to 65535")):
        with pytest.raises(pictures.PictureError, match=message):
            pictures.read(tmp_path / name, FORMS[1])
