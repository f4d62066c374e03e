"""Depthwise convolution and its derivatives, first and second, against sums over all places, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.layers.depthwise import depthwise

C = 3
CASES = [
    (k, stride, dilation, size)
    for k in (3, 5)
    for stride in (1, 2)
    for dilation in (1, 2)
    for size in ((8, 6), (7, 5), (1, 2), (2, 2))
]


def places(side, k, stride, dilation):
    """[side out, side, k]: 1 where an entry of the kernel meets a pixel."""
    out, pixel, entry = np.ogrid[: -(-side // stride), :side, :k]
    return 1.0 * (pixel == out * stride + dilation * (entry - k // 2))


def drawn(*shapes):
    rng = np.random.default_rng(1)
    return [tf.constant(rng.normal(size=shape)) for shape in shapes]


@tf.function(autograph=False)
def derivatives(x, w, g, hx, hw, **options):
    """y, its vector products, and those of these: in x, w and g."""
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch([x, w, g])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, w])
            y = depthwise(x, w, **options)
        first = tape.gradient(y, [x, w], g)
    return y, *first, *outer.gradient(first, [x, w, g], [hx, hw])


@pytest.mark.parametrize("k, stride, dilation, size", CASES)
def test_it_and_its_derivatives_are_sums_over_all_places(k, stride, dilation, size):
    rows, columns = (places(side, k, stride, dilation) for side in size)
    image, kernel = (2, *size, C), (k, k, C, 1)
    out = (2, len(rows), len(columns), C)
    x, w, g, hx, hw = drawn(image, kernel, out, image, kernel)

    def convolved(x, w):
        return np.einsum("iha,jwb,nhwc,abcd->nijc", rows, columns, x, w, optimize=True)

    def of_input(w, g):
        return np.einsum("iha,jwb,nijc,abcd->nhwc", rows, columns, g, w, optimize=True)

    def of_filter(x, g):
        return np.einsum("iha,jwb,nijc,nhwc->abc", rows, columns, g, x, optimize=True)[..., None]

    expected = (
        convolved(x, w),
        of_input(w, g),
        of_filter(x, g),
        of_input(hw, g),
        of_filter(hx, g),
        convolved(hx, w) + convolved(x, hw),
    )
    found = derivatives(x, w, g, hx, hw, stride=stride, dilation=dilation)
    for own, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_open_shapes_and_the_compiler_change_nothing(stride, dilation):
    image, kernel, out = (2, 7, 5, C), (5, 5, C, 1), (2, -(-7 // stride), -(-5 // stride), C)
    x, w, g, hx, hw = drawn(image, kernel, out, image, kernel)
    options = {"stride": stride, "dilation": dilation}
    plain = derivatives(x, w, g, hx, hw, **options)
    of_open = tf.function(
        lambda x, g, hx: derivatives.python_function(x, w, g, hx, hw, **options),
        input_signature=[tf.TensorSpec((None, None, None, C), tf.float64)] * 3,
        autograph=False,
    )
    compiled = tf.function(derivatives.python_function, jit_compile=True, autograph=False)
    for found in (of_open(x, g, hx), compiled(x, w, g, hx, hw, **options)):
        for own, theirs in zip(found, plain, strict=True):
            np.testing.assert_allclose(own, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_no_images_have_no_gradient_in_the_kernel(stride, dilation):
    image, kernel = (0, 8, 8, C), (3, 3, C, 1)
    x, w, g, hx, hw = drawn(image, kernel, (0, 8 // stride, 8 // stride, C), image, kernel)
    y, of_x, of_w, *_, of_g = derivatives(x, w, g, hx, hw, stride=stride, dilation=dilation)
    assert y.shape == of_g.shape == g.shape
    assert of_x.shape == image
    np.testing.assert_array_equal(of_w, np.zeros(kernel))
