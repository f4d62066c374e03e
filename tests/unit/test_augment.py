"""Augmentation against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.tasks.image_classification import augment

SEED = [3, 4]
MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.125)


def grid(count, side=4):
    """uint8 [count, side, side, 1]: pixel (y, x) of every image is 1 + side * y + x."""
    image = 1 + np.arange(side * side, dtype=np.uint8).reshape(side, side, 1)
    return np.stack([image] * count)


def shifted(image, dy, dx, padding):
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    return padded[dy : dy + image.shape[0], dx : dx + image.shape[1]]


def test_crop_is_a_window_of_the_black_padded_image_and_every_offset_occurs():
    images = grid(300)
    windows = {
        (dy, dx): shifted(images[0], dy, dx, 1).tobytes() for dy in range(3) for dx in range(3)
    }
    np.testing.assert_array_equal(
        shifted(images[0], 0, 2, 1)[..., 0],
        [[0, 0, 0, 0], [2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]],
    )
    cropped = augment.random_crop(images, SEED, padding=1).numpy()
    assert cropped.dtype == np.uint8
    found = {image.tobytes() for image in cropped}
    assert found == set(windows.values())


def test_crop_keeps_channels_and_images_apart():
    images = np.random.default_rng(0).integers(1, 256, (5, 6, 9, 3), np.uint8)
    cropped = augment.random_crop(images, SEED, padding=2).numpy()
    for image, result in zip(images, cropped, strict=True):
        candidates = [shifted(image, dy, dx, 2) for dy in range(5) for dx in range(5)]
        assert any(np.array_equal(result, candidate) for candidate in candidates)


def test_flip_mirrors_columns_of_about_half_of_the_images():
    images = grid(400, side=2)
    flipped = augment.random_flip(images, SEED).numpy()[..., 0]
    mirrored = (flipped == [[2, 1], [4, 3]]).all(axis=(1, 2))
    kept = (flipped == [[1, 2], [3, 4]]).all(axis=(1, 2))
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250  # 200 +- 5 standard deviations of 10


def test_normalize():
    images = np.array([[[[0, 255, 51]]]], np.uint8)
    result = augment.normalize(images, MEAN, STD)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, [[[[-2.0, 1.5, 0.6]]]], rtol=1e-6)  # float32 rounding


def test_cutout_square_is_half_open_and_clipped_at_the_border():
    images = tf.ones([3, 5, 6, 2])
    result = augment.cutout_at(images, tf.constant([[2, 3], [0, 0], [4, 5]]), length=4).numpy()
    np.testing.assert_array_equal(result[..., 0], result[..., 1])
    inner = [[1, 0, 0, 0, 0, 1]] * 4 + [[1] * 6]  # rows 0..3, columns 1..4
    corner = [[0, 0, 1, 1, 1, 1]] * 2 + [[1] * 6] * 3  # rows -2..1, columns -2..1
    far_corner = [[1] * 6] * 2 + [[1, 1, 1, 0, 0, 0]] * 3  # rows 2..5, columns 3..6
    np.testing.assert_array_equal(result[..., 0], [inner, corner, far_corner])


def test_cutout_of_odd_length_is_that_of_length_minus_one():
    images, centers = tf.ones([1, 8, 8, 1]), tf.constant([[4, 4]])
    odd = augment.cutout_at(images, centers, length=5)
    np.testing.assert_array_equal(odd, augment.cutout_at(images, centers, length=4))


@pytest.mark.parametrize(
    "width", [5, 4]
)  # the second shows whether rows and columns are drawn apart
def test_cutout_centers_are_uniform_over_all_pixels(width):
    images = tf.ones([4000, 4, width, 1])
    result = augment.cutout(images, SEED, length=2).numpy()
    # The pixel (y, x) is lost for the centres y, y + 1 and x, x + 1 that exist.
    lost = 1 - result[..., 0].mean(axis=0)
    expected = np.outer([2, 2, 2, 1], [*[2] * (width - 1), 1]) / (4 * width)
    np.testing.assert_allclose(
        lost, expected, atol=0.04
    )  # 5 standard deviations of 0.0069, and more


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_cutout_probability(probability, as_tensor):
    images = tf.ones([1000, 8, 8, 1])
    given = tf.constant(probability) if as_tensor else probability
    result = augment.cutout(images, SEED, length=4, probability=given).numpy()
    share = (result.min(axis=(1, 2, 3)) == 0).mean()
    assert share == pytest.approx(probability, abs=0.0 if probability in (0, 1) else 0.08)


def test_padding_is_black_and_cutout_is_the_mean_colour():
    images = np.full([64, 8, 8, 3], 255, np.uint8)
    transform = augment.Augmentation(MEAN, STD, crop_padding=2, cutout_length=4)
    result = transform(images, SEED).numpy()
    white = [2.0, 1.5, 7.0]
    black = [-2.0, -0.5, -1.0]  # -mean / std
    kinds = np.unique(result.reshape(-1, 3).round(5), axis=0)
    np.testing.assert_allclose(kinds, sorted([black, [0, 0, 0], white]), atol=1e-5)


def test_order_crop_then_flip_then_normalise_then_cutout():
    images = grid(50, side=8)
    transform = augment.Augmentation(
        (0.5,), (0.25,), crop_padding=2, cutout_length=4, cutout_probability=0.5
    )
    crop_seed, flip_seed, cutout_seed = tf.unstack(tf.random.split(SEED, 3))
    expected = augment.random_crop(images, crop_seed, padding=2)
    expected = augment.random_flip(expected, flip_seed)
    expected = augment.normalize(expected, (0.5,), (0.25,))
    expected = augment.cutout(expected, cutout_seed, length=4, probability=0.5)
    np.testing.assert_array_equal(transform(images, SEED), expected)


def test_everything_off_is_the_test_transform():
    images = grid(3, side=8)
    transform = augment.Augmentation((0.5,), (0.25,), crop_padding=0, flip=False)
    np.testing.assert_array_equal(transform(images, SEED), transform.test(images))


def test_same_seed_same_result_and_another_seed_another():
    images = grid(20, side=8)
    transform = augment.Augmentation((0.5,), (0.25,), cutout_length=4)
    np.testing.assert_array_equal(transform(images, SEED), transform(images, SEED))
    assert np.any(transform(images, SEED) != transform(images, [3, 5]))


def test_cutout_probability_tensor_does_not_retrace():
    traces = []

    @tf.function
    def apply(images, probability):
        traces.append(1)
        transform = augment.Augmentation(
            (0.5,), (0.25,), cutout_length=4, cutout_probability=probability
        )
        return transform(images, SEED)

    images = tf.constant(grid(2, side=8))
    for probability in (0.0, 0.5, 1.0):
        apply(images, tf.constant(probability))
    assert len(traces) == 1
