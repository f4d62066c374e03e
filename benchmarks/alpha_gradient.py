"""The second-order term by finite difference against the exact one, from a searched checkpoint.

    python benchmarks/alpha_gradient.py --run_dir=RUN [--batches=3] [--precision=float32]

Prints, for each radius R of w +- R v / ||v||, the norm of the implicit term
(d^2 L_train / d alpha d w) v by finite difference, its cosine to the exact one and its relative error.
"""

import argparse

import numpy as np
import tensorflow as tf

from rdarts_tf import bilevel, config, distribution, optimizers
from rdarts_tf.datasets import augment
from rdarts_tf.datasets import base as data
from rdarts_tf.networks import cnn
from rdarts_tf.run_dir import RunDir
from rdarts_tf.tasks.classification import cross_entropy

RADII = (0.1, 0.01, 0.001)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "float64"), default="float64")
    args = parser.parse_args()
    distribution.configure_runtime()
    run_dir = RunDir(args.run_dir)
    settings = config.SearchConfig(**run_dir.read_json("config.json"))
    (epoch, _), arrays = run_dir.load_newest_checkpoint(print)
    dataset = settings.load_dataset()
    net, momentum = _load(settings, dataset, arrays, args.precision)
    gradients = _gradients(net, momentum, settings, epoch)
    print(f"{args.run_dir}, after {epoch} epochs, {args.precision}")
    print("| batch | radius | norm exact | norm difference | cosine | relative error |")
    print("|---|---|---|---|---|---|")
    for index, batch in enumerate(_batches(settings, dataset, epoch, args)):
        direct, exact, differences = gradients(*batch)
        exact = exact - direct
        for radius, difference in zip(RADII, differences, strict=True):
            print(_row(index, radius, exact, difference - direct))


def _row(index, radius, exact, difference):
    norms = np.linalg.norm(exact), np.linalg.norm(difference)
    cosine = exact @ difference / (norms[0] * norms[1])
    error = np.linalg.norm(difference - exact) / norms[0]
    return f"| {index} | {radius} | {norms[0]:.3g} | {norms[1]:.3g} | {cosine:.2f} | {error:.3g} |"


def _load(settings, dataset, arrays, precision):
    """The network with the checkpoint's state, and the momentum buffers."""
    net = cnn.Supernet(
        settings.make_space(),
        dataset.num_classes,
        channels=settings.init_channels,
        num_cells=settings.layers,
        dtype=precision,
        name="supernet",
    )
    net.build((None, *dataset.image_shape))
    named = {v.path.split("/", 1)[1]: v for v in net.variables}
    for name, array in arrays.items():
        kind, _, path = name.partition("/")
        if kind in ("weights", "state"):
            named[path].assign(array)
    order = [v.path.split("/", 1)[1] for v in net.trainable_variables]
    return net, [tf.constant(arrays[f"momentum/{path}"], precision) for path in order]


def _batches(settings, dataset, epoch, args):
    train, valid = data.split_search(dataset, settings.train_portion)
    transform = augment.Augmentation(
        dataset.mean, dataset.std, crop_padding=dataset.crop_padding, flip=dataset.flip
    )
    epoch = data.search_epoch(
        train,
        valid,
        batch_size=settings.batch_size,
        augment=transform,
        seed=settings.seed,
        epoch=epoch,
    )
    for batch in epoch.take(args.batches):
        yield [tf.cast(x, args.precision) if x.dtype.is_floating else x for x in batch]


def _gradients(net, momentum, settings, epoch):
    """(batch) -> d, exact gradient, [finite-difference gradients], each [all alphas]."""
    w = [tf.convert_to_tensor(v.value) for v in net.trainable_variables]
    alpha = [tf.convert_to_tensor(a.value) for a in net.alphas.values()]
    state = [v.value for v in net.non_trainable_variables]
    xi = optimizers.cosine(
        epoch, settings.epochs, settings.learning_rate, settings.learning_rate_min
    )

    def loss_of(images, labels):
        def loss(w, alpha):
            edge_weights = dict(zip(net.alphas, map(tf.nn.softmax, alpha), strict=True))
            logits, _ = net.stateless_call(
                w, state, images, edge_weights=edge_weights, seed=[1, 2], training=True
            )
            return tf.reduce_mean(cross_entropy(logits, labels))

        return loss

    def weight_step(w, g):
        return optimizers.sgd(
            w,
            momentum,
            g,
            learning_rate=xi,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )[0]

    def flat(tensors):
        return tf.concat([tf.reshape(x, [-1]) for x in tensors], 0)

    @tf.function
    def exact(train_images, train_labels, valid_images, valid_labels):
        train, valid = loss_of(train_images, train_labels), loss_of(valid_images, valid_labels)
        return flat(bilevel.exact(train, valid, w, alpha, weight_step=weight_step))

    @tf.function
    def difference(radius, train_images, train_labels, valid_images, valid_labels):
        train, valid = loss_of(train_images, train_labels), loss_of(valid_images, valid_labels)
        return flat(
            bilevel.finite_difference(
                train, valid, w, alpha, weight_step=weight_step, xi=xi, radius=radius
            )
        )

    @tf.function
    def direct(train_images, train_labels, valid_images, valid_labels):
        train, valid = loss_of(train_images, train_labels), loss_of(valid_images, valid_labels)
        g = bilevel.gradient(train, w, alpha, of=w)
        return flat(bilevel.first_order(None, valid, weight_step(w, g), alpha))

    def gradients(*batch):
        radii = [tf.constant(r, w[0].dtype) for r in RADII]
        return (
            direct(*batch).numpy(),
            exact(*batch).numpy(),
            [difference(r, *batch).numpy() for r in radii],
        )

    return gradients


if __name__ == "__main__":
    main()
