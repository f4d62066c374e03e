"""Augmentation against geometry, and against numbers worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest

from rdarts_tf.tasks.disparity import augment

SIZE, CROP = (80, 140), (40, 64)


def rng(seed=0):
    return np.random.default_rng(seed)


def smooth_pair(a=6.0, b=0.08, c=0.03):
    """(left, right, disparity a + b x + c y): textures of waves of 30 pixels and more, in [0, 1].

    The right image shows at x what the left one shows at (x + a + c y) / (1 - b).
    """
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)

    def texture(x):
        waves = [np.sin(x / 5), np.sin(x / 7 + y / 9), np.cos(x / 11 - y / 8)]
        return (0.5 + 0.2 * np.stack(waves, axis=-1)).astype(np.float32)

    return texture(x), texture((x + a + c * y) / (1 - b)), (a + b * x + c * y).astype(np.float32)


def mismatch(left, right, disparity):
    """Largest difference of left at x and right at x - d, by NumPy's own interpolation."""
    height, width = disparity.shape
    x = np.arange(width)
    worst = 0.0
    for row in range(height):
        place = x - disparity[row]
        inside = (place >= 0) & (place <= width - 1)
        assert inside.any()
        for channel in range(3):
            found = np.interp(place, x, right[row, :, channel])
            worst = max(worst, np.abs(found - left[row, :, channel])[inside].max())
    return worst


# Interpolation and the nearest disparity err by 0.01 to 0.02 where a wave of 0.2 has slope 1 / 5; a
# disparity that is off by one pixel would by 0.04.
TOLERANCE = 0.03


def test_the_synthetic_pair_matches_as_it_is():
    left, right, disparity = smooth_pair()
    assert mismatch(left, right, disparity) < TOLERANCE
    assert mismatch(left, right, disparity + 1) > TOLERANCE
    assert mismatch(left, right, -disparity) > 10 * TOLERANCE


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.5, 1.0, 1.5, 2.0])
def test_disparities_follow_the_images_through_every_map(scale):
    left, right, disparity = smooth_pair()
    for seed in range(4):
        window = augment.random_window(rng(seed), SIZE, CROP, scale=scale, max_offset=4)
        crop = augment.crop_pair(left, right, disparity, window, CROP)
        assert mismatch(*crop) < TOLERANCE, window


@pytest.mark.parametrize("name", ["x0", "y0", "zoom_x", "zoom_y", "shear", "offset"])
def test_disparities_follow_the_images_through_each_part_of_a_map(name):
    neutral = augment.Window(x0=30.25, y0=10.5, zoom_x=1.0, zoom_y=1.0, shear=0.0, offset=0.0)
    changed = {"x0": 41.6, "y0": 20.3, "zoom_x": 1.7, "zoom_y": 0.8, "shear": -0.3, "offset": 5.5}
    pair = smooth_pair()
    window = neutral._replace(**{name: changed[name]})
    assert augment.fits(window, SIZE, CROP)
    crop, before = (augment.crop_pair(*pair, w, CROP) for w in (window, neutral))
    assert mismatch(*crop) < TOLERANCE
    assert np.abs(crop[1] - before[1]).max() > 0.1  # it does something


def test_zoom_and_offset_of_disparities_by_hand():
    disparity = np.arange(24, dtype=np.float32).reshape(4, 6)
    image = np.repeat(disparity[..., np.newaxis], 3, axis=-1)
    disparity[2, 2] = np.nan
    window = augment.Window(x0=1.0, y0=1.0, zoom_x=2.0, zoom_y=0.5, shear=0.0, offset=3.0)
    left, right, moved = augment.crop_pair(image, image, disparity, window, (2, 4))
    # Rows 1 and 3 of columns 1, 1.5 (the nearest is 2), 2, 2.5 (2); 2 d + 3.
    np.testing.assert_array_equal(moved, [[17, 19, 19, 19], [41, 43, 43, 43]])
    np.testing.assert_array_equal(left[..., 0], [[7, 7.5, 8, 8.5], [19, 19.5, 20, 20.5]])
    np.testing.assert_array_equal(right[..., 0], [[8.5, 9, 9.5, 10], [20.5, 21, 21.5, 22]])
    _, _, moved = augment.crop_pair(image, image, disparity, window._replace(y0=2.0), (1, 4))
    np.testing.assert_array_equal(moved, [[29, np.nan, np.nan, np.nan]])
    _, _, moved = augment.crop_pair(image, image, disparity, window._replace(offset=-16.0), (1, 2))
    np.testing.assert_array_equal(moved, [[np.nan, 0]])


