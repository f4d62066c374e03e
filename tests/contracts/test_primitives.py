"""Every primitive against a numpy program of PyTorch's arithmetic in plain loops, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.layers import primitives
from rdarts_tf.layers.batch_norm import BatchNorm, normalise, statistics_kept
from rdarts_tf.layers.drop_path import drop_path
from rdarts_tf.layers.mixed_op import MixedOp
from rdarts_tf.layers.moments import sums_over_pixels
from rdarts_tf.layers.primitives import PRIMITIVES, FactorizedReduce, ReLUConvBN

C = 4
RTOL, ATOL = 1e-11, 1e-12  # float64; variances as differences of squares lose two digits
CASES = [(name, stride) for name in PRIMITIVES for stride in (1, 2)]
DETERMINISTIC = [case for case in CASES if case[0] != "noise"]
every_primitive = pytest.mark.parametrize("name, stride", CASES)
every_deterministic = pytest.mark.parametrize("name, stride", DETERMINISTIC)
sizes = pytest.mark.parametrize("size", [(6, 6), (7, 5), (1, 2)], ids=str)


# The numpy program. Layout [N, H, W, C].
def windows(x, size, *, stride, dilation=1, padding, fill=0.0):
    """Yields (row, column, window [N, *size, C]) of the padded x; size, padding: (high, wide)."""
    (kh, kw), (sh, sw), (ph, pw) = size, stride, padding
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=fill)
    for row in range((x.shape[1] - dilation * (kh - 1) - 1) // sh + 1):
        for column in range((x.shape[2] - dilation * (kw - 1) - 1) // sw + 1):
            rows = row * sh + dilation * np.arange(kh)
            columns = column * sw + dilation * np.arange(kw)
            yield row, column, x[:, rows][:, :, columns]


def slide(x, size, function, **options):
    """function(window) -> [N, D] at every place: [N, H', W', D]."""
    values = {(r, c): function(w) for r, c, w in windows(x, size, **options)}
    height, width = max(r for r, _ in values) + 1, max(c for _, c in values) + 1
    rows = [np.stack([values[r, c] for c in range(width)], axis=1) for r in range(height)]
    return np.stack(rows, axis=1)


def np_depthwise(x, kernel, *, stride, dilation=1):  # kernel [k, k, C, 1]
    k = kernel.shape[0]
    weights, padding = kernel[..., 0], dilation * (k // 2)
    return slide(
        x,
        (k, k),
        lambda window: np.einsum("nijc,ijc->nc", window, weights),
        stride=(stride, stride),
        dilation=dilation,
        padding=(padding, padding),
    )


def np_pool(x, kind, stride):
    """The average ignores the padding, which is NaN here."""
    function = {"max": np.nanmax, "avg": np.nanmean}[kind]
    return slide(
        x,
        (3, 3),
        lambda window: function(window, axis=(1, 2)),
        stride=(stride, stride),
        padding=(1, 1),
        fill=np.nan,
    )


def np_conv(x, kernel, *, stride):  # kernel [kh, kw, C, D]
    kh, kw = kernel.shape[:2]
    return slide(
        x,
        (kh, kw),
        lambda window: np.einsum("nijc,ijcd->nd", window, kernel),
        stride=stride,
        padding=(kh // 2, kw // 2),
    )


def relu(x):
    return np.maximum(x, 0)


class NumpyBatchNorm:
    """Normalises with the batch or with the moving averages that a layer held before the call."""

    def __init__(self, bn, training):
        self.training = training
        self.mean, self.variance = bn.moving_mean.numpy(), bn.moving_variance.numpy()
        self.gamma = bn.gamma.numpy() if bn.affine else 1.0
        self.beta = bn.beta.numpy() if bn.affine else 0.0

    def __call__(self, z):
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = z.mean((0, 1, 2)), z.var((0, 1, 2))
            n = z.size // z.shape[-1]
            unbiased = variance * n / max(n - 1, 1)
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance = 0.9 * self.variance + 0.1 * unbiased
        return self.gamma * (z - mean) / np.sqrt(variance + 1e-5) + self.beta


def np_factorized_reduce(op, x, bn):
    """On odd sizes the second half, shifted by one pixel, reads zeros outside."""
    even = np.pad(relu(x), ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
    halves = [even[:, ::2, ::2] @ op.kernel_1.numpy(), even[:, 1::2, 1::2] @ op.kernel_2.numpy()]
    return bn["bn"](np.concatenate(halves, axis=-1))


def np_sep_conv(op, x, bn):
    y = np_depthwise(relu(x), op.dw_1.numpy(), stride=op.stride) @ op.pw_1.numpy()
    y = relu(bn["bn_1"](y))
    return bn["bn_2"](np_depthwise(y, op.dw_2.numpy(), stride=1) @ op.pw_2.numpy())


def np_dil_conv(op, x, bn):
    y = np_depthwise(relu(x), op.dw.numpy(), stride=op.stride, dilation=2)
    return bn["bn"](y @ op.pw.numpy())


def np_plain_conv(op, x, bn):
    return bn["bn"](np_conv(relu(x), op.kernel.numpy(), stride=(op.stride, op.stride)))


def np_conv_7x1(op, x, bn):
    y = np_conv(relu(x), op.conv_1.numpy(), stride=(1, op.stride))
    return bn["bn"](np_conv(y, op.conv_2.numpy(), stride=(op.stride, 1)))


def np_pooling(op, x, bn):
    y = np_pool(x, op.kind, op.stride)
    return y if op.affine else bn["bn"](y)


REFERENCES = {
    primitives.Zero: lambda op, x, bn: np.zeros_like(x[:, :: op.stride, :: op.stride]),
    primitives.Identity: lambda op, x, bn: x,
    primitives.FactorizedReduce: np_factorized_reduce,
    primitives.ReLUConvBN: lambda op, x, bn: bn["bn"](relu(x) @ op.kernel.numpy()),
    primitives.Pool: np_pooling,
    primitives.SepConv: np_sep_conv,
    primitives.DilConv: np_dil_conv,
    primitives.Conv: np_plain_conv,
    primitives.ConvPair: np_conv_7x1,
}


def batch_norms(op):
    return {n: getattr(op, n) for n in ("bn", "bn_1", "bn_2") if getattr(op, n, None) is not None}


def randomise(op, seed=0):
    """Fills all variables; the moving variances stay positive."""
    rng = np.random.default_rng(seed)
    for v in op.variables:
        positive = v.name in ("moving_variance", "gamma")
        value = rng.uniform(0.5, 1.5, v.shape) if positive else rng.normal(size=v.shape)
        v.assign(value)
    return op


def built(name, stride, *, channels=C, dtype="float64", **options):
    op = primitives.make(name, channels, stride=stride, dtype=dtype, **options)
    op.build((None, None, None, channels))
    return randomise(op)


def drawn(size, *, channels=C, seed=1):
    return np.random.default_rng(seed).normal(size=(3, *size, channels))


def called(op, x, **options):
    """The primitive as a cell calls it."""
    x = tf.convert_to_tensor(x)
    return op(tf.nn.relu(x) if op.reads_relu else x, **options)


def compare(op, x, *, training):
    layers = batch_norms(op)
    references = {n: NumpyBatchNorm(bn, training) for n, bn in layers.items()}
    expected = REFERENCES[type(op)](op, x, references)
    np.testing.assert_allclose(called(op, x, training=training), expected, rtol=RTOL, atol=ATOL)
    for n, bn in layers.items():
        np.testing.assert_allclose(bn.moving_mean.numpy(), references[n].mean, rtol=RTOL, atol=ATOL)
        np.testing.assert_allclose(bn.moving_variance.numpy(), references[n].variance, rtol=RTOL)


# Values.
@sizes
@every_deterministic
def test_values_in_training_and_moved_statistics(name, stride, size):
    compare(built(name, stride), drawn(size), training=True)


@every_deterministic
def test_values_in_inference_leave_the_statistics(name, stride):
    compare(built(name, stride), drawn((7, 6)), training=False)


@pytest.mark.parametrize("training", [True, False])
@every_deterministic
def test_values_in_derived_networks(name, stride, training):
    op = built(name, stride, affine=True)
    assert all(bn.affine for bn in batch_norms(op).values())
    compare(op, drawn((7, 6)), training=training)


@pytest.mark.parametrize("kind", [ReLUConvBN, FactorizedReduce])
def test_preprocessing_changes_the_number_of_channels(kind):
    op = kind(6, dtype="float64")
    op.build((None, None, None, C))
    compare(randomise(op), drawn((6, 5)), training=True)


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (7, 10)], ids=str)
@every_primitive
def test_shape_and_type(name, stride, size):
    op = built(name, stride, dtype="float32")
    for training in (True, False):
        y = called(op, drawn(size).astype(np.float32), training=training)
        assert y.shape == (3, *(-(-n // stride) for n in size), C)
        assert y.dtype == tf.float32 and np.all(np.isfinite(y))


@every_primitive
def test_images_of_any_size_in_a_function(name, stride):
    op = built(name, stride)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, C], tf.float64)])
    def call(x):
        return called(op, x, seed=[1, 2], training=True)

    for size in ((6, 6), (7, 5)):
        expected = called(op, drawn(size), seed=[1, 2], training=True)
        np.testing.assert_allclose(call(drawn(size)), expected, rtol=1e-10, atol=1e-10)  # rounding


@every_primitive
def test_scale_multiplies_the_result(name, stride):
    op, x, p = built(name, stride), drawn((6, 6)), tf.constant(0.3, tf.float64)
    options = {"seed": [1, 2], "training": True}
    expected = 0.3 * called(op, x, **options)
    np.testing.assert_allclose(called(op, x, scale=p, **options), expected, rtol=RTOL, atol=ATOL)


@every_primitive
def test_configuration_round_trip(name, stride):
    for op in (built(name, stride), built(name, stride, affine=True)):
        restored = keras.layers.deserialize(keras.layers.serialize(op))
        if not restored.built:
            restored.build((None, None, None, C))
        assert type(restored) is type(op) and restored.get_config() == op.get_config()
        for v, value in zip(restored.variables, op.variables, strict=True):
            v.assign(value)
        x, options = drawn((6, 6)), {"seed": [1, 2], "training": False}
        np.testing.assert_array_equal(called(restored, x, **options), called(op, x, **options))


# Derivatives: of s(x, w) = sum(r * op(x)) along one direction of x and all weights.
@every_deterministic
def test_first_and_second_derivatives_are_slopes(name, stride):
    op, rng = built(name, stride), np.random.default_rng(5)
    point = [tf.constant(drawn((5, 4))), *(v.value for v in op.trainable_variables)]
    state = [v.value for v in op.non_trainable_variables]
    direction = [tf.constant(rng.normal(size=x.shape)) for x in point]
    shape = called(op, point[0]).shape
    weights = tf.constant(rng.normal(size=shape))

    def value(point):
        x = tf.nn.relu(point[0]) if op.reads_relu else point[0]
        y, _ = op.stateless_call(point[1:], state, x, training=True)
        return tf.reduce_sum(weights * y**2)

    def slope(point):
        with tf.GradientTape() as tape:
            tape.watch(point)
            result = value(point)
        return inner(tape.gradient(result, point, unconnected_gradients="zero"), direction)

    def curvature(point):
        with tf.GradientTape() as tape:
            tape.watch(point)
            result = slope(point)
        return inner(tape.gradient(result, point, unconnected_gradients="zero"), direction)

    for function, derivative in ((value, slope), (slope, curvature)):
        h, scale = 1e-6, 1 + abs(float(function(point)))
        ahead, back = ([x + s * d for x, d in zip(point, direction, strict=True)] for s in (h, -h))
        numeric = (function(ahead) - function(back)) / (2 * h)
        # truncation h^2, rounding 1e-16 / h times the size of the function
        np.testing.assert_allclose(derivative(point), numeric, rtol=1e-6, atol=1e-7 * scale)


def inner(xs, ys):
    return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(xs, ys, strict=True)])


@pytest.mark.parametrize("name", ["sep_conv_3x3", "dil_conv_3x3"])
def test_a_part_of_a_batch_without_rows_has_gradients_of_zero(name):
    """As a replica may get of the last batch."""
    op = built(name, 2, affine=True)
    weights = [v.value for v in op.trainable_variables]
    junk = [tf.fill([9 * C], tf.constant(1e300, tf.float64)) for _ in range(100)]
    del junk  # what memory that is not written to would hold
    with tf.GradientTape() as outer:
        outer.watch(weights)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            y = op(tf.zeros([0, 6, 6, C], tf.float64), training=True)
            loss = tf.reduce_sum(tf.square(y)) + sum(tf.reduce_sum(w**2) for w in weights)
        first = inner.gradient(loss, weights)
    second = outer.gradient(first, weights)
    for w, g, h in zip(weights, first, second, strict=True):
        np.testing.assert_array_equal(g, 2 * w)
        np.testing.assert_array_equal(h, np.full(w.shape, 2))
    assert all(np.isfinite(v).all() for v in op.get_weights())


# Noise.
def test_noise_is_standard_normal_and_drawn_afresh():
    op, x = built("noise", 1), tf.zeros((64, 16, 16, C), tf.float64)
    first, second = (op(x, training=training).numpy() for training in (True, False))
    assert abs(first.mean()) < 0.02 and abs(first.std() - 1) < 0.02  # 4 sigma of 65536 draws
    assert abs(np.mean(first * second)) < 0.02


def test_noise_is_the_same_for_the_same_seed():
    op, x = built("noise", 2), tf.zeros((2, 5, 5, C), tf.float64)
    first, again, other = (op(x, seed=seed).numpy() for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("name", ["noise", "none"])
def test_no_gradient_passes(name):
    x = tf.constant(drawn((4, 4)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = built(name, 1)(x)
    gradient = tape.gradient(y, x)
    assert gradient is None or not np.any(gradient)


# The table.
def test_only_what_has_no_weights_is_shared():
    for name, stride in CASES:
        op = built(name, stride)
        assert not (op.shareable and op.trainable_variables)


def test_an_unknown_primitive_is_named():
    with pytest.raises(ValueError, match="unknown primitive 'pool'; there are: none, noise"):
        primitives.make("pool", C)


def test_a_strided_skip_needs_even_channels():
    with pytest.raises(ValueError, match="even, not 3"):
        primitives.make("skip_connect", 3, stride=2)


def test_kernels_start_uniform_within_one_over_the_root_of_the_fan_in():
    op = primitives.make("sep_conv_3x3", 32)
    op.build((None, None, None, 32))
    for kernel, fan_in in ((op.dw_1, 32 * 9), (op.pw_1, 32)):
        largest, bound = np.abs(kernel.numpy()).max(), fan_in**-0.5
        assert 0.9 * bound < largest <= bound


# BatchNorm.
def batch_norm(affine=False, channels=6, dtype="float64", **options):
    bn = BatchNorm(affine, dtype=dtype, **options)
    bn.build(channels)
    return randomise(bn)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_of_a_folded_convolution(affine, training):
    bn, x = batch_norm(affine), 2 + drawn((5, 4))
    kernel = np.random.default_rng(2).normal(size=(C, 6))
    reference = NumpyBatchNorm(bn, training)
    expected = 0.7 * reference(x @ kernel)
    scale = tf.constant(0.7, tf.float64)
    actual = bn(tf.constant(x), kernel=tf.constant(kernel), scale=scale, training=training)
    np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(bn.moving_mean.numpy(), reference.mean, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(bn.moving_variance.numpy(), reference.variance, rtol=RTOL)


@pytest.mark.parametrize("kernel", [None, np.random.default_rng(2).normal(size=(C, C))])
def test_batch_norm_in_float32_is_that_in_float64(kernel):
    x = 3 + drawn((16, 16))
    exact = batch_norm(channels=C)(x, kernel=kernel, training=True)
    bn = batch_norm(channels=C, dtype="float32")
    kernel = None if kernel is None else kernel.astype(np.float32)
    actual = bn(x.astype(np.float32), kernel=kernel, training=True)
    assert actual.dtype == tf.float32
    # rounding of a sum of 768, 1e-6, times (mean / deviation)^2 = 10, times values up to 4
    np.testing.assert_allclose(actual, exact, atol=1e-4)


def test_batch_norm_computes_statistics_of_bfloat16_in_float32():
    x = (3 + drawn((16, 16))).astype(np.float32)
    bn = batch_norm(channels=C, dtype="mixed_bfloat16")
    actual = bn(tf.cast(x, tf.bfloat16), training=True)
    assert actual.dtype == tf.bfloat16 and bn.moving_mean.dtype == "float32"
    exact = batch_norm(channels=C)(x.astype(np.float64), training=True)
    np.testing.assert_allclose(tf.cast(actual, tf.float32), exact, atol=0.1)  # 8 bits of 6


def test_a_constant_channel_is_mapped_to_zero():
    x = tf.fill((2, 3, 3, C), tf.constant(5.0, tf.float64))
    np.testing.assert_allclose(batch_norm(channels=C)(x, training=True), 0.0, atol=1e-9)


def test_a_variance_that_rounding_makes_negative_is_zero():
    """Squares of 100 to 1000 in float32 are wrong by up to 0.06."""
    x = tf.ones((2, 3, 3, 64)) * tf.linspace(100.0, 1000.0, 64)
    bn = BatchNorm()
    bn.build(64)
    assert np.isfinite(bn(x, training=True)).all()
    assert bn.moving_variance.numpy().min() >= np.float32(0.9)


def test_statistics_may_be_those_of_parts_together():
    x, sums = tf.constant(drawn((4, 4))), []

    def others(own):
        sums.append(own)
        return own

    expected, *moments = normalise(x)
    normalise(x[1:], total=others)
    found, *found_moments = normalise(
        x[:1], total=lambda own: [a + b for a, b in zip(own, *sums, strict=True)]
    )
    np.testing.assert_allclose(found, expected[:1], rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(found_moments, moments, rtol=RTOL, atol=ATOL)


def test_a_single_pixel_moves_the_variance_to_a_finite_value():
    bn = batch_norm(channels=C)
    before = bn.moving_variance.numpy()
    bn(tf.ones((1, 1, 1, C), tf.float64), training=True)
    np.testing.assert_allclose(bn.moving_variance.numpy(), 0.9 * before, rtol=RTOL)


def test_gamma_starts_uniform_or_as_asked():
    bn = BatchNorm(True)
    bn.build(1000)
    gamma = bn.gamma.numpy()
    assert 0 <= gamma.min() < 0.02 and 0.98 < gamma.max() <= 1 and abs(gamma.mean() - 0.5) < 0.05
    bn = BatchNorm(True, gamma_initializer="ones")
    bn.build((None, None, None, 3))
    np.testing.assert_array_equal(bn.gamma.numpy(), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(bn.beta.numpy(), [0.0, 0.0, 0.0])


def test_batch_norm_starts_with_statistics_of_mean_0_and_variance_1():
    bn, x = BatchNorm(dtype="float64"), drawn((3, 2))
    np.testing.assert_allclose(bn(x, training=False), x / np.sqrt(1 + 1e-5), rtol=RTOL)


def test_statistics_that_are_kept_do_not_move():
    bn = batch_norm(channels=C)
    before = [v.numpy() for v in (bn.moving_mean, bn.moving_variance)]
    with statistics_kept():
        bn(drawn((3, 2)), training=True)
    np.testing.assert_array_equal([bn.moving_mean.numpy(), bn.moving_variance.numpy()], before)


def test_the_gradient_of_sums_over_pixels_is_written_out_rightly():
    """d (sum(u) . g + <u^T u, G>) = 1 g^T + u (G + G^T), also where G is not symmetric."""
    rng = np.random.default_rng(4)
    u, g, G = (rng.normal(size=shape) for shape in ((5, C), (1, C), (C, C)))
    u = tf.constant(u)
    with tf.GradientTape() as tape:
        tape.watch(u)
        total, outer = sums_over_pixels(u)
        value = tf.reduce_sum(total * g) + tf.reduce_sum(outer * G)
    np.testing.assert_allclose(total[0], u.numpy().sum(0), rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(outer, u.numpy().T @ u.numpy(), rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(tape.gradient(value, u), g + u.numpy() @ (G + G.T), rtol=RTOL)


def test_batch_norm_configuration():
    bn = BatchNorm(True, gamma_initializer="ones", synchronized=True, name="bn")
    restored = BatchNorm.from_config(bn.get_config())
    assert restored.get_config() == bn.get_config() and restored.synchronized


# MixedOp.
NAMES = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3", "noise")


@pytest.mark.parametrize("stride", [1, 2])
def test_mixed_op_is_the_weighted_sum_of_its_operations(stride):
    mixed, x = MixedOp(NAMES, C, stride=stride, dtype="float64"), tf.constant(drawn((6, 6)))
    mixed.build((None, None, None, C))
    randomise(mixed)
    p = [tf.constant(w, tf.float64) for w in (0.1, 0.2, 0.3, 0.15, 0.25)]
    with tf.GradientTape() as tape:
        tape.watch(p)
        terms = mixed.terms(x, p, seed=[1, 2], training=True)
        total = tf.add_n(terms)
    assert len(terms) == 4  # `none` has none
    outputs = [called(op, x, seed=[1, 2], training=True) for op in mixed.ops]
    expected = sum(w * y for w, y in zip(p, outputs, strict=True))
    np.testing.assert_allclose(total, expected, rtol=RTOL, atol=ATOL)
    slopes = tape.gradient(total, p, unconnected_gradients="zero")
    sums = [np.sum(y) for y in outputs]
    np.testing.assert_allclose(slopes, sums, rtol=RTOL, atol=1e-10)  # sums of 432 entries


def test_edges_from_one_state_evaluate_shared_operations_once():
    shared, outputs = {}, {}
    edges = [MixedOp(NAMES, C, shared=shared, dtype="float64") for _ in range(2)]
    for mixed in edges:
        mixed.build((None, None, None, C))
    assert edges[0].ops[2] is edges[1].ops[2] and edges[0].ops[3] is not edges[1].ops[3]
    p, x = [tf.constant(0.2, tf.float64)] * 5, tf.constant(drawn((6, 6)))
    moved = []
    for mixed in edges:
        mixed.terms(x, p, outputs=outputs, seed=[1, 2], training=True)
        moved.append(edges[0].ops[2].bn.moving_mean.numpy())
    assert len(outputs) == 1
    np.testing.assert_array_equal(*moved)  # the second edge moved nothing


def test_mixed_op_configuration():
    mixed = MixedOp(NAMES, C, stride=2, batch_norm={"gamma_initializer": "ones"}, name="m")
    assert MixedOp.from_config(mixed.get_config()).get_config() == mixed.get_config()


# Drop path.
def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    x = tf.constant(1 + np.abs(np.random.default_rng(0).normal(size=(20000, 1, 2, 1))))
    y = drop_path(x, 0.3, seed=[4, 5]).numpy() / x.numpy()  # 0 or 1 / 0.7, by sample
    kept = y[:, 0, 0, 0] > 0
    np.testing.assert_allclose(y, np.where(kept, 1 / 0.7, 0.0)[:, None, None, None] + 0 * y, 1e-6)
    assert abs(kept.mean() - 0.7) < 0.013  # 4 sigma
    assert abs(y.mean() - 1) < 0.02


def test_drop_path_draws_by_seed():
    x = tf.ones((64, 3))
    first, again, other = (drop_path(x, 0.5, seed=s).numpy() for s in ([1, 1], [1, 1], [1, 2]))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_drop_path_of_probability_zero_is_the_identity():
    x = tf.constant(drawn((2, 2)))
    np.testing.assert_array_equal(drop_path(x, tf.constant(0.0), seed=[1, 1]), x)


def test_drop_path_keeps_the_type():
    assert drop_path(tf.ones((4, 2), tf.bfloat16), 0.5, seed=[0, 1]).dtype == tf.bfloat16
