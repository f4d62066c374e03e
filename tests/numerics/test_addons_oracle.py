"""Cutout against tensorflow-addons; tests/oracles/make_addons_golden.py wrote its results."""

import pathlib

import numpy as np
import pytest

from rdarts_tf.tasks.image_classification import augment

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "addons_cutout.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


def cut(golden, *, shift=(0, 0), longer=0):
    """Our images [k, n, h, w, c] at centres moved by `shift` (y, x), lengths by `longer`."""
    cases = zip(golden["lengths"], golden["centers"] + np.int32(shift), strict=True)
    return np.stack(
        [
            augment.cutout_at(golden["images"], centers, length=int(length) + longer)
            for length, centers in cases
        ]
    )


def test_equals_tensorflow_addons(golden):
    np.testing.assert_array_equal(cut(golden), golden["outputs"])


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (0, -1), (-1, 0)])
def test_a_centre_one_pixel_off_is_noticed_in_every_image(golden, shift):
    differs = (cut(golden, shift=shift) != golden["outputs"]).any(axis=(2, 3, 4))  # [k, n]
    assert differs.all()


@pytest.mark.parametrize("longer", [-2, 2])
def test_a_length_two_pixels_off_is_noticed_in_every_image(golden, longer):
    differs = (cut(golden, longer=longer) != golden["outputs"]).any(axis=(2, 3, 4))  # [k, n]
    assert differs.all()


def test_y_and_x_exchanged_are_noticed_at_every_length(golden):
    exchanged = {**golden, "centers": golden["centers"][..., ::-1]}
    assert (cut(exchanged) != golden["outputs"]).any(axis=(1, 2, 3, 4)).all()


def test_the_golden_holes_are_half_open_squares_inside_the_image(golden):
    """Slices, not `cutout_at`: [y - L/2, y + L/2) x [x - L/2, x + L/2), nothing clipped."""
    assert (golden["images"] != 0).all()
    _, height, width, _ = golden["images"].shape
    for length, centers, outputs in zip(
        golden["lengths"], golden["centers"], golden["outputs"], strict=True
    ):
        half = length // 2
        assert (centers > half).all() and (centers < np.array([height, width]) - half).all()
        expected = golden["images"].copy()
        for image, (y, x) in zip(expected, centers, strict=True):
            image[y - half : y + half, x - half : x + half] = 0
        np.testing.assert_array_equal(outputs, expected)