def test_bilinear_by_hand():
    image = np.array([[[0.0], [1.0]], [[2.0], [7.0]]])
    x, y = np.array([[0.0, 0.25, 1.0], [0.5, 0.0, 1.0]]), np.array([0.5, 1.0])
    expected = [[1.0, 1.75, 4.0], [4.5, 2.0, 7.0]]
    np.testing.assert_array_equal(augment.sample(image, x, y)[..., 0], expected)


def test_scale_0_is_a_window_of_the_images_at_any_position():
    left = rng().integers(0, 256, (5, 7, 3), np.uint8)
    right, disparity = 255 - left, left[..., 0] / np.float32(16)
    augmentation = augment.Augmentation((3, 4), scale=0.0, max_offset=4, flip=True)
    seen = {}
    for seed in range(300):
        crop = augmentation(left, right, disparity, rng(seed))
        seen[crop[2].tobytes()] = crop
    positions = [(y, x) for y in range(3) for x in range(4)]
    assert len(seen) == len(positions)
    for y, x in positions:
        window = np.s_[y : y + 3, x : x + 4]
        found = seen[disparity[window].tobytes()]
        for one, image in zip(found, (left, right), strict=False):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, image[window] / 255 - 0.4, atol=1e-7)  # float32


def test_a_crop_of_all_of_an_image_is_the_image_where_no_window_fits(monkeypatch):
    monkeypatch.setattr(augment, "fits", lambda window, size, crop: False)
    left, right, disparity = smooth_pair()
    window = augment.random_window(rng(), SIZE, SIZE, scale=2.0, max_offset=9)
    crop = augment.crop_pair(left, right, disparity, window, SIZE)
    for found, whole in zip(crop, (left, right, disparity), strict=True):
        np.testing.assert_array_equal(found, whole)


def test_what_a_window_reads_lies_within_the_images():
    window = augment.Window(x0=1.0, y0=0.0, zoom_x=1.0, zoom_y=1.0, shear=0.0, offset=0.0)
    assert augment.fits(window, (4, 8), (4, 7))
    for change in (
        {"x0": 1.1},
        {"x0": -0.1},
        {"y0": 0.1},
        {"y0": -0.1},
        {"zoom_x": 0.9},
        {"zoom_y": 0.9},
        {"shear": 0.1},
        {"shear": -0.4},
        {"offset": 0.5},
        {"offset": -1.5},
    ):
        assert not augment.fits(window._replace(**change), (4, 8), (4, 7)), change
    assert augment.fits(window._replace(x0=0.5, offset=-0.5), (4, 8), (4, 7))
    assert augment.fits(window._replace(shear=-0.3), (4, 8), (4, 7))


def parameters(seed, scale):
    """What `draw_window` draws, before it is put together: log zooms, shear, translations, offset."""
    window = augment.draw_window(rng(seed), SIZE, SIZE, scale=scale, max_offset=8)
    log_x, log_y = math.log(window.zoom_x), math.log(window.zoom_y)
    half_height, half_width = ((side - 1) / 2 for side in SIZE)
    center_x = window.x0 + half_width / window.zoom_x + window.shear * half_height
    center_y = window.y0 + half_height / window.zoom_y
    return np.array(
        [
            (log_x + log_y) / 2,
            (log_x - log_y) / 2,
            window.shear,
            (center_x - half_width) / SIZE[1],
            (center_y - half_height) / SIZE[0],
            window.offset,
        ]
    )


def test_spreads_of_the_map_and_their_scale():
    drawn = np.array([parameters(seed, 1.0) for seed in range(2000)])
    spreads = np.array([0.4, 0.3, 0.1, 0.4, 0.4, 8.0])
    assert np.all(np.abs(drawn) <= spreads + 1e-9)
    # A uniform variable has variance spread^2 / 3; of 2,000 draws its estimate is within 8 %, by 4 deviations.
    np.testing.assert_allclose(drawn.var(axis=0), spreads**2 / 3, rtol=0.08)
    assert np.all(np.abs(drawn.mean(axis=0)) < 0.06 * spreads)
    assert np.all(np.abs(np.corrcoef(drawn.T) - np.eye(6)) < 0.1)
    for scale in (0.0, 0.1, 0.5, 1.5, 2.0):
        scaled = parameters(7, scale)
        np.testing.assert_allclose(scaled, np.sqrt(scale) * parameters(7, 1.0), atol=1e-9)


NEUTRAL = {"colour": np.zeros(3), "gamma": 0.0, "brightness": 0.0, "contrast": 0.0}


