"""Disparities, images and masks are read as files written by hand have them; what cannot is one sentence."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from rdarts_tf.tasks.disparity import formats
from tests import stereo_files

VALUES = np.array([[1.5, 0.0, np.inf], [2.25, np.nan, 1e-3]], np.float32)
KNOWN = np.array([[1.5, 0.0, np.nan], [2.25, np.nan, 1e-3]], np.float32)


def written(tmp_path, content, name="d.pfm"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("order", "scale"), [("<", "-1"), ("<", "-0.0039"), (">", "1"), (">", "2.5e3")]
)
def test_pfm(tmp_path, order, scale):
    path = written(tmp_path, stereo_files.pfm(VALUES, order=order, scale=scale))
    found = formats.read_disparity(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, KNOWN)
    assert formats.disparity_size(path) == (2, 3)


def test_pfm_whose_first_pixel_looks_like_white_space(tmp_path):
    content = b"Pf 1 1 -1\n" + b"\n \n\x40"
    found = formats.read_disparity(written(tmp_path, content))
    np.testing.assert_array_equal(found, [struct.unpack("<f", b"\n \n\x40")])


def test_kitti(tmp_path):
    stored = np.array([[0, 1, 256], [65535, 384, 12345]], np.uint16)
    path = written(tmp_path, stereo_files.png(stored), "d.png")
    expected = [[np.nan, 0.00390625, 1.0], [255.99609375, 1.5, 48.22265625]]
    np.testing.assert_array_equal(formats.read_disparity(path), np.float32(expected))
    assert formats.disparity_size(path) == (2, 3)


def test_sintel(tmp_path):
    stored = np.array(
        [[[0, 0, 0], [1, 0, 0]], [[0, 1, 0], [255, 255, 255]], [[0, 0, 1], [3, 32, 0]]]
    )
    path = written(tmp_path, stereo_files.png(stored.astype(np.uint8)), "d.png")
    expected = [[0, 4], [0.015625, 1023.99993896484375], [0.00006103515625, 12.5]]
    np.testing.assert_array_equal(formats.read_disparity(path, "sintel"), np.float32(expected))
    assert formats.disparity_size(path, "sintel") == (3, 2)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i2", "u1"])
def test_npy(tmp_path, dtype):
    values = np.array([[1, 2, 3], [4, 5, 6]], dtype)
    for stored in (values, np.asfortranarray(values)):
        path = written(tmp_path, npy(stored), "d.npy")
        found = formats.read_disparity(path)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)
        assert formats.disparity_size(path) == (2, 3)
    with_unknown = written(tmp_path, npy(VALUES), "d.npy")
    np.testing.assert_array_equal(formats.read_disparity(with_unknown), KNOWN)


def test_images_and_masks(tmp_path):
    image = stereo_files.colours(7)
    path = written(tmp_path, stereo_files.png(image), "i.png")
    np.testing.assert_array_equal(formats.read_image(path), image)
    assert formats.image_size(path) == (6, 8)
    grey = written(tmp_path, stereo_files.png(image[..., 0]), "g.png")
    np.testing.assert_array_equal(formats.read_image(grey), np.stack([image[..., 0]] * 3, axis=-1))
    Image.fromarray(image).save(tmp_path / "i.bmp")
    np.testing.assert_array_equal(formats.read_image(tmp_path / "i.bmp"), image)
    assert formats.image_size(tmp_path / "i.bmp") == (6, 8)
    mask = written(tmp_path, stereo_files.png(np.array([[0, 255], [1, 0]], np.uint8)), "m.png")
    np.testing.assert_array_equal(formats.read_mask(mask), [[False, True], [True, False]])


GOOD = stereo_files.pfm(VALUES)
KITTI = stereo_files.png(np.ones([2, 3], np.uint16))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "d.pfm",
            b"",
            r"d.pfm is no PFM file, which begins with Pf, sizes and scale; repair or rem",
        ),
        ("d.pfm", b"Pf\n3 2\n-1", "is no PFM file"),
        ("d.pfm", b"Pf\n-3 2\n-1\n" + bytes(24), "is no PFM file"),
        ("d.pfm", b"Pf\n" + b"9" * 400, "is no PFM file"),
        ("d.pfm", b"PF\n3 2\n-1\n" + bytes(72), "is a PFM file of three channels; disparities hav"),
        ("d.pfm", b"Pf\n3 2\n--1\n" + bytes(24), "has the scale --1, no number"),
        ("d.pfm", b"Pf\n0 2\n-1\n", "says that it has 2x0 pixels; possible are 1 to"),
        ("d.pfm", b"Pf\n999999999 999999999\n-1\n", "says that it has 999999999x999999999 pixels"),
        (
            "d.pfm",
            b"Pf\n9999 9999\n-1\n",
            "has 0 bytes of pixels, but 9999x9999 need 399920004; rep",
        ),
        ("d.pfm", GOOD[:-1], "has 23 bytes of pixels, but 2x3 need 24; repair"),
        ("d.pfm", GOOD + b"\n", "has 25 bytes of pixels"),
        ("d.npy", b"", r"cannot read .*d.npy \(.*\); repair or remove it"),
        ("d.npy", npy(VALUES)[:-1], r"cannot read .*d.npy \(.*\); repair"),
        ("d.npy", npy(VALUES)[:9], r"cannot read .*d.npy"),
        ("d.npy", npy(VALUES).replace(b"(2, 3)", b"(2, 9**9)"), r"cannot read .*d.npy"),
        (
            "d.npy",
            npy(VALUES).replace(b"(2, 3), }       ", b"(99999, 99999)}"),
            r"cannot read .*npy",
        ),
        ("d.npy", npy(np.array([[{}]]), allow_pickle=True), r"cannot read .*d.npy"),
        ("d.npy", npy(VALUES[0]), r"holds float32 \(3,\); save numbers \[height, width\]"),
        ("d.npy", npy(VALUES.astype(complex)), r"holds complex128 \(2, 3\); save"),
        ("d.npy", npy(VALUES[:0]), r"d.npy"),
        ("d.png", b"no image", "is no PNG image"),
        ("d.png", KITTI[:-15], "is a PNG image without an end, it was cut off; repair"),
        (
            "d.png",
            stereo_files.png(np.ones([2, 3], np.uint8)),
            "of 8 bits and colour type 0, not 16-b",
        ),
        (
            "d.png",
            stereo_files.png(np.ones([2, 3, 3], np.uint16)),
            "of 16 bits and colour type 2, not",
        ),
        (
            "d.png",
            KITTI[:16] + struct.pack(">II", 10**6, 10**6) + KITTI[24:],
            "1000000x1000000 pixels",
        ),
        ("d.png", KITTI[:41] + b"\xff\xff" + KITTI[43:], r"cannot read .*d.png \(.*\); repair"),
        ("d.exr", GOOD, "has a suffix of no format of disparities; give .pfm, .npy, .png"),
    ],
)
def test_what_is_no_disparity_is_told(tmp_path, name, content, message):
    with pytest.raises(formats.FormatError, match=message) as caught:
        formats.read_disparity(written(tmp_path, content, name))
    assert "\n" not in str(caught.value)


def test_what_is_no_image_is_told(tmp_path):
    image = stereo_files.png(stereo_files.colours(0))
    cases = [
        ("i.png", image[:-14], "without an end"),
        ("i.png", image[:16] + struct.pack(">II", 2**31 - 1, 9) + image[24:], "x2147483647 pixels"),
        ("i.png", image[:45] + b"\xff\xff\xff" + image[48:], r"cannot read .*i.png \(.*\); repair"),
        ("i.png", KITTI, "has more than 8 bits a channel; convert it to 8"),
        ("i.jpg", b"\xff\xd8\xff", r"cannot read .*i.jpg \(no image\); repair"),
        ("i.bmp", b"", r"cannot read .*i.bmp \(no image\)"),
    ]
    for name, content, message in cases:
        with pytest.raises(formats.FormatError, match=message), warnings.catch_warnings():
            warnings.simplefilter("error")
            formats.read_image(written(tmp_path, content, name))
    with pytest.raises(
        formats.FormatError, match=r"cannot read .*absent.png \(No such file or dir"
    ):
        formats.read_image(tmp_path / "absent.png")
    with pytest.raises(
        formats.FormatError, match=r"cannot read .*absent.pfm \(No such file or dir"
    ):
        formats.read_disparity(tmp_path / "absent.pfm")