def test_adjusted_by_hand():
    image = np.array([[[0.25, 0.5, 0.25], [0.0, 0.0, 0.0]]], np.float32)
    cases = [
        ({}, image[0]),
        ({"gamma": math.log(2)}, [[0.0625, 0.25, 0.0625], [0, 0, 0]]),
        ({"brightness": 0.125}, [[0.375, 0.625, 0.375], [0.125] * 3]),
        ({"contrast": math.log(2)}, [[0, 0.5, 0], [0, 0, 0]]),
        ({"contrast": math.log(0.5)}, [[0.375, 0.5, 0.375], [0.25] * 3]),
        # Twice the red at the brightness 1 of before: (0.5, 0.5, 0.25) / 1.25.
        ({"colour": np.log([2, 1, 1])}, [[0.4, 0.4, 0.2], [0, 0, 0]]),
        (
            {"gamma": math.log(2), "brightness": 0.25, "contrast": math.log(2)},
            [[0.125, 0.5, 0.125], [0, 0, 0]],
        ),
    ]
    for change, expected in cases:
        found = augment.adjusted(image, **(NEUTRAL | change))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[0], expected, atol=1e-6)  # float32


def test_both_images_are_changed_alike_and_the_right_one_a_little_more(monkeypatch):
    monkeypatch.setattr(augment, "NOISE", 0.0)
    image = rng().uniform(0.3, 0.7, (8, 9, 3)).astype(np.float32)
    left, right = augment.appearance(image, image, rng(1))
    change, difference = np.abs(left - image).mean(), np.abs(left - right).mean()
    assert 0 < difference < 0.03 < change
    monkeypatch.setattr(augment, "SECOND", 0.0)
    left, right = augment.appearance(image, image, rng(1))
    np.testing.assert_array_equal(left, right)


def test_spreads_of_appearance_and_their_scale(monkeypatch):
    drawn = []
    monkeypatch.setattr(augment, "adjusted", lambda image, **v: drawn.append(v) or image.copy())
    grey = np.full([30, 40, 3], 0.5, np.float32)
    noisy = [augment.appearance(grey, grey, rng(seed)) for seed in range(400)]
    flat = np.array([np.hstack([v[name] for name in NEUTRAL]) for v in drawn])
    left, right = flat[::2], flat[1::2]
    # The deviation of 400 Gaussian draws is within 14 %, by 4 deviations.
    np.testing.assert_allclose(left.std(axis=0), [0.2, 0.2, 0.2, 0.2, 0.1, 0.2], rtol=0.14)
    np.testing.assert_allclose((right - left).std(axis=0), 0.01, rtol=0.14)
    sigma = np.array([[image.std() for image in images] for images in noisy])
    np.testing.assert_allclose(sigma[:, 0], sigma[:, 1], rtol=0.1)
    assert np.sqrt(np.mean(sigma**2)) == pytest.approx(0.03, rel=0.14)
    assert abs(np.corrcoef(noisy[3][0].ravel(), noisy[3][1].ravel())[0, 1]) < 0.1
    for scale in (0.1, 2.0):
        drawn.clear()
        scaled = augment.appearance(grey, grey, rng(5), scale=scale)[0].std()
        found = np.hstack([drawn[0][name] for name in NEUTRAL])
        np.testing.assert_allclose(found, np.sqrt(scale) * left[5], rtol=1e-9)
        assert scaled == pytest.approx(np.sqrt(scale) * sigma[5, 0], rel=1e-3)


def test_an_augmentation_is_a_function_of_its_generator():
    left, right, disparity = smooth_pair()
    pair = (np.rint(255 * left).astype(np.uint8), np.rint(255 * right).astype(np.uint8), disparity)
    augmentation = augment.Augmentation(CROP, scale=1.0, max_offset=4, flip=True)
    first, again, other = (augmentation(*pair, rng(seed)) for seed in (0, 0, 1))
    for one, same, different in zip(first, again, other, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, different)
    for image in first[:2]:
        assert image.shape == (*CROP, 3)
        assert -0.401 <= image.min() < image.max() <= 0.601


def test_half_of_the_pairs_are_mirrored_top_to_bottom(monkeypatch):
    monkeypatch.setattr(augment, "appearance", lambda left, right, rng, scale: (left, right))
    rows = np.arange(8, dtype=np.float32)[:, np.newaxis]
    disparity = np.broadcast_to(rows, (8, 7)).copy()
    image = np.repeat(10 * disparity[..., np.newaxis], 3, axis=-1).astype(np.uint8)
    flipping = augment.Augmentation((6, 5), scale=1e-12, flip=True)
    falling = 0
    for seed in range(200):
        left, right, moved = flipping(image, image, disparity, rng(seed))
        np.testing.assert_allclose(left[..., 0], 10 * moved / 255 - 0.4, atol=1e-3)
        np.testing.assert_allclose(left, right, atol=1e-3)
        falling += moved[0, 0] > moved[-1, 0]
    assert 70 < falling < 130  # 100 +- 4 deviations of 7
    steady = dataclasses.replace(flipping, flip=False)
    moved = [steady(image, image, disparity, rng(seed))[2] for seed in range(20)]
    assert all(m[0, 0] < m[-1, 0] for m in moved)
